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
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from farhand_agent.consent import reason_words
from farhand_agent.journal_thread import JournalThread
from farhand_agent.local_server import Handler
from farhand_agent.session.asking import Asking
from farhand_agent.session.changes import ScopeChanges
from farhand_agent.session.codes import CodeDesk
from farhand_agent.session.control import Control
from farhand_agent.session.device import Device, load_device
from farhand_agent.session.device_prompts import DevicePrompts
from farhand_agent.session.events import (
    Asked,
    Ended,
    Event,
    Failed,
    Paused,
    Refused,
)
from farhand_agent.session.freshness import TrustFreshness
from farhand_agent.session.joining import SessionJoining
from farhand_agent.session.onlookers import tell_begun, tell_over
from farhand_agent.session.opening import Options, SessionOpening
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.recording.left import LeftRecordings
from farhand_agent.session.reports import REPORT_S, deliver_reports
from farhand_agent.session.serving import SessionServing
from farhand_protocol.errors import FarhandError, RefusedError
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
from farhand_protocol.trust import SCOPES

__all__ = ["Options", "SessionProcess"]

_log = logging.getLogger(__name__)

_MAX_WITHDRAWALS: Final = 32
_MAX_NAME_CHARS: Final = 64
# These say something about a code or the network; every other refusal is a decision.
_EXIT_1: Final = ("code-expired", "code-wrong", "code-burned", "pairing-malformed", "link-lost")


class SessionProcess:
    """One run.

    Args:
        options: see `Options`.
        emit: tells the person at the device.
        can_ask: whether somebody may answer; without, a needed consent is `consent-timeout`.
        consent_s: how long a question stands; what the policy says, where it is None.
        handlers, has_page: see `SessionHands`.
    """

    def __init__(
        self,
        options: Options,
        emit: Callable[[Event], None],
        *,
        can_ask: bool = True,
        consent_s: float | None = None,
        handlers: Mapping[str, Handler] | None = None,
        has_page: Callable[[], bool] = lambda: False,
    ) -> None:
        self._options = options
        self._emit = emit
        self._consent_s = consent_s
        gate = PromptGate(DevicePrompts(options.home))
        self._handlers = {**(handlers or {}), "prompt": gate.look}
        self._has_page = has_page
        self._asking = Asking(emit, can_ask=can_ask, gate=gate)
        self._asking.on_answer = self._note_answer
        self._answers: list[tuple[str, bool]] = []
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

    # What comes from outside.

    @property
    def prompts(self) -> PromptGate:
        """Whether something waits for the person's own hand."""
        return self._asking.gate

    def hear(self, fields: Mapping[str, object]) -> bool:
        """Take one line of what the person wants (farhand_agent.session.events).

        Returns:
            Whether it counted, where it is an answer; else True.
        """
        if fields.get("stop") is True:
            self.stop("stopped")
        if (scope := fields.get("withdraw")) in SCOPES:
            self.withdraw(str(scope))
        if "say" in fields:
            self.say(fields["say"])
        if "step" in fields:
            return self.answer_step(fields["step"], fields.get("answer"), fields.get("why"))
        if "shot" in fields:
            return self._serving is not None and self._serving.help.screenshots.hear(fields)
        if fields.get("answer") in ("allow", "deny"):
            ask, scopes = fields.get("ask"), fields.get("scopes")
            person = fields.get("person", "")
            return self._asking.answer(
                fields["answer"] == "allow",
                ask=ask if isinstance(ask, int) else None,
                scopes=[str(one) for one in scopes] if isinstance(scopes, list) else None,
                person=str(person)[:_MAX_NAME_CHARS],
            )
        return True

    def answer(self, allow: bool) -> None:
        """Take the person's answer to whatever is asked; without a question it means nothing."""
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

    def answer_step(self, step: object, answer: object, why: object) -> bool:
        """Take the person's answer to an instruction; it counts for the one that stands."""
        if self._serving is None:
            return False
        return self._serving.help.steps.answer(step, answer, why)

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
            self._asking.leave()
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
        opening = SessionOpening(
            self._options,
            device=self._device,
            journal=self._journal,
            control=self._control,
            codes=self._codes,
            freshness=TrustFreshness(self._device, self._journal, self._control),
            asking=self._asking,
            emit=self._emit,
            consent_s=self._consent_s,
            begun=self._begun,
            stop=self.stop,
            is_stopping=self._stopping.is_set,
            handlers=self._handlers,
            has_page=self._has_page,
        )
        try:
            if self._options.resume is not None:
                await opening.by_journal(group, self._options.resume)
            elif self._options.grant is not None:
                await opening.by_grant(group, self._options.grant)
            else:
                await opening.by_code(group)
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

    def _begun(self, serving: SessionServing) -> None:
        self._serving = serving
        for person, is_yes in self._answers:
            serving.changes.note_answer(person, is_yes=is_yes)
        self._answers.clear()

    async def _note_answer(self, asked: Asked, is_yes: bool, person: str) -> None:
        """Write down who of this computer's people answered, before the answer counts."""
        answer = "allow" if is_yes else "deny"
        await self._journal.do(
            lambda journal: journal.log(
                "consent-answered",
                session=asked.session,
                asks=asked.asks,
                operator=asked.operator,
                answer=answer,
                user=person,
            )
        )
        if self._serving is not None:
            self._serving.changes.note_answer(person, is_yes=is_yes)
        else:
            self._answers.append((person, is_yes))

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
