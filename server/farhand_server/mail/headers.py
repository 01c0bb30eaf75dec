"""Headers: unfolded, decoded and cleaned, whatever stands in them.

Values come in as `str` in which bytes beyond ASCII are surrogates (what compat32 hands out); raw
8-bit text is made of them by guess, since no standard says what it is.  Encoded words are read as
they are written in the world: with blanks inside, unpadded, cut in the middle of a character, in
charsets that do not exist.  What cannot be read stays as it was.

Source: RFC 2047, RFC 2231, RFC 5322 s2.2.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from typing import Final, NamedTuple

from farhand_server.mail.charsets import decode_bytes, guess_text

__all__ = [
    "Parameters",
    "clean_line",
    "decode_base64",
    "decode_header",
    "decode_quoted",
    "read_parameters",
    "unfold",
]

# RFC 2047 allows 75; programs write whole subjects into one.
_LONGEST_WORD: Final = 4000
_LONGEST_CHARSET: Final = 60
_MAX_PARAMETERS: Final = 64
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_ESCAPED = re.compile(rb"=([0-9A-Fa-f]{2})")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_FOLDS = re.compile(r"\r?\n[ \t]*|\r")


class Parameters(NamedTuple):
    """A header with parameters: its value in lower case, and them by lower-case name."""

    value: str
    named: dict[str, str]


def unfold(value: str) -> str:
    """Return a header's value on one line, still with surrogates."""
    return _FOLDS.sub(" ", value).strip()


def clean_line(text: str, *, max_chars: int) -> str:
    """Return one printable line: no control, no invisible and no turning characters.

    Blanks of every kind become single ones; a text that is too long ends in an ellipsis.
    """
    # Twice as much as is needed is enough to clean, and keeps giants cheap.
    text = text[: 4 * max_chars]
    shown = "".join(
        one if one.isprintable() else (" " if one.isspace() or one == "\0" else "")
        for one in unicodedata.normalize("NFC", text)
    )
    line = " ".join(shown.split())
    return line if len(line) <= max_chars else line[: max_chars - 1].rstrip() + "\u2026"


def decode_header(value: str) -> tuple[str, bool]:
    """Return what a header says, and whether all of it was as it should be."""
    value = unfold(value)
    pieces: list[str] = []
    words: list[_Word] = []
    good, at = True, 0
    while True:
        start = value.find("=?", at)
        word = _word_at(value, start) if start >= 0 else None
        if start >= 0 and word is None:
            # Not a word; go on behind it.
            between, after = value[at : start + 2], start + 2
        else:
            between, after = value[at : start if start >= 0 else len(value)], -1
        if between and not (word is not None and words and between.isspace()):
            # Blanks between two words belong to neither; anything else ends their row.
            good &= _join(words, pieces)
            text, plain = _plain(between)
            pieces.append(text)
            good &= plain
        if word is not None:
            words.append(word)
            after = word.end
        elif start >= 0:
            good = False
        if start < 0:
            break
        at = after
    good &= _join(words, pieces)
    return "".join(pieces), good


class _Word(NamedTuple):
    charset: str
    content: bytes
    end: int


def _word_at(value: str, start: int) -> _Word | None:
    # =?charset?q?text?= with a language perhaps: charset*en
    mark = value.find("?", start + 2, start + 2 + _LONGEST_CHARSET)
    if mark < 0 or value[mark + 2 : mark + 3] != "?" or mark == start + 2:
        return None
    begin = mark + 3
    end = value.find("?=", begin, begin + _LONGEST_WORD)
    if end < 0:
        return None
    charset = value[start + 2 : mark].split("*")[0]
    raw = value[begin:end].encode("utf-8", "surrogateescape")
    match value[mark + 1].lower():
        case "b":
            content = decode_base64(raw)
        case "q":
            content = decode_quoted(raw.replace(b"_", b" "))
        case _:
            return None
    return _Word(charset, content, end + 2)


