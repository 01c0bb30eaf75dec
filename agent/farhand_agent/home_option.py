"""The `--home` option: before or after the subcommand, else FARHAND_HOME, else a default."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from farhand_agent.config import Home

__all__ = ["chosen_home", "home_option"]

F = TypeVar("F", bound=Callable[..., Any])


def _default() -> Path:
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
    home = Home.at(value or os.environ.get("FARHAND_HOME") or _default())
    home.refuse_foreign()
    return home


def home_option(command: F) -> F:
    """Add `--home DIR`; the function gets `home: Home`."""
    option = click.option(
        "--home",
        metavar="DIR",
        callback=chosen_home,
        help="The agent's home; FARHAND_HOME is the default.",
    )
    return option(command)
