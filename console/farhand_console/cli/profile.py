"""profile: what of the desk is switched on."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli.base import Context, command, group
from farhand_console.output import line, show_table
from farhand_console.relay.answers import Page

__all__ = ["register"]


class _Module(msgspec.Struct, frozen=True, kw_only=True):
    """One module."""

    name: str
    words: str
    on: bool


class _Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The profile, and each module as it is now."""

    profile: str
    off: list[str]
    modules: list[_Module]


class _Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of desk, and what it does without."""

    name: str
    words: str
    off: list[str]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    profile = group(root, "profile", "What of the desk is switched on.")

    @command(profile)
    def show(context: Context) -> None:
        """Show the profile, and each part with whether it is on."""
        _show(context, context.relay.get("/profile", _Chosen))

    @command(profile, "list")
    def list_profiles(context: Context) -> None:
        """List the profiles, and what each does without."""
        page = context.relay.get("/profiles", Page[_Profile])
        rows = [(one.name, one.words, ", ".join(one.off) or "-") for one in page.items]
        context.show(page, lambda: show_table(("profile", "for", "without"), rows))

    @command(profile, "set")
    @click.argument("name", required=False)
    @click.option("--on", multiple=True, help="A part to switch on; may be given again.")
    @click.option("--off", multiple=True, help="A part to switch off; may be given again.")
    def set_profile(
        context: Context, name: str | None, on: tuple[str, ...], off: tuple[str, ...]
    ) -> None:
        """Choose a profile, or switch single parts; what is off keeps what it has."""
        body = {"profile": name, "on": [*on], "off": [*off]}
        _show(context, context.relay.post("/profile", _Chosen, body))


def _show(context: Context, chosen: _Chosen) -> None:
    def readable() -> None:
        line(f"profile  {chosen.profile}")
        rows = [(one.name, "on" if one.on else "off", one.words) for one in chosen.modules]
        show_table(("part", "", "what it is"), rows)

    context.show(chosen, readable)
