"""looks: the organisation's name, colour and logo on the relay's pages, and who may chat there."""

from __future__ import annotations

import base64
from pathlib import Path

import click
import msgspec

from farhand_console.cli.base import Context, command, group
from farhand_console.output import show_fields
from farhand_protocol.errors import FarhandError

__all__ = ["register"]

_MAX_LOGO_BYTES = 200 * 1024


class _Looks(msgspec.Struct, frozen=True, kw_only=True):
    """How the pages look; `logo` is the SHA-256 of the picture."""

    name: str
    colour: str
    logo: str
    guests: bool = True


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    looks = group(root, "looks", "How the relay's pages look.")

    @command(looks)
    def show(context: Context) -> None:
        """Show how the pages look."""
        _show(context, context.relay.get("/looks", _Looks))

    @command(looks, "set")
    @click.option("--name", default="", help="The organisation's, unless given.")
    @click.option(
        "--colour",
        default="#1f5f8b",
        show_default=True,
        help="As #rrggbb; white words stand on it.",
    )
    @click.option(
        "--guests/--no-guests",
        default=True,
        show_default=True,
        help="Whether somebody without a sign-in may begin a chat.",
    )
    @click.option(
        "--logo",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A PNG, JPEG or WebP of at most 200 KiB; none, unless given.",
    )
    def set_looks(
        context: Context, name: str, colour: str, guests: bool, logo: Path | None
    ) -> None:
        """Change how the pages look; what is not given is as in the beginning."""
        body = {"name": name, "colour": colour, "logo": _read(logo), "guests": guests}
        _show(context, context.relay.post("/looks", _Looks, body))


def _show(context: Context, looks: _Looks) -> None:
    context.show(looks, lambda: show_fields(msgspec.structs.asdict(looks)))


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise FarhandError("file-unreadable", f"cannot read {path}: {error.strerror}") from error
    return base64.b64encode(data).decode()
