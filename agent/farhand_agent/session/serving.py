"""A granted session while it is open: its pipes, its SSH host, its clock, its end.

It begins journalled (`SessionServing.open`), and everything of it runs in the task group that is
passed in.  The order of the end is fixed: journal the stop, withdraw the scopes, kill what still
runs, sign the receipt, store it, journal the end with its report, close the connections.

A session whose process goes without ending it (`leave`, or a kill) stays active in the journal; the
next process takes it up (`resumed`), with its start, its expiry and its actions.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from farhand_agent.consent import parting_words
from farhand_agent.journal import Journal, SessionRow
from farhand_agent.journal_thread import JournalThread
from farhand_agent.link import RelayAddress, open_websocket, origin
from farhand_agent.local import notify
from farhand_agent.locks import Lock, try_lock
from farhand_agent.processes import end_marked, started_at
from farhand_agent.receipts import store_receipt
from farhand_agent.session.action_file import ActionFile
from farhand_agent.session.actions import ActionLog
from farhand_agent.session.changes import ScopeChanges, SessionHands, cool_down
from farhand_agent.session.device import Device
from farhand_agent.session.ending import ReceiptFacts, SessionEnding, active_seconds, seal_receipt
from farhand_agent.session.events import (
    ActionSeen,
    Event,
    LineChanged,
    LineShown,
    Restarting,
    Waiting,
)
from farhand_agent.session.files import Roots
from farhand_agent.session.files_flow import KnownHashes
from farhand_agent.session.files_hash import serve_hashes
from farhand_agent.session.grant import Agreed
from farhand_agent.session.handover import SessionHandover
from farhand_agent.session.host import MAX_PIPES, SessionHost
from farhand_agent.session.inventory_changes import InventoryChanges
from farhand_agent.session.joining import SessionJoining
from farhand_agent.session.live_help import HelpTerms, LiveHelp
from farhand_agent.session.pipe_socket import WebsocketStream
from farhand_agent.session.pipes import PipeDriver, StreamLost
from farhand_agent.session.recording.session import SessionRecording
from farhand_agent.session.recording.upload import Ask
from farhand_agent.session.restart import MachineRestart
from farhand_agent.session.roll import Member
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.screen_share import ScreenShares
from farhand_agent.session.shell import login_environment
from farhand_agent.session.subsystems import Subsystem
from farhand_agent.session.terms import SessionTerms
from farhand_agent.session.view import serve_view
from farhand_protocol.attachment import LineState
from farhand_protocol.audit import head_mark
from farhand_protocol.envelopes import Envelope, decode_envelope
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.frames import MAX_PIPE_MESSAGE_BYTES, parse_attach_reply, write_attach
from farhand_protocol.grants import Action, Grant, RecordingMark
from farhand_protocol.instants import format_instant, from_unix, parse_instant
from farhand_protocol.messages import AttachPipe
from farhand_protocol.trust import SCOPES, GroupPolicy

__all__ = ["SESSION_MARK", "SessionServing"]

_log = logging.getLogger(__name__)

SESSION_MARK: Final = "FARHAND_SESSION"
ATTACH_TIMEOUT_S: Final = 20.0
QUIET_S: Final = 3.0
CLOSE_S: Final = 5.0
# A laptop that sleeps stops the loop's clock; the wall clock is looked at this often.
CLOCK_CHECK_S: Final = 15.0
# A shorter loss of the line is nothing that a receipt must tell.
TOLD_LOSS_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class _Times:
    started_at: datetime
    expires: datetime


class SessionServing:
    """One open session.

    Args:
        device: this device.
        journal: its journal.
        agreed: what was granted and consented to.
        grant: the sealed grant.
        policy: of this device, for the files roots.
        group: where its tasks run.
        now: the time.
        emit: tells the person at the device.
        ask: sends a message over the session's control link and returns its answer.
        stop: ends the session for a reason.
        hands: what its changes are made with.
        asked: whether a person agreed to it just now.
        resumed: the journal's row, where another process served this session before.
    """

    def __init__(
        self,
        device: Device,
        journal: JournalThread,
        agreed: Agreed,
        grant: bytes,
        policy: GroupPolicy,
        *,
        group: asyncio.TaskGroup,
        now: datetime,
        emit: Callable[[Event], None],
        ask: Ask,
        stop: Callable[[str], None],
        hands: SessionHands,
        asked: bool = False,
        resumed: SessionRow | None = None,
    ) -> None:
        self._device = device
        self._journal = journal
        self._agreed = agreed
        self._grant_bytes = grant
        self._group = group
        self._emit = emit
        self.session = agreed.grant.id
        self._resumed = resumed
        self._handlers = hands.handlers
        if resumed is None:
            until = now + timedelta(minutes=agreed.minutes)
            self._times = _Times(
                started_at=now, expires=min(until, parse_instant(agreed.grant.expires))
            )
        else:
            self._times = _Times(
                started_at=parse_instant(resumed.started_at).replace(microsecond=0),
                expires=parse_instant(resumed.expires),
            )
        self._clock_base = now, time.monotonic()
        self.scopes = LiveScopes(
            agreed.scopes, cool_down_s=cool_down(agreed.scopes, policy, asked=asked)
        )
        self._action_file = ActionFile(device.home.session_actions(self.session))
        self._actions = ActionLog(self._now, self._on_action, file=self._action_file)
        self._recording = self._recorder(ask, stop)
        self._mark: RecordingMark | None = None
        self._log_head = ""
        self._restart = MachineRestart(
            self._actions, lambda: emit(Restarting(session=self.session))
        )
        self._inventory = InventoryChanges(
            device.home.session_before(self.session),
            device.settings.inventory_leave_out if device.settings else None,
            group,
            self._now,
            personal=policy.inventory_personal,
        )
        self.ending = SessionEnding(self._halt, self._sign, self._keep, self._inventory)
        self._lock: Lock | None = None
        self._drivers: dict[int, PipeDriver] = {}
        self._attaching: dict[int, asyncio.Task[None]] = {}
        self._hosting: dict[int, asyncio.Task[None]] = {}
        self._lines: dict[int, LineState] = {}
        self._line_shown = ""
        self._lost_at: float | None = None
        roots = Roots.of(
            policy.files_roots,
            login_environment({})["HOME"],
            read_only=policy.files_read_only or agreed.grant.read_only,
            bytes_max=policy.file_bytes_max,
        )
        hashes = KnownHashes()
        environment = {SESSION_MARK: self.session}
        self.help = LiveHelp(
            HelpTerms(
                home=device.home,
                session=self.session,
                operator=agreed.grant.operator,
                scopes=self.scopes,
                actions=self._actions,
                roots=roots,
                restart=self._restart,
                environment=environment,
                now=self._now,
                emit=emit,
                on_wait=self._on_wait,
                gate=hands.asking.gate,
                has_page=hands.has_page,
            )
        )
        subsystems = {
            "farhand-view": Subsystem("view", partial(serve_view, actions=self._actions), "peer"),
            "farhand-hash": Subsystem(
                "files",
                partial(serve_hashes, roots=roots, actions=self._actions, hashes=hashes),
                "peer",
            ),
            "farhand-end": Subsystem(None, self.ending.farewell),
            "farhand-restart": Subsystem("terminal", self._restart.serve),
            **self.help.subsystems(),
        }
        terms = SessionTerms(
            session=self.session,
            console_key=agreed.grant.console_key,
            scopes=self.scopes,
            actions=self._actions,
            roots=roots,
            hashes=hashes,
            recording=self._recording,
            forward_to=set(agreed.forward_to),
            subsystems=subsystems,
            environment=environment,
            relay=origin(device.address.url)[1:],
            on_wait=self._on_wait,
            prompts=hands.asking.gate,
        )
        subsystems |= ScreenShares(terms, hands.asking.gate, name=device.host_name).subsystems()
        self.joining = SessionJoining(
            agreed, policy, terms, self.expires, hands, ask, self._now, stop
        )
        self.joining.on_lead = self._on_lead
        subsystems["farhand-watch"] = Subsystem(None, terms.mirror.serve, "observer")
        handover = SessionHandover(agreed.grant, terms.roll, self.joining)
        subsystems["farhand-handover"] = Subsystem(None, handover.serve)
        self.changes = ScopeChanges(
            agreed, grant, terms, self.expires, hands, now=self._now, report=self._active_report
        )
        subsystems["farhand-widen"] = Subsystem(None, self.changes.widening.serve)
        self._host = SessionHost(device.ssh_key, terms)
        self.receipt_path: str | None = None
        self._active_s = 0

    def _recorder(self, ask: Ask, stop: Callable[[str], None]) -> SessionRecording | None:
        device, plan = self._device, self._agreed.recording
        if plan is None:
            return None
        return SessionRecording(
            plan,
            device.home,
            session=self.session,
            tenant=device.tenant,
            signer=device.signer,
            relay_key=device.settings.relay_key_raw if device.settings else None,
            ask=ask,
            now=self._now,
            note=self._note_recording,
            stop=stop,
            group=self._group,
        )

    def _note_recording(self, words: str, message: str) -> None:
        self._actions.add("recording", words, message=message)

    @property
    def granted(self) -> list[str]:
        """The scopes that were granted, in their usual order."""
        return list(self._agreed.scopes)

    @property
    def grant(self) -> Grant:
        """Return the grant, checked."""
        return self._agreed.grant

    @property
    def expires(self) -> datetime:
        """When it ends by itself."""
        return self._times.expires

    async def open(self) -> None:
        """Journal the session, or that it goes on here, before anything of it is opened.

        Raises:
            RefusedError: `grant-reused`, `recording-impossible`.
            FarhandError: `journal-...`.
        """
        home = self._device.home
        self._lock = await asyncio.to_thread(try_lock, home.session_lock(self.session))
        if self._lock is None:
            raise RefusedError("grant-reused", "a process serves this session already")
        try:
            if self._recording is not None:
                await self._recording.begin()
            await (self._begin() if self._resumed is None else self._take_up())
            await self.joining.restore()
            await self.help.open({"put-out": self.joining.put_out_operator, **self._handlers})
            self._inventory.begin()
        except FarhandError as error:
            if self._recording is not None:
                await self._recording.close(settle_s=0.0)
            self._lock.release()
            if error.code == "grant-replayed":
                raise RefusedError("grant-reused", error.message) from error
            raise

    async def _begin(self) -> None:
        home, grant = self._device.home, self._agreed.grant
        report = self._active_report(list(self._agreed.scopes))
        pid = os.getpid()
        await self._journal.do(
            lambda journal: journal.grant_session(
                self.session,
                grant=self._grant_bytes,
                operator=grant.operator,
                operator_key=grant.operator_key,
                organisation=grant.organisation,
                ticket=grant.ticket,
                scopes=self._agreed.scopes,
                expires=format_instant(self.expires),
                pid=pid,
                pid_started=started_at(pid),
                report=report,
            )
        )
        await asyncio.to_thread(notify, home, "sessions-changed")

    async def _take_up(self) -> None:
        assert self._lock is not None
        # What the process before left running belongs to nobody any more.
        await asyncio.to_thread(end_marked, f"{SESSION_MARK}={self.session}")
        pid = os.getpid()
        started = started_at(pid)
        await self._journal.do(
            lambda journal: journal.resume_session(self.session, pid=pid, pid_started=started)
        )
        words = "the agent was started again and the session went on"
        self._actions.add("link", words, message="link-again")

    def attach(self, message: AttachPipe) -> None:
        """Dial a pipe that the console opened or attached again."""
        if not 0 <= message.number < MAX_PIPES or len(message.token) != 16:
            _log.warning("the relay names a pipe that cannot be: %d", message.number)
            return
        if self.ending.begun.is_set() and message.number not in self._drivers:
            return
        if (before := self._attaching.get(message.number)) is not None:
            before.cancel()  # the relay has dropped what that one dialled
        self._attaching[message.number] = self._group.create_task(self._attach(message))

    def _node(self, url: str) -> RelayAddress:
        """Return where a pipe is dialled: the node that holds its other half, if we may go there.

        Only what the token or the signed policy names; anywhere else our own relay's address has to
        do, behind which the node may stand.
        """
        address = self._device.address
        try:
            wanted = origin(url) if url else origin(address.url)
            allowed = {origin(one) for one in (address.url, *self._device.relay_origins())}
        except ValueError:
            return address
        if wanted in allowed:
            return replace(address, url=url or address.url)
        _log.warning("a pipe at an address that neither token nor policy names was not followed")
        return address

    async def _attach(self, message: AttachPipe) -> None:
        number = message.number
        driver = self._drivers.get(number)
        if driver is None or driver.closed.is_set():
            driver = self._drivers[number] = PipeDriver(
                number, on_state=partial(self._on_line, number)
            )
            self._hosting[number] = self._group.create_task(self._host.serve(driver))
        address = await asyncio.to_thread(self._node, message.url)
        try:
            async with open_websocket(
                address, "/pipe", max_size=MAX_PIPE_MESSAGE_BYTES
            ) as websocket:
                stream = WebsocketStream(websocket)
                async with asyncio.timeout(ATTACH_TIMEOUT_S):
                    await stream.send(write_attach("device", self.session, message.token))
                    parse_attach_reply(await stream.receive())
                await driver.serve(stream)
        except (FarhandError, StreamLost, TimeoutError) as error:
            # The console asks for another attachment when it needs one.
            _log.info("pipe %d was not attached: %s", message.number, error)

    async def expire(self) -> None:
        """Wait until the session's time is over, by whichever clock is further."""
        while (left := (self.expires - self._now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, CLOCK_CHECK_S))

    def part(self) -> None:
        """End the SSH connections, saying why."""
        reason = self.ending.reason
        self._host.close(parting_words(reason), expected=reason == "closed")

    async def close(self) -> None:
        """Close what is left of the connections and let go of the session."""
        self.part()
        for driver in self._drivers.values():
            driver.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for driver in self._drivers.values():
                    await driver.closed.wait()
        for task in self._attaching.values():
            task.cancel()
        await self.help.leave()
        await self._inventory.close()
        self._action_file.close()
        if self._recording is not None:
            await self._recording.close()
        if self._lock is not None:
            self._lock.release()
            self._device.home.session_lock(self.session).unlink(missing_ok=True)
            self._device.home.session_approvals(self.session).unlink(missing_ok=True)

    @property
    def is_restarting(self) -> bool:
        """Whether this computer is about to go down; the end of its terminal ends nothing then."""
        return self._restart.is_due

    async def leave(self) -> None:
        """Let go of the session without ending it.

        No goodbye is said on the pipes: the consoles dial again until the next process is there.
        """
        for tasks in (self._attaching, self._hosting):  # in this order: no goodbye leaves any more
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        await asyncio.to_thread(end_marked, f"{SESSION_MARK}={self.session}")
        await self.help.leave()
        await self._inventory.close(keep=True)
        await self._actions.settle()
        self._action_file.close()
        if self._recording is not None:
            await self._recording.leave()
        if self._lock is not None:
            self._lock.release()

    # The steps of the end.

    async def _halt(self, reason: str) -> str:
        def stop(journal: Journal) -> tuple[str, str]:
            journal.stop_session(self.session, reason)
            row = journal.session(self.session)
            return (row.reason if row else None) or reason, head_mark(*journal.log_head())

        try:
            effective, self._log_head = await self._journal.do(stop)
        except FarhandError as error:
            # A full disk must not keep a session open; the lock's end tells the resident agent.
            _log.error("the stop could not be journalled: %s", error)
            effective = reason
        self.help.close()
        self.scopes.withdraw_all(parting_words(effective))
        await asyncio.to_thread(end_marked, f"{SESSION_MARK}={self.session}")
        if not await self._host.quiet(QUIET_S):
            _log.warning("a channel did not end in time")
        if self._recording is not None:
            self._mark = await self._recording.finish()
        return effective

    def _sign(self, reason: str, note: str) -> Envelope:
        facts = ReceiptFacts(
            grant=self._agreed.grant,
            grant_envelope=decode_envelope(self._grant_bytes),
            host_name=self._device.host_name,
            guest=self._device.guest,
            scopes=self._receipt_scopes(),
            widened=tuple(self.changes.widened),
            approvals=self._agreed.approvals,
            joined=tuple(self.joining.joined),
            started_at=self._times.started_at,
            recording=self._mark,
            audit_head=self._log_head,
        )
        ended_at = self._now()
        # The receipt's number, so that both sides and the ticket speak of one.
        self._active_s = active_seconds(self._times.started_at, ended_at)
        return seal_receipt(
            facts,
            self._actions,
            self._device.signer,
            ended_at=ended_at,
            reason=reason,
            note=note,
        )

    async def _keep(self, receipt: bytes) -> None:
        # Whatever becomes of the receipt: without an end in the journal it would be taken up again.
        digest = hashlib.sha256(receipt).hexdigest()
        try:
            path = await asyncio.to_thread(store_receipt, self._device.home, receipt)
            self.receipt_path = str(path)
            self._action_file.remove()
            self.changes.forget()
            self.joining.forget()
        except OSError as error:
            _log.error("the receipt could not be stored: %s", error)
        except FarhandError as error:
            digest = ""  # nobody can verify it, so the ticket names none
            _log.error("the receipt is none: %s", error)
        reason, note = self.ending.reason, self.ending.note
        report = self._report(
            state="ended",
            reason=reason,
            note=note,
            active_s=self._active_s,
            receipt_sha256=digest,
        )
        try:
            await self._journal.do(
                lambda journal: journal.end_session(self.session, reason=reason, report=report)
            )
        except FarhandError as error:
            _log.error("the end could not be journalled: %s", error)

    def _report(self, **fields: object) -> bytes:
        return msgspec.msgpack.encode(
            {
                "session": self.session,
                "started_at": format_instant(self._times.started_at),
                **fields,
            }
        )

    def _active_report(self, scopes: list[str]) -> bytes:
        return self._report(state="active", scopes=scopes, expires=format_instant(self.expires))

    def _receipt_scopes(self) -> tuple[str, ...]:
        """Return all that was ever open; grant and widenings account for it."""
        before = self._resumed.scopes if self._resumed else []
        known = {*self.changes.granted_ever, *before}
        return tuple(scope for scope in SCOPES if scope in known)

    # What the person is told.

    def _on_wait(self, scope: str, detail: str, seconds: float) -> None:
        self._emit(Waiting(scope=scope, detail=detail, seconds=math.ceil(seconds)))

    def _on_line(self, number: int, state: LineState) -> None:
        """Tell when the technician's line changed: of several, one that is up counts."""
        self._lines[number] = state
        names = {line.name for line in self._lines.values()}
        shown: LineShown = "idle"
        if "connected" in names:
            shown = "connected"
        elif "reconnecting" in names:
            shown = "reconnecting"
        if shown == self._line_shown:
            return
        now = time.monotonic()
        if shown == "reconnecting":
            self._lost_at = now
        elif self._lost_at is not None:
            if now - self._lost_at >= TOLD_LOSS_S and shown == "connected":
                lost_s = round(now - self._lost_at)
                words = f"the line was lost for {lost_s} s"
                self._actions.add("link", words, message="link-lost", facts={"seconds": lost_s})
            self._lost_at = None
        self._line_shown = shown
        left_s = None if state.left_s is None else round(state.left_s)
        self._emit(LineChanged(session=self.session, state=shown, left_s=left_s))

    def _on_lead(self, member: Member) -> None:
        self.help.operator = member.operator

    def _on_action(self, action: Action) -> None:
        if self._recording is not None:
            self._recording.event(action)
        self._emit(
            ActionSeen(
                at=action.at,
                kind=action.kind,
                detail=action.detail,
                by=action.by,
                message=action.message or "",
                facts=action.facts or {},
            )
        )

    def _now(self) -> datetime:
        """The time: the start and what has passed since, or the wall clock where that is later.

        A clock set back during a session must not make it longer.
        """
        base, at = self._clock_base
        steady = base + timedelta(seconds=time.monotonic() - at)
        return max(steady, from_unix(time.time())).replace(microsecond=0)
