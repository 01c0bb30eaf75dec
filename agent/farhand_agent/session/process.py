"""The session process's one run: a code or a grant, consent, the session, its end.

    start     --resume ID, and it still holds -> open       (journalled; nobody is asked again)
    start     --resume ID, and it does not    -> over       (receipt of what was done, report)
    start     by code                         -> shown      (AllocateNameplate, code on the screen)
    shown     MailboxOpen, pake, confirm      -> paired     (the console proved that it knows it)
    shown     the link is lost                -> shown      (with a new code)
    paired    request: the grant holds        -> asked      start   --grant FILE holds -> asked
    asked     the person allows it            -> open       (journalled, then reported, then told)
    open      closed, stopped, expired, ended -> over       (receipt, report)
    open      told to go, not to end it       -> paused     (active in the journal; see --resume)
    any       a refusal, a wrong code         -> refused    (reported with its stable code)

Exit status: 0 when a session was held or paused, 1 for a code that came to nothing or a failure, 3
when policy, trust or consent refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farhand_agent.config import Home, read_limited
from farhand_agent.consent import reason_words
from farhand_agent.journal_thread import JournalThread
from farhand_agent.policy_changes import unshown_policy
from farhand_agent.session.asking import Asking
from farhand_agent.session.changes import ScopeChanges, SessionHands, cool_down, read_widened
from farhand_agent.session.codes import CodeDesk, Unlinked
from farhand_agent.session.control import Control
from farhand_agent.session.device import Device, load_device
from farhand_agent.session.events import (
    Asked,
    Ended,
    Event,
    Failed,
    Opened,
    Paused,
    PolicyChanged,
    Refused,
)
from farhand_agent.session.exchange import CodeExchange
from farhand_agent.session.freshness import TrustFreshness
from farhand_agent.session.grant import SERVED_SCOPES, Agreed, Facts, check_grant
from farhand_agent.session.joining import SessionJoining
from farhand_agent.session.onlookers import tell_begun, tell_over
from farhand_agent.session.recording.left import LeftRecordings
from farhand_agent.session.reports import REPORT_S, deliver_reports, report_refused
from farhand_agent.session.resuming import agree_again
from farhand_agent.session.serving import SessionServing
from farhand_agent.session.unattended import local_now, read_approvals
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES, open_payload
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.grants import Decision, Widening
from farhand_protocol.identity import is_session_id
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import (
    AttachPipe,
    EndSession,
    MailboxBlob,
    MailboxOpen,
    OfferGrant,
    RelayMessage,
)
from farhand_protocol.trust import GroupPolicy

__all__ = ["Options", "SessionProcess"]

_log = logging.getLogger(__name__)

# What a code offers when the person names nothing: all that policy allows but these.
NOT_BY_DEFAULT: Final = ("forward", "control")
_MAX_WITHDRAWALS: Final = 32
# These say something about a code or the network; every other refusal is a decision.
_EXIT_1: Final = ("code-expired", "code-wrong", "code-burned", "pairing-malformed", "link-lost")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the process was started with.

    `grant` names a file that is read once and removed; `resume` a session of the journal that has
    no process any more.
    """

    home: Home
    url: str | None = None
    scopes: tuple[str, ...] | None = None
    minutes: int | None = None
    grant: Path | None = None
    resume: str | None = None


