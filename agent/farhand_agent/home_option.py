"""The `--home` option: before or after the subcommand, else FARHAND_HOME, else a default.

A command with `home_option` works in that home, and root does so as its owner (`home_owner`).  One
that needs root's rights beside the home takes `chosen_home` as its callback, and only reads there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from farhand_agent.config import Home
from farhand_agent.home_owner import become_owner

__all__ = ["chosen_home", "default_home", "home_option", "owned_home"]

F = TypeVar("F", bound=Callable[..., Any])


def default_home() -> Path:
    """Return the folder that FARHAND_HOME names, else this user's default one."""
    if named := os.environ.get("FARHAND_HOME"):
        return Home.at(named).path
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/farhand-agent")
    return Path.home() / ".local/share/farhand-agent"


def chosen_home(ctx: click.Context, _: click.Parameter, value: str | None) -> Home:
    """Return the home given here, or to the group, or by the environment, or the default.

    Raises:
        HomeForeign: it is another program's.
    """
    above = ctx.find_root().params.get("home")
    if value is None and isinstance(above, str):
        value = above
    home = Home.at(value or default_home())
    home.refuse_foreign()
    return home


def owned_home(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Home:
    """Return the chosen home, and become its owner where this is root.

    Raises:
        HomeForeign: it is another program's.
        OSError: the rights cannot be given up.
    """
    home = chosen_home(ctx, parameter, value)
    become_owner(home.path)
    return home


def home_option(command: F) -> F:
    """Add `--home DIR`; the function gets `home: Home`, and has its owner's rights."""
    option = click.option(
        "--home",
        metavar="DIR",
        callback=owned_home,
        help="The agent's home; FARHAND_HOME is the default.",
    )
    return option(command)
