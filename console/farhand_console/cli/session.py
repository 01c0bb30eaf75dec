"""session open, list, show, end, reboot; shell, exec, forward, proxy, ssh-config."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import asyncssh
import click
import msgspec

from farhand_console.cli.approve import register_approve
from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.contract import tell_cover
from farhand_console.cli.join import register_join
from farhand_console.cli.joining import (
    DEFAULT_SCOPES,
    joined,
    make_wish,
    open_session_as,
    run_session,
)
from farhand_console.cli.reboot import register_reboot
from farhand_console.cli.widen import register_widen
from farhand_console.home import write_private
from farhand_console.output import line, printable, say, show_fields, show_table, warn
from farhand_console.relay import segments
from farhand_console.relay.answers import Device, Page, Session
from farhand_console.relay.desk import TicketMessage
from farhand_console.session.config import prepare_host, write_ssh_config
from farhand_console.session.ending import check_note, end_on_device, kept_receipt
from farhand_console.session.handover import hand_over_on_device
from farhand_console.session.inventory_changes import ChangesTold, changes_message
from farhand_console.session.jump import prepare_jump
from farhand_console.session.opening import WAIT_MINUTES
from farhand_console.session.proxy import listen_forward, run_proxy
from farhand_console.session.record import SessionRecord, drop, find, load, open_records
from farhand_console.session.scopes import scope_names
from farhand_console.session.ssh import SessionRestarted, check_restarted, connect_ssh, reconnect
from farhand_console.session.terminal import join_command, run_exec, run_shell
from farhand_console.trust.devices import VerifiedDevice, verify_device
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.grants import Receipt
from farhand_protocol.identity import is_session_id

__all__ = ["register"]

# A session ends without a receipt when the device does not sign by then.
_END_S = 10
# It hands over once it answers, or not at all.
_HAND_OVER_S = 40.0
# Who ended a session first, by the reason that the relay keeps.
_ENDED_BY = {
    "admin": "an admin ended the session first",
    "closed": "the session was ended from a console before",
    "device-retired": "the device was retired, which ended the session",
    "ended-by-relay": "the relay ended the session first",
    "expired": "the session's time was over first",
    "operator": "its technician ended the session first, from a console",
    "operator-removed": "the session ended when you were taken off the roster",
    "shutdown": "the device's agent shut down and ended the session first",
    "stopped": "the person at the device ended the session first",
}


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    sessions = group(root, "session", "Sessions on devices.")
    _register_open(sessions)
    _register_reading(sessions)
    _register_end(sessions)
    register_reboot(sessions)
    register_widen(sessions)
    register_approve(sessions)
    register_join(sessions, root)
    _register_terminal(root)
    _register_streams(root)


def _register_open(sessions: click.Group) -> None:
    @command(sessions, "open")
    @click.option("--code", help="The one-time code that the person at the device reads out.")
    @click.option("--device", help="An enrolled device whose policy allows it.")
    @click.option("--ticket", help="Number, id or external key; a walk-in ticket without it.")
    @click.option("--scope", "scopes", default=DEFAULT_SCOPES, show_default=True)
    @click.option("--forward-to", multiple=True, help="HOST:PORT for the scope forward.")
    @click.option("--minutes", type=click.IntRange(1, 480), default=30, show_default=True)
    @click.option("--reason", default="", help="Shown to the person at the device.")
    @click.option("--read-only", is_flag=True, help="Files are read and never written.")
    @click.option(
        "--wait-minutes", type=click.IntRange(1, 480), default=WAIT_MINUTES, show_default=True,
        help="How long others have to approve, where policy asks for it.",
    )  # fmt: skip
    @click.option("--if-needed", is_flag=True, help="Join the open session on the device.")
    def open_session(
        context: Context,
        code: str | None,
        device: str | None,
        ticket: str | None,
        scopes: str,
        forward_to: tuple[str, ...],
        minutes: int,
        reason: str,
        read_only: bool,
        wait_minutes: int,
        if_needed: bool,
    ) -> None:
        """Open a session; waits until it is granted or refused."""
        if (code is None) == (device is None):
            raise UsageError("usage", "give either --code or --device")
        wish = make_wish(ticket, scopes, forward_to, minutes, reason, read_only=read_only)
        record = _still_open(context, device) if if_needed and device else None
        if record is None:
            if ticket or device:
                tell_cover(context, ticket, device)
            record = open_session_as(context, code, device, wish, wait_minutes=wait_minutes)
        prepare_host(context.home, record)
        answer = {
            "session": record.session,
            "device": record.device,
            "ticket": record.ticket,
            "scopes": record.scopes,
            "expires_at": record.expires,
            "words": record.words,
        }

        def readable() -> None:
            shown = {"scopes": scope_names(record.scopes), "guest": "yes" if record.guest else "no"}
            show_fields(answer | shown)

        if if_needed and not context.as_json:
            return
        context.show(answer, readable)


def _still_open(context: Context, device: str) -> SessionRecord | None:
    """Return the open session on a device; one that ended, or that the relay lost, is forgotten."""
    record = find(context.home, device)
    if record is None:
        return None
    try:
        state = context.relay.get(segments("sessions", record.session), Session).state
    except FarhandError as error:
        if error.code != "not-found":
            raise
        state = "ended"
    if state in ("ended", "refused"):
        drop(context.home, record.session)
        return None
    return record


def _register_reading(sessions: click.Group) -> None:
    @command(sessions, "list")
    @click.option("--state")
    @click.option("--device")
    @click.option("--ticket")
    @click.option("--operator", help="Who has it or is in it.")
    @paged
    def list_sessions(
        context: Context,
        state: str | None,
        device: str | None,
        ticket: str | None,
        operator: str | None,
        limit: int,
        cursor: str | None,
    ) -> None:
        """List sessions, newest first."""
        page = context.relay.get(
            "/sessions",
            Page[Session],
            state=state,
            device=device,
            ticket=ticket,
            operator=operator,
            limit=limit,
            cursor=cursor,
        )
        context.show(
            page,
            lambda: show_table(
                (
                    "session",
                    "state",
                    "device",
                    "ticket",
                    "operator",
                    "started",
                    "active s",
                    "purpose",
                ),
                [
                    (
                        *(s.session, s.state, s.device, s.ticket, s.operator),
                        *(s.started_at, s.active_s, s.purpose[:60]),
                    )
                    for s in page.items
                ],
            ),
        )

    @command(sessions)
    @click.argument("session")
    def show(context: Context, session: str) -> None:
        """Show one session as the relay knows it."""
        answer = context.relay.get(segments("sessions", _session_id(context, session)), Session)
        shown = msgspec.to_builtins(answer) | {"scopes": scope_names(answer.scopes)}
        context.show(answer, lambda: show_fields(shown))


def _session_id(context: Context, name: str) -> str:
    if is_session_id(name):
        return name
    record = find(context.home, name)
    if record is None:
        raise FarhandError("session-unknown", f"there is no open session on {name[:80]!r}")
    return record.session


def _register_end(sessions: click.Group) -> None:
    @command(sessions)
    @click.argument("session")
    @click.option("--note", default="", help="Closing note for the ticket and the receipt.")
    @click.option("--no-diff", is_flag=True, help="Do not ask what changed on the device.")
    @click.option("--hand-over", is_flag=True, help="Leave, and let the peer who joined go on.")
    def end(context: Context, session: str, note: str, no_diff: bool, hand_over: bool) -> None:
        """End a session with a note; the device signs the receipt."""
        check_note(note)
        session = _session_id(context, session)
        if hand_over:
            if note:
                raise UsageError("usage", "whoever goes on with the session writes its note")
            _hand_over(context, session)
            return
        path = segments("sessions", session)
        signed, trouble = kept_receipt(context.home, session), ""
        told: list[ChangesTold] = []
        state = "ended" if signed else context.relay.get(path, Session).state
        if not (note or context.as_json) and state == "active" and sys.stdin.isatty():
            note = _asked_note(context, session)
        if signed is None and state != "ended":
            try:
                record = load(context.home, session)
                take = None if no_diff else told.append
                signed = run_session(_end_on_device(context, record, note, take))
            except (FarhandError, OSError) as error:
                # The relay is told in any case: a device that is gone must not keep a ticket open.
                silent = "the device did not answer"
                trouble = str(error) if isinstance(error, FarhandError) else silent
        receipt, digest = signed or (None, None)
        body = {
            "note": note,
            "active_s": receipt.active_s if receipt else None,
            "receipt_sha256": digest,
        }
        ended = context.relay.post(segments("sessions", session, "end"), Session, body)
        drop(context.home, session)
        digest = digest or ended.receipt_sha256
        if digest is None:
            warn(f"no receipt: {trouble or 'the device has signed none'}")
        elif receipt is None:
            say(f"{_who_ended(ended.reason)}; the device keeps the receipt, signed by itself alone")
        answer = {
            "session": session,
            "reason": ended.reason,
            "active_s": receipt.active_s if receipt else ended.active_s,
            "receipt": digest,
            "time_entry": ended.time_entry,
            "changes": _attach_changes(context, session, ended.ticket, told),
        }
        context.show(answer, lambda: show_fields(answer))


def _asked_note(context: Context, session: str) -> str:
    """Ask whoever worked on the device what was done; to say nothing ends the session as well."""
    if all(record.session != session for record in open_records(context.home)):
        return ""  # nobody worked there from this console
    try:
        words = "what was done, for the ticket and the receipt"
        note: str = click.prompt(words, default="", show_default=False, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        note = ""
    check_note(note)
    return note


def _who_ended(reason: str) -> str:
    """Say who ended a session before this console did."""
    return _ENDED_BY.get(reason, f"the session had ended already ({printable(reason, 80)})")


def _hand_over(context: Context, session: str) -> None:
    record = load(context.home, session)

    async def work() -> str:
        try:
            async with (
                asyncio.timeout(_HAND_OVER_S),
                connect_ssh(context.home, context.relay, record, notice=say) as connection,
            ):
                return await hand_over_on_device(connection)
        except TimeoutError as error:
            raise FarhandError(
                "session-lost",
                f"the device did not answer in {_HAND_OVER_S:g} s",
                hint=f"farhand session show {record.session} says whose the session is",
            ) from error

    answer = {"session": session, "handed_over": run_session(work())}
    drop(context.home, session)
    context.show(answer, lambda: show_fields(answer))


async def _end_on_device(
    context: Context,
    record: SessionRecord,
    note: str,
    on_changes: Callable[[ChangesTold], None] | None,
) -> tuple[Receipt, str]:
    async with asyncio.timeout(_END_S) as limit:
        async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
            return await end_on_device(
                context.home,
                record,
                connection,
                note,
                on_signed=lambda: limit.reschedule(None),  # what follows has a deadline of its own
                on_changes=on_changes,
            )


def _attach_changes(
    context: Context, session: str, ticket: str | None, told: list[ChangesTold]
) -> int | None:
    """Put what changed on the device into the ticket; return how much that was."""
    if not told or ticket is None:
        return None
    if (found := told[0].changes) is None:
        say(f"no changes are known: {told[0].why[:200]}")
        return None
    body = {"kind": "session", "body": changes_message(session, found)}
    try:
        context.relay.post(segments("tickets", ticket, "messages"), TicketMessage, body)
    except FarhandError as error:
        # The session has ended and has its receipt; this must not look like a failure of that.
        warn(f"what changed is not on the ticket: {error.message}")
    return sum(section.count for section in found.sections)


def _register_terminal(root: click.Group) -> None:
    @command(root)
    @click.argument("session")
    def shell(context: Context, session: str) -> None:
        """Open an interactive shell; S is a session or a device."""
        record = joined(context, session)

        async def work() -> int:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                return await run_shell(connection)

        while True:
            try:
                status = run_session(work())
            except SessionRestarted as error:
                warn(error.message)
                if not click.confirm("Open a new shell on the session?", default=True, err=True):
                    raise
            else:
                sys.exit(status)

    @command(root, "exec", context_settings={"ignore_unknown_options": True})
    @click.argument("session")
    @click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
    @click.option(
        "--wait-minutes", type=click.IntRange(1, 480), default=WAIT_MINUTES, show_default=True,
        help="How long others have to approve, where a session is opened for it.",
    )  # fmt: skip
    def exec_command(
        context: Context, session: str, words: tuple[str, ...], wait_minutes: int
    ) -> None:
        """Run a command as ssh does: farhand exec S -- COMMAND..."""
        context.failure_status = 255
        record = joined(context, session, wait_minutes=wait_minutes)

        async def work() -> int:
            async with connect_ssh(context.home, context.relay, record, notice=say) as connection:
                return await run_exec(connection, join_command(words))

        sys.exit(run_session(work()))


def _register_streams(root: click.Group) -> None:
    @command(root)
    @click.argument("session")
    @click.argument("spec")
    def forward(context: Context, session: str, spec: str) -> None:
        """Listen locally and carry to a destination the grant names: LPORT:HOST:PORT."""
        record = joined(context, session)
        if not {"forward", "desktop"} & set(record.scopes):
            raise FarhandError(
                "scope-missing",
                "the session does not include forwarding",
                hint=f"farhand session widen {record.session} --scope forward "
                "--forward-to HOST:PORT",
            )

        async def work(connection: asyncssh.SSHClientConnection) -> None:
            await listen_forward(connection, spec, say=say)
            check_restarted(connection)

        run_session(reconnect(context.home, context.relay, record, work, notice=say))

    @command(root)
    @click.argument("device")
    def proxy(context: Context, device: str) -> None:
        """Carry a foreign ssh (ProxyCommand) to a device with an open session."""
        record = find(context.home, device)
        if record is None:
            raise FarhandError(
                "session-unknown",
                f"there is no open session on {device[:80]!r}",
                hint="farhand session open --device D, or --code CODE",
            )
        run_session(run_proxy(context.home, context.relay, record, notice=say))

    @command(root, "ssh-config")
    @click.option("--write", is_flag=True, help="Into this home's ssh/config, to be included.")
    @click.option("--jump", "by_jump", is_flag=True, help="Through the relay's jump port.")
    def ssh_config(context: Context, write: bool, by_jump: bool) -> None:
        """Print (or write) the configuration with which stock ssh reaches devices."""
        trust = context.trust()
        devices: list[VerifiedDevice] = []
        for listed in context.relay.pages("/devices", Device, q="*"):
            try:
                answer = context.relay.get(segments("devices", listed.id), dict)
                device = verify_device(context.home, trust, answer, asked=listed.id)
                devices.append(device)
            except FarhandError as error:
                warn(f"{listed.name[:80]}: {error.code}: left out")
        jump = prepare_jump(context.home, context.settings, context.relay) if by_jump else None
        text = write_ssh_config(context.home, devices, jump)
        path: Path | None = None
        if write:
            path = context.home.folder / "ssh" / "config"
            write_private(path, text.encode())
        answer = {"path": str(path) if path else None, "config": text, "devices": len(devices)}

        def readable() -> None:
            for words in [f"Include {path}"] if path else text.splitlines():
                line(words)

        context.show(answer, readable)
