"""Durations as people type and read them: `7:30` hours, `25m`, `1h30m`."""

from __future__ import annotations

import re
from typing import Final

from farhand_protocol.errors import UsageError

__all__ = ["hours", "read_hours", "read_minutes"]

_HOURS: Final = re.compile(r"(-?)([0-9]{1,5})(?::([0-5][0-9]))?\Z", re.ASCII)
_PARTS: Final = re.compile(r"(?:([0-9]{1,3})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,6})s)?\Z", re.ASCII)


def hours(seconds: int) -> str:
    """Write seconds as hours and minutes, `7:30`; with seconds where they are not whole minutes."""
    sign, left = ("-" if seconds < 0 else ""), abs(seconds)
    text = f"{sign}{left // 3600}:{left // 60 % 60:02}"
    return f"{text}:{left % 60:02}" if left % 60 else text


def read_hours(text: str) -> int:
    """Read `10`, `7:30` or `-2` as seconds; raises `usage`."""
    match = _HOURS.match(text.strip())
    if match is None:
        raise UsageError("usage", f"{text[:20]!r} are no hours, such as 10 or 7:30")
    seconds = int(match[2]) * 3600 + int(match[3] or 0) * 60
    return -seconds if match[1] else seconds


def read_minutes(text: str) -> int:
    """Read `25`, `25m`, `1h30m` or `90s` as seconds, a plain number as minutes; raises `usage`."""
    words = text.strip()
    if re.fullmatch("[0-9]{1,4}", words, re.ASCII):
        return int(words) * 60
    match = _PARTS.match(words)
    if match is None or not words:
        raise UsageError("usage", f"{text[:20]!r} is no duration, such as 25m or 1h30m")
    whole, minutes, seconds = (int(part or 0) for part in match.groups())
    return whole * 3600 + minutes * 60 + seconds
