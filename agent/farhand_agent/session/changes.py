"""What is added to an open session and what is taken from it, by a second tap or by the person.

    add        a widening holds, the person agrees    journalled with its report, then opened
    withdraw   the person, `stop --scope`, policy     journalled, then closed with what runs there

Each is one of the session's actions, is shown at the device and reported to the relay, which knows
scopes by name and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from farhand_agent.config import Home, write_atomically
from farhand_agent.journal import Journal, SessionRow
from farhand_agent.journal_thread import JournalThread
from farhand_agent.local_server import Handler
from farhand_agent.policy import WIDE_SCOPES
from farhand_agent.scope_changes import add_scopes, report_scopes, withdraw_scopes
from farhand_agent.session.asking import Asking
from farhand_agent.session.device import Device
from farhand_agent.session.events import Asked, Decided, Event, ScopesChanged
from farhand_agent.session.grant import Agreed
from farhand_agent.session.terms import SessionTerms
from farhand_agent.session.widening import SessionWidening, WideningFacts, Wider
from farhand_protocol.envelopes import Envelope, decode_envelope, encode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, Widening
from farhand_protocol.trust import SCOPES, GroupPolicy

__all__ = ["ScopeChanges", "SessionHands", "cool_down", "read_widened"]

_log = logging.getLogger(__name__)

_LOOK_BACK: Final = 50
_BY: Final = {
    "person": "the person at the device withdrew it",
    "policy": "the device's policy does not allow it any more",
}


@dataclass(frozen=True, kw_only=True)
class SessionHands:
    """What the changes of a session are made with.

    Args:
        deliver: starts to send what the journal holds for the relay.
        consent_s: how long a question stands; what the policy says, where it is None.
        handlers: what else may be asked on the session's socket, by its `do`.
        has_page: whether a page is watched just now, on which a picture could be looked over.
    """

    device: Device
    journal: JournalThread
    asking: Asking
    emit: Callable[[Event], None]
    deliver: Callable[[], object]
    consent_s: float | None = None
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    has_page: Callable[[], bool] = lambda: False


def cool_down(scopes: Iterable[str], policy: GroupPolicy, *, asked: bool) -> dict[str, float]:
    """Return how long each scope stays closed after a person said yes."""
    wide = WIDE_SCOPES & set(scopes) if asked else frozenset()
    return {scope: float(policy.cool_down_s) for scope in wide}


class ScopeChanges:
    """The changes of one open session.

    Args:
        agreed: what it began with.
        grant: its sealed grant.
        terms: of its SSH host; changed here.
        expires: when it ends by itself.
        hands: see `SessionHands`.
        now: the time.
        report: writes the session's report for the scopes that are open.
    """

    def __init__(
        self,
        agreed: Agreed,
        grant: bytes,
        terms: SessionTerms,
        expires: datetime,
        hands: SessionHands,
        *,
        now: Callable[[], datetime],
        report: Callable[[list[str]], bytes],
    ) -> None:
        self._agreed = agreed
        self._grant = grant
        self._terms = terms
        self._expires = expires
        self._hands = hands
        self._now = now
        self._report = report
        self._file = _widened_file(hands.device.home, terms.session)
        self._policy = GroupPolicy()
        self.widened = read_widened(hands.device.home, terms.session)
        for one in self.widened:
            wish = open_payload(one, Widening)
            terms.roll.widened(wish.operator, wish.scopes)
        self.granted_ever = [scope for scope in SCOPES if scope in self._known_scopes()]
        self.widening = SessionWidening(self._facts, self._consent, self._widen, self._decided)

    def _known_scopes(self) -> set[str]:
        """Return what was granted at first and, by a process before this one, later."""
        later = (open_payload(one, Widening).scopes for one in self.widened)
        return {*self._agreed.scopes, *(scope for scopes in later for scope in scopes)}

    def forget(self) -> None:
        """Remove what was kept for a next process; the receipt holds it."""
        self._file.unlink(missing_ok=True)

    def note_answer(self, person: str, *, is_yes: bool) -> None:
        """Note for the receipt which of this computer's people answered a question."""
        said = "agreed" if is_yes else "refused"
        words, facts = f"{person} {said} at this computer", {"user": person}
        self._terms.actions.add("scope", words, by="", message=f"person-{said}", facts=facts)

    # Taking away.

    async def withdraw(self, scopes: Iterable[str], *, by: str) -> None:
        """Close scopes that are open, and end what runs under them."""
        session = self._terms.session
        wanted = [scope for scope in scopes if self._terms.scopes.allows(scope)]
        try:
            await self._hands.journal.do(partial(_withdraw, session, wanted, by))
        except FarhandError as error:
            # A full disk must not keep a scope open.
            _log.error("a withdrawal could not be journalled: %s", error)
        for scope in wanted:
            self._close(scope, by)
        if wanted:
            await self._tell(journalled=False)

    async def follow_journal(self) -> None:
        """Close what the journal no longer names; somebody else has written that there."""
        row, by = await self._hands.journal.do(partial(_look, self._terms.session))
        gone = [scope for scope in self._terms.scopes.granted if row and scope not in row.scopes]
        for scope in gone:
            self._close(scope, by)
        if gone:
            await self._tell(journalled=False)

    def _close(self, scope: str, by: str) -> None:
        words = _BY.get(by, _BY["person"])
        message = "scope-policy" if by == "policy" else "scope-withdrawn"
        said, facts = f"{scope} was closed: {words}", {"scope": scope}
        self._terms.actions.add("scope", said, message=message, facts=facts)
        self._terms.scopes.withdraw(scope, f"scope-withdrawn: {words}: {scope}")
        self._terms.tell(f"{scope} was closed: {words}")

    # Adding.

    async def _facts(self, seen: frozenset[str]) -> WideningFacts:
        device = self._hands.device
        trust = await asyncio.to_thread(device.trust)
        self._policy = device.policy(trust)
        grant, data = self._leading()
        return WideningFacts(
            grant=grant,
            grant_bytes=data,
            guest=device.guest,
            trust=trust,
            policy=self._policy,
            open_scopes=frozenset(self._terms.scopes.granted),
            open_forward=frozenset(self._terms.forward_to),
            now=self._now(),
            seen=seen,
        )

    def _leading(self) -> tuple[Grant, bytes]:
        """Return the grant of whoever has the session now, as one for this session."""
        if (leader := self._terms.roll.leader) is None:
            return self._agreed.grant, self._grant
        grant = open_payload(leader.envelope, Grant)
        return replace(grant, id=self._terms.session), encode_envelope(leader.envelope)

    async def _consent(self, wider: Wider) -> Wider:
        """Return what the person leaves of it."""
        policy, grant = self._policy, self._agreed.grant
        if not self._asks():
            return wider
        cooling = cool_down(wider.scopes, policy, asked=True)
        override = self._hands.consent_s
        within_s = policy.consent_s if override is None else override
        asked = Asked(
            asks="scopes",
            session=grant.id,
            operator=wider.widening.operator,
            organisation=grant.organisation,
            ticket=grant.ticket,
            reason=wider.widening.reason,
            scopes=list(wider.scopes),
            minutes=self._minutes_left(),
            words=[],
            guest=self._hands.device.guest,
            host_name=grant.host_name,
            recorded=self._agreed.recording is not None,
            files=list(policy.files_roots),
            files_read_only=policy.files_read_only or grant.read_only,
            file_bytes_max=policy.file_bytes_max,
            forward=sorted(wider.forward_to),
            shortened=[one for one in wider.widening.scopes if one not in wider.scopes],
            answer_within_s=round(within_s),
            cooling=sorted(cooling),
            cool_down_s=policy.cool_down_s,
        )
        allowed = tuple(await self._hands.asking.ask(asked, within_s=within_s))
        forward_to = wider.forward_to if "forward" in allowed else frozenset()
        return dataclasses.replace(wider, scopes=allowed, forward_to=forward_to)

    def _asks(self) -> bool:
        """Whether a person must say yes: without a code policy may be content with a notice."""
        return self._agreed.grant.transcript is not None or self._policy.consent == "ask"

    def _minutes_left(self) -> int:
        return max(1, round((self._expires - self._now()).total_seconds() / 60))

    async def _widen(self, wider: Wider) -> None:
        """Journal what was agreed to, then open it."""
        session, policy = self._terms.session, self._policy
        after = self._in_order([*self._terms.scopes.granted, *wider.scopes])
        report = self._report(after)
        await self._hands.journal.do(
            lambda journal: add_scopes(
                journal, session, wider.scopes, forward=wider.forward_to, report=report
            )
        )
        self.widened.append(wider.envelope)
        await asyncio.to_thread(_write_widened, self._file, self.widened)
        self._terms.forward_to |= wider.forward_to
        self._terms.roll.widened(wider.widening.operator, wider.scopes)
        cooling = cool_down(wider.scopes, policy, asked=self._asks())
        for scope in wider.scopes:
            self._note_added(scope, wider)
            self._terms.scopes.widen(scope, cool_down_s=cooling.get(scope, 0.0))
            if scope not in self.granted_ever:
                self.granted_ever.append(scope)
        await self._tell(journalled=True)
        # A policy that came before the journal named these scopes took none of them.
        now = self._hands.device.policy(await asyncio.to_thread(self._hands.device.trust))
        await self.withdraw(set(wider.scopes) - set(now.scopes), by="policy")

    def _note_added(self, scope: str, wider: Wider) -> None:
        facts = {"scope": scope}
        if scope == "forward":
            facts["to"] = ", ".join(sorted(wider.forward_to))
        to = f" to {facts['to']}" if "to" in facts else ""
        whose, message = "the policy allows it", "scope-allowed"
        if self._asks():
            whose, message = "the person at the device agreed", "scope-agreed"
        words = f"{scope}{to} was added: {whose}"
        self._terms.actions.add("scope", words, message=message, facts=facts)

    def _decided(self, code: str) -> None:
        self._hands.emit(Decided(session=self._terms.session, granted=not code, reason=code))

    # Telling.

    async def _tell(self, *, journalled: bool) -> None:
        session, scopes = self._terms.session, self._in_order(self._terms.scopes.granted)
        self._hands.emit(
            ScopesChanged(session=session, scopes=scopes, forward=sorted(self._terms.forward_to))
        )
        try:
            if not journalled:
                await self._hands.journal.do(
                    partial(report_scopes, session=session, report=self._report(scopes))
                )
        except FarhandError as error:
            # The relay's list of scopes is for display; the session goes on without that report.
            _log.error("the change could not be reported: %s", error)
        self._hands.deliver()

    def _in_order(self, scopes: Iterable[str]) -> list[str]:
        return [scope for scope in SCOPES if scope in set(scopes)]


def _look(session: str, journal: Journal) -> tuple[SessionRow | None, str]:
    """Return a session's row, and by whom something was last taken from it."""
    by = "person"
    for record in journal.latest_log_records(_LOOK_BACK):
        detail = msgspec.json.decode(record.detail, type=dict[str, Any])
        if record.kind == "scope-withdrawn" and detail.get("session") == session:
            by = str(detail.get("by"))
    return journal.session(session), by


def _withdraw(session: str, scopes: list[str], by: str, journal: Journal) -> None:
    withdraw_scopes(journal, session, scopes, by=by)


def _widened_file(home: Home, session: str) -> Path:
    return home.sessions / f"{session}.widened"


def read_widened(home: Home, session: str) -> list[Envelope]:
    """Return the widenings of a session that another process served before."""
    try:
        lines = _widened_file(home, session).read_bytes().splitlines()
        return [decode_envelope(line) for line in lines]
    except FileNotFoundError:
        return []


def _write_widened(file: Path, widened: list[Envelope]) -> None:
    write_atomically(file, b"".join(encode_envelope(one) + b"\n" for one in widened))
