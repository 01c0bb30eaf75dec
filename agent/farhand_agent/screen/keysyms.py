"""X11 keysyms, the names by which RFB calls keys, and the characters that they stand for.

    0x20 .. 0xff            Latin-1, the character itself
    0x01000100 and above    Unicode, less 0x01000000
    below 0x2000            older tables of other alphabets, of which those here are in use
    0xfe00 .. 0xffff        keys that write nothing
Source: RFC 6143 s7.5.4; keysymdef.h of X.Org's xorgproto.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ALT_KEYS", "CONTROL_KEYS", "SHIFT_KEYS", "is_allowed", "keysym_of", "text_of"]

SHIFT_KEYS: Final = frozenset({0xFFE1, 0xFFE2})
CONTROL_KEYS: Final = frozenset({0xFFE3, 0xFFE4})
ALT_KEYS: Final = frozenset({0xFFE9, 0xFFEA})
_UNICODE: Final = 0x01000000
_LAST_UNICODE: Final = _UNICODE + 0x10FFFF
# Switching to a text console, and ending the X server, would take the person's desktop away.
_REFUSED: Final = frozenset({*range(0x1008FE01, 0x1008FE0D), 0xFED5})
# What keysymdef.h calls Cyrillic_*: small letters in this order from 0x6c0, capitals from 0x6e0.
_CYRILLIC: Final = "юабцдефгхийклмнопярстужвьызшэщчъ"
_GREEK: Final = "αβγδεζηθικλμνξοπρσςτυφχψω"
_LATIN_9: Final = {0x20AC: "€", 0x13BC: "Œ", 0x13BD: "œ", 0x13BE: "Ÿ"}
_LATIN_2: Final = {
    0x1A1: "Ą", 0x1B1: "ą", 0x1C6: "Ć", 0x1E6: "ć", 0x1CA: "Ę", 0x1EA: "ę", 0x1A3: "Ł", 0x1B3: "ł",
    0x1D1: "Ń", 0x1F1: "ń", 0x1A6: "Ś", 0x1B6: "ś", 0x1AC: "Ź", 0x1BC: "ź", 0x1AF: "Ż", 0x1BF: "ż",
    0x1A9: "Š", 0x1B9: "š", 0x1AE: "Ž", 0x1BE: "ž", 0x1C8: "Č", 0x1E8: "č", 0x1CF: "Ď", 0x1EF: "ď",
    0x1CC: "Ě", 0x1EC: "ě", 0x1D2: "Ň", 0x1F2: "ň", 0x1D8: "Ř", 0x1F8: "ř", 0x1AB: "Ť", 0x1BB: "ť",
    0x1D9: "Ů", 0x1F9: "ů", 0x1C3: "Ă", 0x1E3: "ă", 0x1D5: "Ő", 0x1F5: "ő", 0x1DB: "Ű", 0x1FB: "ű",
}  # fmt: skip
_NUMBERS_PAD: Final = dict(zip(range(0xFFAA, 0xFFBA), "*+,-./0123456789", strict=True))


def _tables() -> dict[int, str]:
    told = {**_LATIN_9, **_LATIN_2, **_NUMBERS_PAD, 0xFFBD: "="}
    for at, letter in enumerate(_CYRILLIC):
        told[0x6C0 + at], told[0x6E0 + at] = letter, letter.upper()
    told[0x6A3], told[0x6B3] = "ё", "Ё"
    for at, letter in enumerate(_GREEK):
        told[0x7E1 + at] = letter
        if letter != "ς":
            told[0x7C1 + at] = letter.upper()
    return told


_OLD: Final = _tables()


def is_allowed(keysym: int) -> bool:
    """Tell whether a key may be pressed from afar at all."""
    is_known = 0x20 <= keysym <= 0xFFFF or _UNICODE <= keysym <= _LAST_UNICODE
    is_media = 0x1008FE00 <= keysym <= 0x1008FFFF
    return (is_known or is_media) and keysym not in _REFUSED


def text_of(keysym: int) -> str:
    """Return the character that a key writes; empty where it writes none."""
    if 0x20 <= keysym <= 0x7E or 0xA0 <= keysym <= 0xFF:
        return chr(keysym)
    if _UNICODE < keysym <= _LAST_UNICODE:
        point = keysym - _UNICODE
        is_character = point >= 0x20 and not 0xD800 <= point <= 0xDFFF
        return chr(point) if is_character else ""
    return _OLD.get(keysym, "")


def keysym_of(character: str) -> int:
    """Return the keysym by which a character is called today."""
    point = ord(character)
    return point if 0x20 <= point <= 0x7E or 0xA0 <= point <= 0xFF else _UNICODE + point
