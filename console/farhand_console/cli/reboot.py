"""session reboot: restart the device, and wait until the session goes on."""

from __future__ import annotations

import click

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import joined, run_session
from farhand_console.output import say
from farhand_console.session.restart import ask_restart, wait_for_restart
from farhand_console.session.ssh import connect_ssh

__all__ = ["register_reboot"]


def register_reboot(sessions: click.Group) -> None:
    """Add the command to the group `session`."""

    @command(sessions)
    @click.argument("session")
    @click.option("--wait", is_flag=True, help="Until the device is back in the session.")
    @click.option(
        "--within",
        "within_s",
        type=click.IntRange(1, 8 * 3600),
        default=900,
        show_default=True,
        help="Seconds to wait.",
    )
    def reboot(context: Context, session: str, wait: bool, within_s: int) -> None:
        """Restart the device; the session goes on under the same grant and consent."""
        record = joined(context, session)
        home, relay = context.home, context.relay

        async def work() -> None:
            async with connect_ssh(home, relay, record, notice=say) as connection:
                before = await ask_restart(connection)
            say(f"{record.device_name} restarts")
            if wait:
                say(f"waiting until it is back, for {within_s} s at most")
                await wait_for_restart(home, relay, record, before, within_s=within_s, say=say)
                say(f"{record.device_name} is back; the session goes on")

        run_session(work())
        answer = {"session": record.session, "device": record.device, "back": wait}
        context.show(answer, lambda: None)
