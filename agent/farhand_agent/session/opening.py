"""How a session comes to be open: by a code, by a grant alone, or by the journal.

    by code      shown, paired, asked           the person at the device gave the code away
    by grant     asked, where policy says so    a signed grant, and nobody has to be there
    by journal   nobody is asked again          another process served it before

Each ends with an open session, of which `begun` is told at once, or with a refusal that was
reported.  What follows is the process's (process.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from farhand_agent.config import Home, read_limited
from farhand_agent.journal_thread import JournalThread
from farhand_agent.local_server import Handler
from farhand_agent.policy_changes import unshown_policy
from farhand_agent.session.asking import Asking
from farhand_agent.session.changes import SessionHands, cool_down, read_widened
from farhand_agent.session.codes import CodeDesk, Unlinked
from farhand_agent.session.control import Control
from farhand_agent.session.device import Device
from farhand_agent.session.events import Asked, Event, Opened, PolicyChanged
from farhand_agent.session.exchange import CodeExchange
from farhand_agent.session.freshness import TrustFreshness
from farhand_agent.session.grant import SERVED_SCOPES, Agreed, Facts, check_grant
from farhand_agent.session.reports import deliver_reports, report_refused
from farhand_agent.session.resuming import agree_again
from farhand_agent.session.serving import SessionServing
from farhand_agent.session.unattended import local_now, read_approvals
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES, open_payload
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.grants import Decision, Widening
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import MailboxOpen
from farhand_protocol.trust import GroupPolicy

__all__ = ["Options", "SessionOpening"]

# What a code offers when the person names nothing: all that policy allows but these.
_NOT_BY_DEFAULT: Final = ("forward", "control", "clipboard", "desktop")


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


class SessionOpening:
    """The way into one session.

    Args:
        options: see `Options`.
        device, journal, control, codes, freshness, asking: the process's own.
        emit: tells the person at the device.
        consent_s: how long a question stands; what the policy says, where it is None.
        begun: is told of the session that is open now.
        stop: ends the session for a reason.
        is_stopping: whether it was told to end already.
        handlers, has_page: see `SessionHands`.
    """

    def __init__(
        self,
        options: Options,
        *,
        device: Device,
        journal: JournalThread,
        control: Control,
        codes: CodeDesk,
        freshness: TrustFreshness,
        asking: Asking,
        emit: Callable[[Event], None],
        consent_s: float | None,
        begun: Callable[[SessionServing], None],
        stop: Callable[[str], None],
        is_stopping: Callable[[], bool],
        handlers: Mapping[str, Handler],
        has_page: Callable[[], bool],
    ) -> None:
        self._options = options
        self._device = device
        self._journal = journal
        self._control = control
        self._codes = codes
        self._freshness = freshness
        self._asking = asking
        self._emit = emit
        self._consent_s = consent_s
        self._begun = begun
        self._stop = stop
        self._is_stopping = is_stopping
        self._handlers = handlers
        self._has_page = has_page

    # By code.

    async def by_code(self, group: asyncio.TaskGroup) -> None:
        """Show a code, and open what the console that has it asks for.

        Raises:
            FarhandError: the refusal, or why the code came to nothing.
        """
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
            serving = await self._decide(
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
        yes = Decision(
            granted=True,
            code="",
            words="",
            scopes=serving.granted,
            expires=format_instant(serving.expires),
        )
        await self._codes.reply(opened.session, "request", exchange.decide(yes))

    def _offered(self, policy: GroupPolicy) -> tuple[str, ...]:
        wanted = self._options.scopes
        offered = tuple(
            scope
            for scope in SERVED_SCOPES
            if scope in policy.scopes
            and (scope in wanted if wanted is not None else scope not in _NOT_BY_DEFAULT)
        )
        if not offered:
            raise RefusedError("scope-empty", "this device's policy allows none of these scopes")
        return offered

    # By grant alone.

    async def by_grant(self, group: asyncio.TaskGroup, path: Path) -> None:
        """Open what a grant file asks for; the file is removed.

        Raises:
            FarhandError: the refusal; `grant-malformed`.
        """
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

    async def by_journal(self, group: asyncio.TaskGroup, session: str) -> None:
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
            ask=self._control.request, stop=self._stop,
        )  # fmt: skip
        if ended:
            serving.scopes.withdraw_all()
        await serving.open()
        self._begun(serving)
        if ended:
            self._stop(ended)
        if self._is_stopping():
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
    ) -> SessionServing:
        """Check the grant, ask the person, journal the session; it is open then.

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
            agreed = await self._ask(agreed, facts, exchange.words if exchange else [])
            # She may have taken a minute; what counts is what trust and policy say now.
            later = await self._facts(offered, minutes, exchange, opened)
            agreed = _still_agreed(agreed, check_grant(data, replace(later, now=facts.now)))
        now = await self._journal.do(lambda journal: journal.now())
        serving = SessionServing(
            self._device, self._journal, agreed, data, facts.policy,
            group=group, now=now.replace(microsecond=0), emit=self._emit, asked=asked,
            hands=self._hands(group, agreed.grant.id),
            ask=self._control.request, stop=self._stop,
        )  # fmt: skip
        await serving.open()
        self._begun(serving)
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
        return serving

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

    async def _ask(self, agreed: Agreed, facts: Facts, words: list[str]) -> Agreed:
        """Ask the person, and return what she leaves of it; silence and no are different."""
        grant, policy = agreed.grant, facts.policy
        within_s = policy.consent_s if self._consent_s is None else self._consent_s
        allowed = await self._asking.ask(
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
        return replace(
            agreed,
            scopes=tuple(allowed),
            forward_to=agreed.forward_to if "forward" in allowed else frozenset(),
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
            handlers=self._handlers,
            has_page=self._has_page,
        )


def _still_agreed(agreed: Agreed, now: Agreed) -> Agreed:
    """Return what is left of what the person allowed, by what is known now.

    Raises:
        RefusedError: `scope-empty`; `policy-refused` where it would be recorded, and she was told
            that it is not.
    """
    if now.recording is not None and agreed.recording is None:
        raise RefusedError("policy-refused", "the policy was changed while the question stood")
    forward_to = agreed.forward_to & now.forward_to
    scopes = tuple(
        scope
        for scope in agreed.scopes
        if scope in now.scopes and (scope != "forward" or forward_to)
    )
    if not scopes:
        raise RefusedError("scope-empty", "the policy was changed while the question stood")
    return replace(
        agreed, scopes=scopes, forward_to=forward_to, minutes=min(agreed.minutes, now.minutes)
    )
