"""Bytes into text, whatever charset a mail claims: always a text, and whether the claim held.

Claims are often wrong: Latin-1 that is UTF-8, ASCII with umlauts, charsets that do not exist.
UTF-8 proves itself, so it is tried before the old ones.  Only charsets of the list are used:
Python's registry also holds codecs that are no charsets, and some that take quadratic time.
"""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["decode_bytes", "guess_text", "without_surrogates"]

_KNOWN: Final = frozenset(
    (
        "ascii",
        "big5",
        "big5hkscs",
        "cp1250",
        "cp1251",
        "cp1252",
        "cp1253",
        "cp1254",
        "cp1255",
        "cp1256",
        "cp1257",
        "cp1258",
        "cp437",
        "cp850",
        "cp852",
        "cp855",
        "cp866",
        "cp874",
        "cp932",
        "cp949",
        "cp950",
        "euc_jp",
        "euc_kr",
        "gb18030",
        "gb2312",
        "gbk",
        "hz",
        "iso2022_jp",
        "iso2022_jp_1",
        "iso2022_jp_2",
        "iso2022_kr",
        "iso8859-1",
        "iso8859-10",
        "iso8859-11",
        "iso8859-13",
        "iso8859-14",
        "iso8859-15",
        "iso8859-16",
        "iso8859-2",
        "iso8859-3",
        "iso8859-4",
        "iso8859-5",
        "iso8859-6",
        "iso8859-7",
        "iso8859-8",
        "iso8859-9",
        "johab",
        "koi8-r",
        "koi8-u",
        "kz1048",
        "mac-cyrillic",
        "mac-latin2",
        "mac-roman",
        "ptcp154",
        "shift_jis",
        "tis-620",
        "utf-16",
        "utf-16-be",
        "utf-16-le",
        "utf-32",
        "utf-32-be",
        "utf-32-le",
        "utf-7",
        "utf-8",
    )
)
# What programs write for a charset, and the wider one that holds what they mean.
_MEANT: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_NICKNAMES: Final = {
    "ansi": "cp1252",
    "cp-1252": "cp1252",
    "cp-1251": "cp1251",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "ks_c_5601-1987": "cp949",
    "macintosh": "mac-roman",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "x-mac-roman": "mac-roman",
    "x-sjis": "cp932",
}
_LONGEST_NAME: Final = 40


def decode_bytes(raw: bytes, charset: str) -> tuple[str, bool]:
    """Return the text, and whether it is what the charset promised.

    Args:
        raw: any bytes.
        charset: as the mail wrote it; "" for none, which promises nothing.
    """
    if not charset.strip():
        return guess_text(raw), True
    name = _lookup(charset)
    if name is None:
        return guess_text(raw), False
    if name in ("utf-8", "ascii", "iso8859-1", "cp1252"):
        return _decode_western(raw, name)
    try:
        return without_surrogates(raw.decode(_MEANT.get(name, name))), True
    except (UnicodeError, ValueError):
        # A line that was cut in the middle of a character should not cost the rest of it.
        return without_surrogates(raw.decode(_MEANT.get(name, name), "replace")), False


def guess_text(raw: bytes) -> str:
    """Return bytes of no known charset as the likeliest text: UTF-8, Cyrillic, else Western."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(_likeliest(raw), "replace")


def without_surrogates(text: str) -> str:
    """Return text that has a UTF-8 form."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _lookup(charset: str) -> str | None:
    wanted = charset.strip().strip("\"'").lower()
    if len(wanted) > _LONGEST_NAME or not wanted.isascii() or not wanted.isprintable():
        return None
    try:
        name = codecs.lookup(_NICKNAMES.get(wanted, wanted)).name
    except (LookupError, ValueError):
        return None
    return name if name in _KNOWN else None


def _decode_western(raw: bytes, name: str) -> tuple[str, bool]:
    try:
        # Text in an old charset is next to never valid UTF-8 by chance.
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        if name == "utf-8":
            return _mostly_utf8(raw), False
        if name == "ascii":
            return guess_text(raw), False
        return raw.decode("cp1252", "replace"), True
    return text, name == "utf-8" or raw.isascii()


def _mostly_utf8(raw: bytes) -> str:
    # One broken character in real UTF-8 leaves few marks; another charset leaves one per letter.
    text = raw.decode("utf-8", "replace")
    high = sum(1 for character in text if character > "\x7f")
    return text if text.count("\ufffd") * 4 <= high else guess_text(raw)


def _likeliest(raw: bytes) -> str:
    sample = raw[:4000]
    high = sum(1 for byte in sample if byte >= 0xC0)
    latin = sum(1 for byte in sample if 65 <= byte & 0xDF <= 90 and byte < 128)
    if high <= latin:
        return "cp1252"
    # Most letters are small ones; the two Cyrillic charsets keep them in different rows.
    small = sum(1 for byte in sample if byte >= 0xE0)
    return "cp1251" if small * 2 >= high else "koi8-r"
