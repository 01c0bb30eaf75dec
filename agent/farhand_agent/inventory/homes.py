"""Whose homes there are on this machine: accounts with a home that a person may use.

Only local accounts are looked at (a directory may know thousands), and only homes that are folders
below the root.  Without root, other people's homes usually cannot be read; whoever asks says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.inventory.context import Context, Denied

__all__ = ["Home", "homes", "in_homes"]

_LOWEST_PERSON: Final = 1000
_HIGHEST_PERSON: Final = 60_000
_MAX_HOMES: Final = 500


@dataclass(frozen=True, slots=True)
class Home:
    """An account's name and its home as an absolute path below the context's root."""

    user: str
    path: str


def homes(context: Context) -> list[Home]:
    """Return root's home and those of people, at most 500."""
    found = []
    for line in (context.files.text("/etc/passwd") or "").split("\n"):
        fields = line.split(":")
        if len(fields) != 7 or not fields[2].isdigit() or not fields[5].startswith("/"):
            continue
        person = _LOWEST_PERSON <= int(fields[2]) < _HIGHEST_PERSON
        if (person or fields[2] == "0") and context.files.path(fields[5]).is_dir():
            found.append(Home(fields[0], fields[5].rstrip("/")))
    return found[:_MAX_HOMES]


def in_homes(
    context: Context, look: Callable[[Home], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return what is found in the homes of people, one after the other.

    Args:
        context: takes a note of each home that may not be read.
        look: looks into one.

    Raises:
        Denied: nobody's home may be read.
    """
    items: list[dict[str, Any]] = []
    people = homes(context)
    hidden = 0
    for home in people:
        try:
            items += look(home)
        except PermissionError:
            hidden += 1
            context.note(f"the home of {home.user} needs root", private=True)
    if people and hidden == len(people):
        raise Denied("the homes of people need root")
    return items
