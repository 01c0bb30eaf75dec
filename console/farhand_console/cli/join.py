"""session join, leave, members; watch: two technicians in one session."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import Literal

import click
import msgspec

from farhand_console.cli.base import Context, command
from farhand_console.cli.joining import check_reason, run_session
from farhand_console.output import printable, say, show_fields, show_json, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Device, Page, Session, SessionMember
from farhand_console.session.config import prepare_host
from farhand_console.session.joining import join_session, leave_session
from farhand_console.session.record import find, load
from farhand_console.session.scopes import scope_names
from farhand_console.session.ssh import connect_ssh
from farhand_console.session.watching import Shown, watch
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id

__all__ = ["register_join"]


def register_join(sessions: click.Group, root: click.Group) -> None:
    """Add `join`, `leave` and `members` to the group `session`, and `watch`."""
    _register_members(sessions)
    _register_watch(root)


def _register_members(sessions: click.Group) -> None:
    @command(sessions)
    @click.argument("session")
    @click.option(
        "--as",
        "mode",
        type=click.Choice(["observer", "peer"]),
        default="observer",
        show_default=True,
        help="An observer watches; a peer may use the session's scopes as well.",
    )
    @click.option("--reason", default="", help="Shown to the person at the device.")
    def join(
        context: Context, session: str, mode: Literal["observer", "peer"], reason: str
    ) -> None:
        """Ask to join somebody else's session; waits until it is granted or refused."""
        check_reason(reason)
        record = join_session(
            context.home,
            context.settings,
            context.relay,
            _id(context, session),
            mode,
            reason,
            signer=context.signer,
            trust=context.trust(),
            say=say,
        )
        prepare_host(context.home, record)
        answer = {
            "session": record.session,
            "device": record.device,
            "mode": record.mode,
            "scopes": record.scopes,
            "expires_at": record.expires,
        }
        shown = answer | {"scopes": scope_names(record.scopes)}
        context.show(answer, lambda: show_fields(shown))

    @command(sessions)
    @click.argument("session")
    def leave(context: Context, session: str) -> None:
        """Leave a session that you joined; its operator goes on."""
        left = leave_session(context.home, context.relay, _id(context, session))
        answer = {"session": left.session, "state": left.state}
        context.show(answer, lambda: show_fields(answer))

    @command(sessions)
    @click.argument("session")
    def members(context: Context, session: str) -> None:
        """Show who asked to join a session."""
        path = segments("sessions", _id(context, session), "members")
        items = context.relay.get(path, list[SessionMember])
        context.show(
            {"items": items, "next": None},
            lambda: show_table(
                ("operator", "mode", "state", "reason", "asked", "joined", "left"),
                [
                    (m.operator, m.mode, m.state, m.reason, m.asked_at, m.joined_at, m.left_at)
                    for m in items
                ],
            ),
        )


def _id(context: Context, name: str) -> str:
    """Return the session of that id, or the one that is active on the device of that name.

    Raises:
        FarhandError: `session-unknown`, `device-ambiguous`.
    """
    if is_session_id(name):
        return name
    active: list[Session] = []
    try:
        device = context.relay.get(segments("devices", name), Device).id
        page = context.relay.get("/sessions", Page[Session], state="active", device=device)
        active = page.items
    except FarhandError as error:
        if error.code != "not-found":
            raise
    if len(active) == 1:
        return active[0].session
    several = ", ".join(one.session for one in active[:8])
    raise FarhandError(
        "device-ambiguous" if active else "session-unknown",
        f"{printable(name, 60)} is not a session, "
        + (f"and has several: {several}" if active else "and no device with one that is active"),
        hint="farhand session list --state active",
    )


def _register_watch(root: click.Group) -> None:
    @command(root, "watch")
    @click.argument("session")
    def watch_session(context: Context, session: str) -> None:
        """Show what the terminals of a session show; Ctrl-C ends the watching."""
        record = load(context.home, session) if is_session_id(session) else None
        record = record or find(context.home, session)
        if record is None:
            raise FarhandError(
                "session-unknown",
                f"you are in no session on {printable(session, 80)}",
                hint="farhand session join S",
            )

        async def work() -> None:
            connecting = connect_ssh(context.home, context.relay, record, notice=say)
            async with connecting as connection, aclosing(watch(connection)) as showing:
                say("watching; Ctrl-C ends it")
                screen = _Screen()
                async for shown in showing:
                    if context.as_json:
                        show_json(msgspec.to_builtins(shown))
                    else:
                        screen.show(shown)

        run_session(work())


class _Screen:
    """Writes what several streams show onto one terminal, saying whose it is when it changes."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._last = 0

    def show(self, shown: Shown) -> None:
        """Show one thing."""
        if shown.begin is not None:
            by = f"{shown.begin.by}: " if shown.begin.by else ""
            self._names[shown.stream] = f"{by}{shown.begin.title}"
            say(f"--- {self._names[shown.stream]}")
            self._last = shown.stream
        elif shown.ended:
            status = "" if shown.status is None else f", status {shown.status}"
            say(f"--- {self._names.pop(shown.stream, '?')} has ended{status}")
        elif shown.lost_bytes:
            say(f"--- {shown.lost_bytes} bytes were too fast for this line and are left out")
        elif shown.text:
            if shown.stream != self._last:
                say(f"--- {self._names.get(shown.stream, '?')}")
                self._last = shown.stream
            sys.stdout.write(shown.text)
            sys.stdout.flush()
