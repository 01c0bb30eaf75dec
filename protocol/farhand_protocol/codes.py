"""One-time codes: a nameplate that the relay knows and a secret that it never learns.

A code reads `4071-H7M 3QX`: the nameplate (4 to 6 digits, drawn by the relay) says where the two
sides meet, the last six symbols are the secret (drawn by the device).  The secret's alphabet has 20
symbols that are told apart by eye and ear and spell no words: 20^6 is 25.9 bits.  A code lives ten
minutes and takes one guess, so whoever guesses is right once in 64 million shown codes.

Random bytes come in as arguments; bytes that would bias the draw are thrown away.
"""

from __future__ import annotations

from farhand_protocol.errors import FarhandError

__all__ = [
    "ALPHABET",
    "CODE_RANDOM_BYTES",
    "SECRET_SYMBOLS",
    "format_code",
    "nameplate_from_random",
    "parse_code",
    "secret_from_random",
]

ALPHABET = "23456789CFGHJMPQRVWX"
SECRET_SYMBOLS = 6
# Enough random bytes that a draw fails less than once in 2^90.
CODE_RANDOM_BYTES = 32

_DIGITS = "0123456789"
_NAMEPLATE_DIGITS = range(4, 7)
# What people's keyboards, mail programs and word processors put between the parts.
_SEPARATORS = frozenset("-_.\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
_MAX_TEXT = 64


def _malformed() -> FarhandError:
    return FarhandError(
        "code-malformed",
        "this is not a code as the device shows it",
        hint="type it as shown, for example 4071-H7M 3QX",
    )


def _check(nameplate: str, secret: str) -> None:
    if (
        len(nameplate) not in _NAMEPLATE_DIGITS
        or any(digit not in _DIGITS for digit in nameplate)
        or len(secret) != SECRET_SYMBOLS
        or any(symbol not in ALPHABET for symbol in secret)
    ):
        raise _malformed()


def format_code(nameplate: str, secret: str) -> str:
    """Write a code as a person reads it, e.g. `4071-H7M 3QX`.

    Raises:
        FarhandError: `code-malformed` when nameplate or secret are not of their shape.
    """
    _check(nameplate, secret)
    return f"{nameplate}-{secret[:3]} {secret[3:]}"


def parse_code(text: str) -> tuple[str, str]:
    """Read a code as a person typed it; case, spaces and hyphens do not matter.

    Returns:
        (nameplate, secret): the last six symbols are the secret.

    Raises:
        FarhandError: `code-malformed`.
    """
    if len(text) > _MAX_TEXT:
        raise _malformed()
    symbols = "".join(one for one in text if not one.isspace() and one not in _SEPARATORS)
    # upper() of some letters outside ASCII is ASCII or longer than one letter.
    if not symbols.isascii():
        raise _malformed()
    symbols = symbols.upper()
    nameplate, secret = symbols[:-SECRET_SYMBOLS], symbols[-SECRET_SYMBOLS:]
    _check(nameplate, secret)
    return nameplate, secret


def secret_from_random(random: bytes) -> str:
    """Draw a secret from random bytes, each symbol equally likely.

    Args:
        random: bytes from a cryptographic source; `CODE_RANDOM_BYTES` are plenty.

    Raises:
        ValueError: too few bytes were left after those that would bias the draw.
    """
    count = len(ALPHABET)
    fair = [byte for byte in random if byte < 256 - 256 % count]
    if len(fair) < SECRET_SYMBOLS:
        raise ValueError("too few random bytes for a secret")
    return "".join(ALPHABET[byte % count] for byte in fair[:SECRET_SYMBOLS])


def nameplate_from_random(random: bytes, digits: int) -> str:
    """Draw a nameplate without a leading zero from random bytes.

    Args:
        random: bytes from a cryptographic source, read four at a time.
        digits: 4 to 6.

    Raises:
        ValueError: `digits` is out of range, or too few bytes were left after those that would
            bias the draw.
    """
    if digits not in _NAMEPLATE_DIGITS:
        raise ValueError("a nameplate has 4 to 6 digits")
    lowest = 10 ** (digits - 1)
    span = 9 * lowest
    for start in range(0, len(random) - 3, 4):
        number = int.from_bytes(random[start : start + 4], "big")
        if number < 2**32 - 2**32 % span:
            return str(lowest + number % span)
    raise ValueError("too few random bytes for a nameplate")
