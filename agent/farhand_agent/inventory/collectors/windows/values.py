"""Values as ConvertTo-Json writes them, which differs between the PowerShells: the wanted, or None.

A time is `/Date(milliseconds)/` (Windows PowerShell) or ISO 8601 (PowerShell 7), sometimes wrapped
in an object; WMI's own form of it is 20260411080000.000000+120.  An unsigned number may come
signed, one element of a list alone, and what lies too deep as the name of its type.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from farhand_agent.inventory.json_values import text, whole
from farhand_agent.inventory.moments import instant, iso_instant

__all__ = ["binary", "date", "hexadecimal", "many", "said", "unsigned", "when", "word"]

_DATE: Final = re.compile(r"/Date\((-?[0-9]{1,16})(?:[+-][0-9]{4})?\)/")
_DMTF: Final = re.compile(r"([0-9]{14})\.[0-9]{6}([+-])([0-9]{3})")
_TOO_DEEP: Final = re.compile(
    r"System\.[\w.]+\[\]|Microsoft\.Management\.Infrastructure\.[\w.#]+|@\{.*\}", re.DOTALL
)
_MAX_MANY: Final = 1_000


def said(value: object) -> str | None:
    """Return a text; None for others, for nothing, and for an object that lay too deep."""
    words = text(value)
    return None if words is None or _TOO_DEEP.fullmatch(words) else words


def when(value: object) -> str | None:
    """Return a time as RFC 3339 in UTC."""
    if isinstance(value, dict):
        value = value.get("value", value.get("DateTime"))
    words = text(value) or ""
    if found := _DATE.fullmatch(words):
        return instant(int(found[1]) / 1000)
    if found := _DMTF.fullmatch(words):
        zone = timedelta(minutes=int(found[3]) * (-1 if found[2] == "-" else 1))
        try:
            moment = datetime.strptime(found[1], "%Y%m%d%H%M%S")
            return iso_instant(moment.replace(tzinfo=timezone(zone)).isoformat())
        except ValueError:
            return None
    return iso_instant(words)


def date(value: object) -> str | None:
    """Return the day of a time, in UTC, as YYYY-MM-DD."""
    moment = when(value)
    return moment[:10] if moment else None


def unsigned(value: object, bits: int = 32) -> int | None:
    """Return a number that Windows counts without a sign, also where it was written with one."""
    number = whole(value)
    if number is None or not -(1 << bits - 1) <= number < 1 << bits:
        return None
    return number + (1 << bits) if number < 0 else number


def hexadecimal(value: object) -> str | None:
    """Return the hex digits of a number of 32 bits as the event log writes them: c0000005."""
    number = unsigned(value)
    return None if number is None else f"{number:08x}"


def binary(value: object) -> bytes:
    """Return bytes that were written as base64 or as a list of numbers; b"" for others."""
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return b""
    if isinstance(value, list) and all(type(one) is int and 0 <= one < 256 for one in value):
        return bytes(value)
    return b""


def many(value: object) -> list[str]:
    """Return the texts in a list, also where one stands alone; at most 1,000."""
    if isinstance(value, dict):
        value = value.get("value")
    values = value if isinstance(value, list) else [value]
    return [words for one in values[:_MAX_MANY] if (words := said(one))]


def word(value: object, words: dict[int, str]) -> str | None:
    """Return the word for a number of an enumeration; None for one that is not known."""
    number: Any = whole(value)
    return words.get(number)
