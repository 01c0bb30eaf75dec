"""screen: the device's screen in any VNC viewer of this computer."""

from __future__ import annotations

import asyncssh
import click

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import joined, run_session
from farhand_console.output import line, say, show_json
from farhand_console.session.rfb import serve_viewer
from farhand_console.session.ssh import check_restarted, connect_ssh
from farhand_protocol.errors import FarhandError

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the command of this file."""

    @command(root)
    @click.argument("session")
    @click.option(
        "--port",
        type=click.IntRange(0, 65_535),
        default=0,
        help="Of 127.0.0.1; 0 takes one that is free.",
    )
    @click.option("--view-only", is_flag=True, help="Nothing but looking, whatever is open.")
    def screen(context: Context, session: str, port: int, view_only: bool) -> None:
        """Show the screen in a VNC viewer, which connects once to the port that is printed."""
        record = joined(context, session)
        if "screen" not in record.scopes:
            raise FarhandError(
                "scope-missing",
                "the session does not include the screen",
                hint=f"farhand session widen {record.session} --scope screen,control",
            )

        def ready(at: int) -> None:
            if context.as_json:
                show_json({"host": "127.0.0.1", "port": at, "session": record.session})
            else:
                line(f"vnc://127.0.0.1:{at}")
                say("one viewer may connect there; it ends when the viewer is closed")

        async def work() -> None:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                await _serve(connection)

        async def _serve(connection: asyncssh.SSHClientConnection) -> None:
            await serve_viewer(connection, port=port, view_only=view_only, ready=ready)
            check_restarted(connection)

        run_session(work())