class SessionProcess:
    """One run.

    Args:
        options: see `Options`.
        emit: tells the person at the device.
        can_ask: whether somebody may answer; without, a needed consent is `consent-timeout`.
        consent_s: how long a question stands; what the policy says, where it is None.
    """

    def __init__(
        self,
        options: Options,
        emit: Callable[[Event], None],
        *,
        can_ask: bool = True,
        consent_s: float | None = None,
    ) -> None:
        self._options = options
        self._emit = emit
        self._consent_s = consent_s
        self._asking = Asking(emit, can_ask=can_ask)
        self._stopping = asyncio.Event()
        self._stop_reason = ""
        self._leaving = False
        self._serving: SessionServing | None = None
        self._withdrawn: asyncio.Queue[str | None] = asyncio.Queue(_MAX_WITHDRAWALS)
        self._device: Device
        self._journal: JournalThread
        self._linked = asyncio.Event()
        self._control: Control
        self._codes: CodeDesk
        self._freshness: TrustFreshness

    # What comes from outside.

    def answer(self, allow: bool) -> None:
        """Take the person's answer; without a question it means nothing."""
        self._asking.answer(allow)

    def withdraw(self, scope: str | None) -> None:
        """Close one scope of the open session; None for those that the journal names no more."""
        with suppress(asyncio.QueueFull):
            # More than there are scopes: what waits already closes them all.
            self._withdrawn.put_nowait(scope)

    def say(self, text: object) -> None:
        """Say something to the technician; means nothing before the session is open."""
        if self._serving is not None:
            self._serving.help.say(text)

    def answer_step(self, step: object, answer: object, why: object) -> None:
        """Take the person's answer to an instruction; it counts for the one that stands."""
        if self._serving is not None:
            self._serving.help.steps.answer(step, answer, why)

    def stop(self, reason: str) -> None:
        """End it, whatever it is doing; the first reason stands."""
        if not self._stopping.is_set():
            self._stop_reason = reason
            self._stopping.set()
        self._asking.refuse_all()

    def leave(self, reason: str) -> None:
        """Go, and leave an open session to the next process; what is not open yet ends.

        Where the journal says that it stops, that is why this process is told to go, and it ends.
        """
        was_open = self._serving is not None or self._options.resume is not None
        if was_open and not self._stopping.is_set():
            self._leaving = True
        self.stop(reason)

    def hang_up(self) -> None:
        """The terminal is gone: the end of the session, unless this computer restarts just now."""
        if self._serving is not None and self._serving.is_restarting:
            self.leave("stopped")
        else:
            self.stop("stopped")

    # The run.

    async def run(self) -> int:
        """Run to the end and return the exit status; failures are told as events."""
        try:
            self._device, journal = await asyncio.to_thread(
                load_device, self._options.home, self._options.url
            )
        except FarhandError as error:
            return self._fail(error)
        self._journal = JournalThread(journal)
        self._control = Control(
            self._device.address,
            tenant=self._device.tenant,
            relay_key=self._device.settings.relay_key_raw if self._device.settings else None,
            signer=self._device.signer,
            on_message=self._on_message,
            on_up=self._linked.set,
            on_lost=lambda: self._codes.post(None),
        )
        self._codes = CodeDesk(self._device, self._journal, self._control, self._emit)
        self._freshness = TrustFreshness(self._device, self._journal, self._control)
        if self._options.grant is not None:
            # Before the link is opened, whose first message names the session.
            self._control.session = _granted_session(self._options.grant)
        if self._options.resume is not None:
            self._control.session = self._options.resume
        status = 1
        try:
            status = await self._run_linked()
        except* FarhandError as errors:
            status = self._fail(_first(errors))
        finally:
            self._journal.close()
        return status

    async def _run_linked(self) -> int:
        async with asyncio.TaskGroup() as group:
            link = group.create_task(self._control.run())
            work = group.create_task(self._work(group))
            stop = group.create_task(self._stopping.wait())
            left = group.create_task(self._send_left())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            is_taken_up = self._options.resume is not None and not self._leaving
            if not work.done() and self._serving is None and not is_taken_up:
                # Nothing is open yet, so nothing needs an orderly end.  A question was answered
                # with no, and that answer may still be on its way to the console.
                await asyncio.wait({work}, timeout=REPORT_S if self._asking.asked else 0.0)
                work.cancel()
            await asyncio.wait({work})
            for task in (stop, left, link):
                task.cancel()
        return 0 if work.cancelled() else work.result()

    async def _send_left(self) -> None:
        """Send what an earlier session left of its recording, where no resident agent does it."""
        if not self._device.guest:
            return
        try:
            await LeftRecordings(self._options.home).send_all(self._control.request)
        except FarhandError as error:
            _log.info("an earlier recording waits: %s", error)

    async def _work(self, group: asyncio.TaskGroup) -> int:
        try:
            if self._options.resume is not None:
                await self._by_journal(group, self._options.resume)
            elif self._options.grant is not None:
                await self._by_grant(group, self._options.grant)
            else:
                await self._by_code(group)
        except FarhandError as error:
            decided = isinstance(error, RefusedError) or error.code.startswith("grant-")
            if not decided and error.code not in _EXIT_1:
                raise
            self._emit(Refused(reason=error.code, message=error.message))
            return 3 if decided else 1
        serving = self._serving
        assert serving is not None
        await self._serve(group, serving)
        return 0

    def _fail(self, error: FarhandError) -> int:
        _log.info("%s (%s)", error, error.detail)
        self._emit(Failed(code=error.code, message=error.message, hint=error.hint))
        return error.exit_code

    # Messages of the relay.

    async def _on_message(self, message: RelayMessage) -> None:
        match message:
            case MailboxOpen() | MailboxBlob():
                self._codes.post(message)
            case AttachPipe() if self._serving and message.session == self._serving.session:
                self._serving.attach(message)
            case OfferGrant() | EndSession() if self._joins(message):
                _log.info("another operator asks to join, or leaves")
            case EndSession() if message.session == self._control.session:
                self.stop("ended-by-relay")
            case _:
                _log.debug("a %s means nothing to a session", type(message).__name__)

    def _joins(self, message: OfferGrant | EndSession) -> bool:
        return self._serving is not None and self._serving.joining.take(message)

    # By code.

    async def _by_code(self, group: asyncio.TaskGroup) -> None:
        await self._freshness.refresh()
        trust = await asyncio.to_thread(self._device.trust)
        policy = self._device.policy(trust)
        news = await self._journal.do(lambda journal: unshown_policy(journal, policy))
        if news is not None:
            self._emit(PolicyChanged(since=news.since, words=news.words))
        if not policy.attended:
            raise RefusedError("policy-refused", "this device allows no sessions by code")
        offered = self._offered(policy)
        minutes = min(self._options.minutes or policy.minutes_max, policy.minutes_max)
        while True:
            try:
                exchange, opened = await self._codes.pair(offered, minutes)
                break
            except Unlinked:
                continue
        self._control.session = opened.session
        assert exchange.grant is not None
        try:
            await self._decide(
                group, exchange.grant, offered=offered, minutes=minutes, exchange=exchange,
                opened=opened,
            )  # fmt: skip
        except FarhandError as error:
            no = Decision(
                granted=False, code=error.code, words=error.message, scopes=[], expires=""
            )
            await self._codes.reply(opened.session, "request", exchange.decide(no))
            await report_refused(self._control, opened.session, error.code)
            raise
        assert self._serving is not None
        yes = Decision(
            granted=True,
            code="",
            words="",
            scopes=self._serving.granted,
            expires=format_instant(self._serving.expires),
        )
        await self._codes.reply(opened.session, "request", exchange.decide(yes))

    def _offered(self, policy: GroupPolicy) -> tuple[str, ...]:
        wanted = self._options.scopes
        offered = tuple(
            scope
            for scope in SERVED_SCOPES
            if scope in policy.scopes
            and (scope in wanted if wanted is not None else scope not in NOT_BY_DEFAULT)
        )
        if not offered:
            raise RefusedError("scope-empty", "this device's policy allows none of these scopes")
        return offered

    # By grant alone.

    async def _by_grant(self, group: asyncio.TaskGroup, path: Path) -> None:
        try:
            data = await asyncio.to_thread(read_limited, path, MAX_ENVELOPE_BYTES)
        except OSError as error:
            raise UsageError("grant-malformed", "the grant file cannot be read") from error
        finally:
            path.unlink(missing_ok=True)
        if (session := self._control.session) is None:
            raise UsageError("grant-malformed", "the grant file's name is no session id")
        try:
            await self._decide(group, data, offered=SERVED_SCOPES, minutes=24 * 60)
        except FarhandError as error:
            refusal = error.code
            await self._journal.do(
                lambda journal: journal.log("session-refused", session=session, code=refusal)
            )
            self._device.home.session_approvals(session).unlink(missing_ok=True)
            await report_refused(self._control, session, refusal)
            raise

    # By the journal: another process served it before.

    async def _by_journal(self, group: asyncio.TaskGroup, session: str) -> None:
        """Take up a session that has no process any more; one that no longer holds is ended.

        Raises:
            FarhandError: `session-ended`, `grant-reused` when a process serves it after all.
        """
        row = await self._journal.do(lambda journal: journal.session(session))
        if row is None or row.state == "ended":
            raise FarhandError("session-ended", "there is no such session to go on with")
        facts = await self._facts(tuple(row.scopes), 24 * 60, None, None)
        device = self._device
        widened = await asyncio.to_thread(read_widened, device.home, session)
        wishes = [open_payload(one, Widening) for one in widened]
        agreed, ended = agree_again(row, facts, wishes)
        serving = SessionServing(
            device, self._journal, agreed, row.grant, facts.policy,
            group=group, now=facts.now.replace(microsecond=0), emit=self._emit, resumed=row,
            hands=self._hands(group, row.id),
            ask=self._control.request, stop=self.stop,
        )  # fmt: skip
        if ended:
            serving.scopes.withdraw_all()
        await serving.open()
        self._serving = serving
        if ended:
            self.stop(ended)
        if self._stopping.is_set():
            return
        self._emit(
            Opened(
                session=serving.session,
                operator=agreed.grant.operator,
                scopes=list(agreed.scopes),
                expires_at=format_instant(serving.expires),
                resumed=True,
            )
        )

    # The decision.

    async def _decide(
        self,
        group: asyncio.TaskGroup,
        data: bytes,
        *,
        offered: tuple[str, ...],
        minutes: int,
        exchange: CodeExchange | None = None,
        opened: MailboxOpen | None = None,
    ) -> None:
        """Check the grant, ask the person, journal the session; `_serving` is set then.

        Raises:
            FarhandError: the refusal.
        """
        facts = await self._facts(offered, minutes, exchange, opened)
        try:
            agreed = check_grant(data, facts)
        except RefusedError as error:
            if error.code not in ("trust-behind", "trust-missing"):
                raise
            # The signer saw newer trust metadata: fetch it, and look once more.
            await self._freshness.catch_up(facts.trust)
            facts = await self._facts(offered, minutes, exchange, opened)
            agreed = check_grant(data, facts)
        if asked := exchange is not None or facts.policy.consent == "ask":
            await self._ask(agreed, facts, exchange.words if exchange else [])
        now = await self._journal.do(lambda journal: journal.now())
        serving = SessionServing(
            self._device, self._journal, agreed, data, facts.policy,
            group=group, now=now.replace(microsecond=0), emit=self._emit, asked=asked,
            hands=self._hands(group, agreed.grant.id),
            ask=self._control.request, stop=self.stop,
        )  # fmt: skip
        await serving.open()
        self._serving = serving
        self._control.session = serving.session
        self._emit(
            Opened(
                session=serving.session,
                operator=agreed.grant.operator,
                scopes=list(agreed.scopes),
                expires_at=format_instant(serving.expires),
            )
        )
        await deliver_reports(self._control, self._journal, serving.session)

    async def _facts(
        self,
        offered: tuple[str, ...],
        minutes: int,
        exchange: CodeExchange | None,
        opened: MailboxOpen | None,
    ) -> Facts:
        device = self._device
        trust = await asyncio.to_thread(device.trust)
        session = self._control.session
        seen = session is not None and await self._journal.do(
            lambda journal: journal.session(session) is not None
        )
        return Facts(
            device=device.id,
            tenant=device.tenant,
            host_name=device.host_name,
            group=device.group(trust),
            guest=device.guest,
            trust=trust,
            policy=device.policy(trust),
            offered=offered,
            offered_minutes=minutes,
            session=opened.session if opened else session,
            transcript=exchange.transcript if exchange else None,
            relay_operator=opened.operator if opened else None,
            now=await self._journal.do(lambda journal: journal.now()),
            was_seen=seen,
            approvals=await asyncio.to_thread(read_approvals, device.home, session),
            local_now=local_now(),
        )

    async def _ask(self, agreed: Agreed, facts: Facts, words: list[str]) -> None:
        """Ask the person; silence and no are different refusals."""
        grant, policy = agreed.grant, facts.policy
        within_s = policy.consent_s if self._consent_s is None else self._consent_s
        await self._asking.ask(
            Asked(
                session=grant.id,
                operator=grant.operator,
                organisation=grant.organisation,
                ticket=grant.ticket,
                reason=grant.reason,
                scopes=list(agreed.scopes),
                minutes=agreed.minutes,
                words=words,
                guest=facts.guest,
                host_name=facts.host_name,
                recorded=agreed.recording is not None,
                files=list(policy.files_roots),
                files_read_only=policy.files_read_only or grant.read_only,
                file_bytes_max=policy.file_bytes_max,
                forward=sorted(agreed.forward_to),
                shortened=[scope for scope in grant.scopes if scope not in agreed.scopes],
                answer_within_s=round(within_s),
                cooling=sorted(cool_down(agreed.scopes, policy, asked=True)),
                cool_down_s=policy.cool_down_s,
            ),
            within_s=within_s,
        )

    def _hands(self, group: asyncio.TaskGroup, session: str) -> SessionHands:
        return SessionHands(
            device=self._device,
            journal=self._journal,
            asking=self._asking,
            emit=self._emit,
            deliver=lambda: group.create_task(
                deliver_reports(self._control, self._journal, session)
            ),
            consent_s=self._consent_s,
        )

    async def _withdraw_as_told(self, changes: ScopeChanges, joining: SessionJoining) -> None:
        """Close scopes as the person, or somebody through the journal, wants; until cancelled."""
        while True:
            scope = await self._withdrawn.get()
            if scope is None:
                await changes.follow_journal()
                await joining.look_again()
            else:
                await changes.withdraw([scope], by="person")

    async def _report_on_each_link(self, session: str, joining: SessionJoining) -> None:
        """Send what an earlier link took with it, such as that the session is open.

        Until the relay knows that, it lets nobody attach.  Runs until cancelled.
        """
        while True:
            await self._linked.wait()
            self._linked.clear()
            await deliver_reports(self._control, self._journal, session)
            await joining.report_all()

    # The open session.

    async def _serve(self, group: asyncio.TaskGroup, serving: SessionServing) -> None:
        expiring = group.create_task(serving.expire())
        closing = group.create_task(serving.ending.over.wait())
        stopping = group.create_task(self._stopping.wait())
        narrowing = group.create_task(self._withdraw_as_told(serving.changes, serving.joining))
        reporting = group.create_task(self._report_on_each_link(serving.session, serving.joining))
        joining = group.create_task(serving.joining.run(), name="joining")
        nobody_agreed = serving.grant.transcript is None
        if nobody_agreed:
            until = format_instant(serving.expires)
            group.create_task(tell_begun(serving.grant, serving.granted, until))
        await asyncio.wait({expiring, closing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        narrowing.cancel()
        reporting.cancel()
        joining.cancel()
        reason = self._stop_reason if self._stopping.is_set() else "expired"
        if self._leaving and not expiring.done() and await self._may_leave(serving):
            for task in (closing, stopping, expiring):
                task.cancel()
            await serving.leave()
            self._emit(Paused(session=serving.session, expires_at=format_instant(serving.expires)))
            return
        await serving.ending.finish(reason)
        for task in (expiring, closing, stopping):
            task.cancel()
        # The relay closes the pipes as soon as it knows; the technician is told why before that.
        serving.part()
        await deliver_reports(self._control, self._journal, serving.session)
        await serving.close()
        if nobody_agreed:
            await tell_over(serving.grant, reason_words(serving.ending.reason))
        self._emit(
            Ended(
                session=serving.session,
                reason=serving.ending.reason,
                receipt=serving.receipt_path,
            )
        )

    async def _may_leave(self, serving: SessionServing) -> bool:
        if serving.ending.begun.is_set():
            return False
        row = await self._journal.do(lambda journal: journal.session(serving.session))
        return row is not None and row.state == "active"


def _granted_session(path: Path) -> str | None:
    """Return the session that a grant file is named after."""
    session = path.name.removesuffix(".grant")
    return session if is_session_id(session) else None


def _first(errors: BaseExceptionGroup[FarhandError]) -> FarhandError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
