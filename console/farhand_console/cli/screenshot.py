"""screenshot: one picture of the person's screen, which she looks over and sends, or does not."""

from __future__ import annotations

from pathlib import Path

import click

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import joined, run_session
from farhand_console.output import line, say
from farhand_console.relay import segments
from farhand_console.relay.desk import TicketMessage
from farhand_console.session.screenshot import Screenshot, ask_screenshot
from farhand_console.session.ssh import connect_ssh
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the command of this file."""

    @command(root)
    @click.argument("session")
    @click.option(
        "-o",
        "--output",
        "target",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where the picture goes (PNG); never over another file.",
    )
    @click.option("--reason", default="", help="Why you ask; she reads it.")
    @click.option("--ticket", help="Note on this ticket what was sent, by its hash.")
    def screenshot(
        context: Context, session: str, target: Path, reason: str, ticket: str | None
    ) -> None:
        """Ask the person at the device for one picture of her screen.

        She takes it, blackens what is nobody's business, and sends it, or refuses.
        """
        if target.exists():
            raise UsageError("file-exists", f"{target} is there already")
        record = joined(context, session)

        async def work() -> Screenshot:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                say("the person was asked; she may take a few minutes to look it over")
                return await ask_screenshot(connection, reason=reason)

        picture = run_session(work())
        _save(target, picture.data)
        if ticket is not None:
            _note(context, ticket, session=record.session, picture=picture)
        context.show(
            {
                "session": record.session,
                "path": str(target),
                "sha256": picture.sha256,
                "size_bytes": len(picture.data),
                "width": picture.width,
                "height": picture.height,
                "ticket": ticket,
            },
            lambda: line(f"{target}  {picture.width}x{picture.height}"),
        )


def _save(target: Path, data: bytes) -> None:
    try:
        with target.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError("file-exists", f"{target} is there already") from error
    except OSError as error:
        raise FarhandError("file-unwritable", f"cannot write {target}: {error.strerror}") from error


def _note(context: Context, ticket: str, *, session: str, picture: Screenshot) -> None:
    words = (
        f"Screenshot of session {session}: {picture.width}x{picture.height} pixels,"
        f" {len(picture.data)} bytes, SHA-256 {picture.sha256}"
    )
    path = segments("tickets", ticket, "messages")
    context.relay.post(path, TicketMessage, {"kind": "note", "body": words})
