"""session widen: more scopes in a session that is open, by a second tap at the device."""

from __future__ import annotations

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import check_reason, run_session
from farhand_console.output import say, show_fields
from farhand_console.session.record import SessionRecord, find, update
from farhand_console.session.scopes import scope_names
from farhand_console.session.ssh import connect_ssh
from farhand_console.session.widening import Widened, in_order, widen
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.trust import SCOPES

__all__ = ["register_widen"]


def register_widen(sessions: click.Group) -> None:
    """Add `widen` to the group `session`."""

    @command(sessions, "widen")
    @click.argument("session")
    @click.option("--scope", "scopes", required=True, help="What to add, comma-separated.")
    @click.option("--forward-to", multiple=True, help="HOST:PORT for the scope forward.")
    @click.option("--reason", default="", help="Shown to the person at the device.")
    def widen_session(
        context: Context, session: str, scopes: str, forward_to: tuple[str, ...], reason: str
    ) -> None:
        """Ask for more in an open session; waits until it is granted or refused."""
        check_reason(reason)
        wanted = [part.strip() for part in scopes.split(",") if part.strip()]
        for scope in wanted or [""]:
            if scope not in SCOPES:
                raise UsageError(
                    "scope-unknown", f"{scope[:40]!r} is not one of {', '.join(SCOPES)}"
                )
        if "forward" in wanted and not forward_to:
            raise UsageError("usage", "the scope forward needs --forward-to HOST:PORT")
        record = find(context.home, session)
        if record is None:
            raise FarhandError("session-unknown", f"there is no open session on {session[:80]!r}")
        signer = context.signer()
        version = 0 if record.guest else context.trust().targets_version

        async def work(record: SessionRecord) -> Widened:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                say("asking the device; the person there may have to decide")
                return await widen(
                    record,
                    connection,
                    signer=signer,
                    scopes=list(dict.fromkeys(wanted)),
                    forward=list(forward_to),
                    reason=reason,
                    targets_version=version,
                )

        added = run_session(work(record))
        open_now = in_order([*record.scopes, *added.scopes])
        update(context.home, msgspec.structs.replace(record, scopes=open_now))
        answer = {
            "session": record.session,
            "added": added.scopes,
            "forward": added.forward,
            "scopes": open_now,
        }
        shown = {"added": scope_names(added.scopes), "scopes": scope_names(open_now)}
        context.show(answer, lambda: show_fields(answer | shown))
