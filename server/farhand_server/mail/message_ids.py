"""Message-IDs: ours, which carry a signed token, and everybody else's, read out of anything.

    <fh.{base32(ticket 4, message 6, nonce 6, hmac 8)}@domain>

Whoever answers such a mail names its ticket without saying so, and nobody without the key can make
one up: 64 bits of HMAC-SHA256 over the other 16 bytes.  The token is not a secret between the
people of a mail, so it tells *which* ticket, never *who* writes.  It is read in whatever case a
gateway left it, and under any domain, since a relay may change its name.

Source: RFC 5322 s3.6.4 for what stands between the angle brackets.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = [
    "MAX_ID_CHARS",
    "MAX_REFERENCES",
    "MAX_REFERENCES_BYTES",
    "NONCE_BYTES",
    "OwnId",
    "build_references",
    "find_ids",
    "make_message_id",
    "read_message_id",
]

NONCE_BYTES: Final = 6
# RFC 5322 allows a line of 998; longer ones are nobody's.
MAX_ID_CHARS: Final = 998
# Mail programs keep a few dozen; two hundred have been seen.
MAX_REFERENCES: Final = 200
# Some relays refuse a header block of more than 4096 (freescout #5542).
MAX_REFERENCES_BYTES: Final = 1500

_TICKET_BYTES: Final = 4
_MESSAGE_BYTES: Final = 6
_MAC_BYTES: Final = 8
_SIGNED_BYTES: Final = _TICKET_BYTES + _MESSAGE_BYTES + NONCE_BYTES
_TOKEN_BYTES: Final = _SIGNED_BYTES + _MAC_BYTES
_TOKEN_CHARS: Final = -(-_TOKEN_BYTES * 8 // 5)
_PURPOSE: Final = b"farhand mail message-id\0"

_OURS = re.compile(rf"<fh\.([a-z2-7]{{{_TOKEN_CHARS}}})@[^<>@\s]+>\Z", re.IGNORECASE | re.ASCII)
# No blank, no bracket, no comma inside: what stands between two brackets is one id or is junk.
_ID = re.compile(r"<([^<>\s,\x00-\x1f\x7f]{1,996})>")
_BARE = re.compile(r"[^<>\s,\"'\x00-\x1f\x7f]{1,200}@[^<>\s,\"'@\x00-\x1f\x7f]{1,200}")


class OwnId(NamedTuple):
    """What a Message-ID of ours says: the ticket's number and the message's place."""

    ticket: int
    message: int


def make_message_id(key: bytes, *, ticket: int, message: int, nonce: bytes, domain: str) -> str:
    """Make a Message-ID that says where it belongs.

    Args:
        key: the relay's secret, at least 16 bytes.
        ticket: number of the ticket, below 2**32.
        message: what it sends, a number below 2**48; 0 for a mail that is no message.
        nonce: `NONCE_BYTES` random bytes.
        domain: what stands after the `@`, ASCII.

    Raises:
        ValueError: one of them does not fit; a fault of the caller.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce is {NONCE_BYTES} bytes")
    try:
        signed = ticket.to_bytes(_TICKET_BYTES) + message.to_bytes(_MESSAGE_BYTES) + nonce
    except OverflowError as error:
        raise ValueError("ticket or message does not fit a Message-ID") from error
    token = base64.b32encode(signed + _mac(key, signed)).decode().rstrip("=").lower()
    made = f"<fh.{token}@{domain}>"
    if _OURS.match(made) is None:
        raise ValueError("the domain does not fit a Message-ID")
    return made


def read_message_id(key: bytes, message_id: str) -> OwnId | None:
    """Return what a Message-ID of ours says; None for a stranger's or a tampered one."""
    match = _OURS.match(message_id)
    if match is None:
        return None
    padded = match[1].upper() + "=" * (-_TOKEN_CHARS % 8)
    try:
        token = base64.b32decode(padded)
    except binascii.Error:
        return None
    signed, mac = token[:_SIGNED_BYTES], token[_SIGNED_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, signed)):
        return None
    return OwnId(
        int.from_bytes(signed[:_TICKET_BYTES]),
        int.from_bytes(signed[_TICKET_BYTES : _TICKET_BYTES + _MESSAGE_BYTES]),
    )


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + signed, "sha256")[:_MAC_BYTES]


def find_ids(text: str, *, limit: int = MAX_REFERENCES) -> tuple[str, ...]:
    """Return the Message-IDs in a header, in its order, each once and in angle brackets.

    Commas, comments and other junk between them are passed over.  Where nothing stands in
    brackets, bare words with an `@` are taken, as some programs write them.  Of more than `limit`
    the root and the newest stay.
    """
    found = list(dict.fromkeys(f"<{match}>" for match in _ID.findall(text)))
    if not found and "<" not in text:
        found = list(dict.fromkeys(f"<{match}>" for match in _BARE.findall(text)))
    if len(found) > limit:
        found = found[:1] + found[len(found) - limit + 1 :]
    return tuple(found)


def build_references(references: Iterable[str], last: str) -> str:
    """Return the `References` of an answer to `last`: the root first, the newest last.

    Args:
        references: what the answered mail referred to, root first.
        last: Message-ID of the answered mail; "" where it had none.

    Returns:
        ids parted by a blank, at most `MAX_REFERENCES_BYTES` bytes: the root and `last` always,
        between them as many of the newest as fit.  Empty where nothing is known.
    """
    ids = [one for one in dict.fromkeys(references) if one != last and _fits_line(one)]
    if last and _fits_line(last):
        ids.append(last)
    if len(ids) < 2:
        return " ".join(ids)
    root, newest = ids[0], ids[-1]
    room = MAX_REFERENCES_BYTES - len(root) - len(newest) - 1
    if room < 0:
        return newest
    between: list[str] = []
    for one in reversed(ids[1:-1]):
        room -= len(one) + 1
        if room < 0:
            break
        between.append(one)
    return " ".join([root, *reversed(between), newest])


def _fits_line(message_id: str) -> bool:
    # What goes out again is ASCII on one line, whatever came in.
    return message_id.isascii() and message_id.isprintable() and len(message_id) <= MAX_ID_CHARS