def _join(words: list[_Word], pieces: list[str]) -> bool:
    # A character may have been cut in two by the end of a word, so bytes are joined first.
    good, at = True, 0
    while at < len(words):
        charset = words[at].charset
        run = [words[at].content]
        while (at := at + 1) < len(words) and words[at].charset == charset:
            run.append(words[at].content)
        text, held = decode_bytes(b"".join(run), charset or "?")
        pieces.append(text)
        good &= held
    words.clear()
    return good


def _plain(value: str) -> tuple[str, bool]:
    if value.isascii():
        return value, True
    raw = value.encode("utf-8", "surrogateescape")
    return guess_text(raw), False


def decode_base64(raw: bytes) -> bytes:
    """Return what base64 holds, passing over what is none of it."""
    clean = _NOT_BASE64.sub(b"", raw)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""


def decode_quoted(raw: bytes) -> bytes:
    """Return what `=XX` stands for; an `=` that stands for nothing stays."""
    return _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), raw)


# Parameters, as of Content-Type and Content-Disposition.


def read_parameters(value: str) -> Parameters:
    """Return a header's value and parameters; the first of each name counts.

    Continued and percent-encoded ones (RFC 2231) are put together, encoded words in quotation
    marks, which are forbidden and everywhere, decoded.
    """
    first, *rest = _split(unfold(value))
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for one in rest:
        name, equals, content = one.partition("=")
        name = name.strip().lower()
        if not equals or not name:
            continue
        base, place, encoded = _section(name)
        if place is None:
            plain.setdefault(base, _unquote(content))
        else:
            pieces.setdefault(base, {}).setdefault(place, (_unquote(content), encoded))
    named = {name: decode_header(content)[0] for name, content in plain.items()}
    # The extended form is the better one where both are there.
    named.update({name: _continued(sections) for name, sections in pieces.items()})
    value, _ = _plain(first.strip())
    return Parameters(value.lower(), named)


def _split(value: str) -> list[str]:
    # At semicolons outside quotation marks; a mark that nobody closes is a letter.
    parts: list[str] = []
    begin = at = 0
    while at < len(value) and len(parts) < _MAX_PARAMETERS:
        if value[at] == ";":
            parts.append(value[begin:at])
            begin = at = at + 1
        elif value[at] == '"' and (end := _quote_end(value, at)) > 0:
            at = end + 1
        elif value[at] == '"':
            break
        else:
            at += 1
    if at < len(value) and len(parts) < _MAX_PARAMETERS:
        return parts + value[begin:].split(";")[: _MAX_PARAMETERS - len(parts)]
    return [*parts, value[begin:]]


def _quote_end(value: str, start: int) -> int:
    at = start + 1
    while at < len(value):
        if value[at] == "\\":
            at += 1
        elif value[at] == '"':
            return at
        at += 1
    return -1


def _unquote(content: str) -> str:
    content = content.strip()
    if len(content) >= 2 and content[0] == content[-1] == '"':
        return re.sub(r"\\(.)", r"\1", content[1:-1])
    return content.strip('"')


def _section(name: str) -> tuple[str, int | None, bool]:
    # name, name*, name*0, name*0*
    base, star, rest = name.partition("*")
    if not star:
        return base, None, False
    encoded = rest == "" or rest.endswith("*")
    digits = rest.rstrip("*")
    if digits == "":
        return base, 0, True
    if digits.isascii() and digits.isdigit() and len(digits) <= 3:
        return base, int(digits), encoded
    return base, None, False


def _continued(sections: dict[int, tuple[str, bool]]) -> str:
    charset, raw = "", bytearray()
    for place in sorted(sections):
        content, encoded = sections[place]
        if encoded and place == min(sections) and content.count("'") >= 2:
            charset, _, content = content.split("'", 2)
        piece = content.encode("utf-8", "surrogateescape")
        raw += _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), piece) if encoded else piece
    return decode_bytes(bytes(raw), charset)[0]
