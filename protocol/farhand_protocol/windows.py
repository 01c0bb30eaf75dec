"""Maintenance windows: when, in the device's own time, something may begin.

    daily 22:00 for 6h
    weekly sat,sun 00:00 for 24h; zone Europe/Lisbon
    monthly 2nd tue 21:30 for 4h

A line is `WHEN for LENGTH`, with WHEN as schedules write it and LENGTH in m, h or d; `zone NAME`
takes a named zone in the place of the device's.  A list of lines allows what any of them does; an
empty list allows always.  A window is an interval that is open from its begin for its length, in
elapsed time: where the clock jumps inside it, it is neither longer nor shorter.  A begin that the
clock skips or shows twice happens once, as with schedules.

Nothing here reads a clock or knows a zone: whoever asks passes both in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from farhand_protocol.errors import FarhandError
from farhand_protocol.schedules import Schedule, parse_recurrence

__all__ = ["MAX_WINDOWS", "Window", "next_open", "open_until", "parse_windows"]

MAX_WINDOWS = 16
_MAX_CHARS = 200
_MAX_LENGTH_S = 7 * 86_400
_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"([1-9][0-9]{0,3})([mhd])\Z")

Zones = Callable[[str], tzinfo]


@dataclass(frozen=True, slots=True)
class Window:
    """One line: when it begins, and how long it is open then."""

    begins: Schedule
    length: timedelta


def parse_windows(lines: Iterable[str]) -> list[Window]:
    """Read the lines of a campaign's windows.

    Raises:
        FarhandError: `window-malformed` for a line that is none, and for too many of them.
    """
    windows: list[Window] = []
    for line in lines:
        if len(windows) == MAX_WINDOWS:
            raise _malformed(f"there are more than {MAX_WINDOWS} windows")
        windows.append(_window(line))
    return windows


def open_until(lines: Iterable[str], at: datetime, zones: Zones) -> datetime | None:
    """Return when the window that is open at `at` closes; None where none is open.

    Args:
        lines: not empty; an empty list is always open, which has no end to tell.
        at: aware.
        zones: gives a zone by its name, the device's own for "".

    Raises:
        FarhandError: `window-malformed`, and what `zones` raises.
    """
    ends = []
    for window in parse_windows(lines):
        begun = window.begins.last_due(at, zones(window.begins.zone))
        if begun is not None and begun + window.length > at:
            ends.append(begun + window.length)
    return max(ends, default=None)


def next_open(lines: Iterable[str], at: datetime, zones: Zones) -> datetime | None:
    """Return `at` where a window is open then, else when the next one opens.

    Args:
        lines: an empty list is always open.
        at: aware.
        zones: gives a zone by its name, the device's own for "".

    Raises:
        FarhandError: `window-malformed`, and what `zones` raises.
    """
    lines = list(lines)
    if not lines or open_until(lines, at, zones) is not None:
        return at
    begins = [
        found
        for window in parse_windows(lines)
        if (found := window.begins.next_due(at, zones(window.begins.zone))) is not None
    ]
    return min(begins, default=None)


def _window(line: str) -> Window:
    if len(line) > _MAX_CHARS or not line.isprintable():
        raise _malformed("a window is too long, or not printable")
    when, *options = (part.strip() for part in line.split(";"))
    begins, parts, length = when.rpartition(" for ")
    found = _LENGTH.match(length.strip())
    if not parts or found is None:
        raise _malformed(f"{line[:60]!r} is not like `daily 22:00 for 6h`")
    length_s = int(found[1]) * _UNITS[found[2]]
    if length_s > _MAX_LENGTH_S:
        raise _malformed("a window is open for at most seven days")
    zone = ""
    if options:
        name, _, zone = options[0].partition(" ")
        if len(options) > 1 or name != "zone" or not zone:
            raise _malformed(f"{options[0][:60]!r} is no option of a window")
    try:
        return Window(parse_recurrence(begins, zone.strip()), timedelta(seconds=length_s))
    except FarhandError as error:
        raise _malformed(error.message) from error


def _malformed(words: str) -> FarhandError:
    return FarhandError("window-malformed", words)
