"""The `--home` option of the commands that work through another user's agent as well.

    --home DIR or FARHAND_HOME, one's own      that home
    --home DIR or FARHAND_HOME, not readable   the door of that home, where it has one
    neither, and a home of one's own           that home
    neither, and none of one's own             the door of the system's agent, where there is one

A home of one's own is one that was enrolled: what a guest's code left does not hide the system's
agent.  And where that is down, this user hears so: no other home takes its place, in which nothing
would ever be asked and a Stop would stop nothing.

For root there is no door: every home is open to it (home_owner.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from farhand_agent.config import Home
from farhand_agent.door import Door
from farhand_agent.home_option import default_home, owned_home
from farhand_agent.local import SYSTEM_HOME

__all__ = ["door_of", "person_home_option"]

F = TypeVar("F", bound=Callable[..., Any])


def door_of(home: Home) -> Door | None:
    """Return the door of a home that is not this user's; None where it is hers, or has none.

    The system's agent has one always; while nobody listens there, it does not run.
    """
    if sys.platform == "win32" or os.geteuid() == 0 or _is_open(home):
        return None
    door = Door(home)
    return door if home.path == SYSTEM_HOME or door.path.exists() else None


def _is_open(home: Home) -> bool:
    """Whether this user may work in a home, or could make it."""
    try:
        home.path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return os.access(home.path, os.R_OK | os.W_OK | os.X_OK)


def _is_enrolled(home: Home) -> bool:
    try:
        return home.is_enrolled
    except OSError:
        return False  # the folder is somebody else's


def _chosen(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Home:
    above = ctx.find_root().params.get("home")
    named = value or (above if isinstance(above, str) else None) or os.environ.get("FARHAND_HOME")
    home = Home.at(named or default_home())
    has_none = named is None and not _is_enrolled(home)
    there = Home.at(SYSTEM_HOME) if has_none else home
    return there if door_of(there) is not None else owned_home(ctx, parameter, value)


def person_home_option(command: F) -> F:
    """Add `--home DIR` as `home_option` does; where `door_of` has a door, the home is not ours."""
    option = click.option(
        "--home",
        metavar="DIR",
        callback=_chosen,
        help="The agent's home; FARHAND_HOME is the default.",
    )
    return option(command)
