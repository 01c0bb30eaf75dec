"""Another operator joins an open session: her grant is checked, the person is asked, she is let in.

The relay brings her sealed grant (`OfferGrant` on the session's own link); what becomes of it goes
back as a `JoinReport`, again on each new link.

    (none)   a grant that holds (join_check.py)        -> asked    or straight in, see below
    asked    the person says yes                       -> in       journalled, kept, reported
    asked    no, or nobody answers                     -> refused  reported with its stable code
    in       she leaves, her time is over, the roster
             or policy of today would not let her in   -> left     her connections end; reported
    in       the first operator hands over             -> leads    as `in`, but when she has to go
                                                                   the session ends (handover.py)

The person is asked as she was for the session itself; where policy is content with a notice,
whoever is logged in is told.  She is written to the journal and into a file beside the session's
lock before her key opens anything; a process that takes the session up reads it there.

Where policy wants a second operator, nothing is open while nobody has joined.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

import msgspec

from farhand_agent.config import write_atomically
from farhand_agent.session.actions import ActionLog
from farhand_agent.session.changes import SessionHands
from farhand_agent.session.events import Asked, Decided
from farhand_agent.session.grant import SERVED_SCOPES, Agreed, Facts, read_grant
from farhand_agent.session.join_check import JoinFacts, check_join
from farhand_agent.session.onlookers import tell_joined
from farhand_agent.session.recording.upload import Ask
from farhand_agent.session.reports import REPORT_S
from farhand_agent.session.roll import Member
from farhand_agent.session.terms import SessionTerms
from farhand_protocol.envelopes import Envelope, decode_envelope, encode_envelope
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant
from farhand_protocol.messages import DeviceMessage, EndSession, JoinReport, OfferGrant
from farhand_protocol.trust import GroupPolicy

__all__ = ["SessionJoining"]

_log = logging.getLogger(__name__)

_QUEUE: Final = 8
# A laptop that sleeps stops the loop's clock; the wall clock is looked at this often.
_LOOK_S: Final = 15.0
_ALONE: Final = "second-operator-missing: policy wants a second operator here, and none is"
_SAID: Final = {
    "observer": ("joined and watches", "join-watches"),
    "peer": ("joined and works here, too", "join-works"),
}


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file: a grant that was let in, and whether she has left since."""

    join: str
    left: bool
    grant: msgspec.Raw
    leads: bool = False


class SessionJoining:
    """Who joins one session, and who has to go.

    Args:
        agreed: what the session began with.
        policy: of this device.
        terms: of its SSH host, which holds the roll.
        expires: when the session ends by itself.
        hands: what its changes are made with.
        ask: sends a message over the session's control link and returns its answer.
        now: the session's time.
        stop: ends the session for a reason, when nobody has it any more.
    """

    def __init__(
        self,
        agreed: Agreed,
        policy: GroupPolicy,
        terms: SessionTerms,
        expires: datetime,
        hands: SessionHands,
        ask: Ask,
        now: Callable[[], datetime],
        stop: Callable[[str], None],
    ) -> None:
        self._stop = stop
        self.on_lead: Callable[[Member], None] = lambda _: None
        self._agreed = agreed
        self._terms = terms
        self._expires = expires
        self._hands = hands
        self._ask_relay = ask
        self._now = now
        self._roll = terms.roll
        self._actions: ActionLog = terms.actions
        self._file = hands.device.home.sessions / f"{terms.session}.joined"
        self._kept: dict[str, tuple[Envelope, bool]] = {}
        self._seen: set[str] = set()
        self._said: dict[str, JoinReport] = {}
        self._offers: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._leaving: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._wake = asyncio.Event()
        self._wants_two = policy.second_operator
        self._guard()

    @property
    def joined(self) -> list[Envelope]:
        """Return the grants of all who ever joined, for the receipt."""
        return [envelope for envelope, _ in self._kept.values()]

    def forget(self) -> None:
        """Remove what was kept for a next process; the receipt holds it."""
        self._file.unlink(missing_ok=True)

    def _guard(self) -> None:
        """Keep everything shut while policy wants a second operator and there is none."""
        if not self._wants_two:
            return
        if self._roll.others:
            self._terms.scopes.reopen()
        else:
            self._terms.scopes.shut(_ALONE)

    def _note(self, message: str, words: str, **facts: str | int) -> None:
        self._actions.add("join", words, message=message, facts=facts)

    # From the relay.

    def take(self, message: OfferGrant | EndSession) -> bool:
        """Take a grant that joins this session, or the end of one that did; else say False."""
        if isinstance(message, OfferGrant):
            if message.session != self._terms.session or self._offers.full():
                return False
            self._offers.put_nowait(message.envelope)
        else:
            if message.session not in self._kept or self._leaving.full():
                return False
            self._leaving.put_nowait(message.session)
        self._wake.set()
        return True

    async def run(self) -> None:
        """Let people in and out until cancelled."""
        while True:
            self._wake.clear()
            while not self._leaving.empty():
                await self._put_out(self._leaving.get_nowait(), "left", "she left the session")
            for member in self._roll.members:
                if self._now() >= member.expires:
                    await self._put_out(member.join, "expired", "her time is over")
            if not self._offers.empty():
                await self._decide(self._offers.get_nowait())
                continue
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pause_s(self) -> float | None:
        if not len(self._roll):
            return None
        first = min(member.expires for member in self._roll.members)
        return min(_LOOK_S, max(0.0, (first - self._now()).total_seconds()))

    async def _decide(self, data: bytes) -> None:
        try:
            join = read_grant(data).id
        except FarhandError as error:
            _log.info("a grant to join was refused: %s", error)
            return  # it names nothing that could be reported on
        if join in self._said:
            await self._report(join)  # the relay asks again for what it did not hear
            return
        try:
            facts = await self._facts()
            self._seen.add(join)
            member = check_join(data, facts)
            is_asked = await self._consent(member, read_grant(data), facts.place.policy)
            await self._let_in(member)
        except FarhandError as error:
            _log.info("%s was refused: %s", join, error)
            words = f"{_name(data)} was refused ({error.code})"
            self._note("join-refused", words, operator=_name(data), reason=error.code)
            self._say(join, "refused", error.code)
            await self._report(join)
            return
        await self._report(join)
        if not is_asked:
            await tell_joined(read_grant(data), self._agreed.grant.operator)

    async def _facts(self) -> JoinFacts:
        device, grant = self._hands.device, self._agreed.grant
        trust = await asyncio.to_thread(device.trust)
        place = Facts(
            device=device.id,
            tenant=device.tenant,
            host_name=device.host_name,
            group=device.group(trust),
            guest=device.guest,
            trust=trust,
            policy=await asyncio.to_thread(device.policy, trust),
            offered=SERVED_SCOPES,
            offered_minutes=0,
            session=None,
            transcript=None,
            relay_operator=None,
            now=self._now(),
            was_seen=False,
        )
        return JoinFacts(
            place=place,
            session=grant,
            scopes=frozenset(self._terms.scopes.granted),
            expires=self._expires,
            inside=tuple(self._roll.members),
            seen=frozenset(self._seen),
        )

    async def _consent(self, member: Member, grant: Grant, policy: GroupPolicy) -> bool:
        """Ask the person where she was asked for the session, too; False where she need not be."""
        mine = self._agreed.grant
        if mine.transcript is None and policy.consent != "ask":
            return False
        override = self._hands.consent_s
        within_s = policy.consent_s if override is None else override
        asked = Asked(
            asks="join",
            mode=member.mode,
            beside=mine.operator,
            session=mine.id,
            operator=grant.operator,
            organisation=grant.organisation,
            ticket=mine.ticket,
            reason=grant.reason,
            scopes=[scope for scope in SERVED_SCOPES if scope in member.scopes],
            minutes=max(1, round((member.expires - self._now()).total_seconds() / 60)),
            words=[],
            guest=False,
            host_name=grant.host_name,
            recorded=self._agreed.recording is not None,
            files=[],
            files_read_only=mine.read_only,
            forward=[],
            shortened=[],
            answer_within_s=round(within_s),
        )
        try:
            await self._hands.asking.ask(asked, within_s=within_s)
        except FarhandError as error:
            self._hands.emit(Decided(session=mine.id, granted=False, reason=error.code))
            raise
        self._hands.emit(Decided(session=mine.id, granted=True, reason=""))
        return True

    async def _let_in(self, member: Member) -> None:
        session = self._terms.session
        await self._hands.journal.do(
            lambda journal: journal.log(
                "session-joined",
                session=session,
                join=member.join,
                operator=member.operator,
                mode=member.mode,
            )
        )
        self._kept[member.join] = (member.envelope, False)
        await self._keep()
        self._admit(member)

    def _admit(self, member: Member) -> None:
        words, message = _SAID[member.mode]
        self._note(message, f"{member.operator} {words}", operator=member.operator)
        self._terms.tell(f"{member.operator} {words}")
        self._roll.admit(member)
        self._guard()
        self._say(member.join, "in", "")

    # Leaving.

    async def hand_over(self, member: Member) -> None:
        """Make the session a peer's; written down before anything changes hands.

        Raises:
            FarhandError: `journal-...`; the session is then as it was.
        """
        session, first = self._terms.session, self._agreed.grant.operator
        await self._hands.journal.do(
            lambda journal: journal.log("session-handed-over", session=session, join=member.join)
        )
        await self._keep(lead=member.join)
        self._roll.hand_over(member.join)
        if self._roll.leader is None:
            self._stop("ended-by-relay")  # she went in this very moment
        self._guard()
        words = f"{first} handed the session over to {member.operator} and left"
        self._note("join-handed-over", words, operator=first, to=member.operator)
        self._terms.tell(words)
        self.on_lead(member)
        self._say(member.join, "leads", "")

    async def tell_relay(self, member: Member) -> None:
        """Report on somebody."""
        await self._report(member.join)

    async def _put_out(self, join: str, code: str, words: str) -> None:
        member = self._roll.put_out(join, f"session-ended: you are in it no more: {words}")
        if member is None:
            return
        self._guard()
        message = {"left": "join-left", "stopped": "join-stopped"}.get(code, "join-removed")
        facts = {} if message != "join-removed" else {"reason": code}
        said = f"{member.operator} is gone: {words}"
        self._note(message, said, operator=member.operator, **facts)
        self._terms.tell(said)
        self._kept[join] = (member.envelope, True)
        self._say(join, "left", code)
        await self._keep()
        session = self._terms.session
        try:
            await self._hands.journal.do(
                lambda journal: journal.log("session-left", session=session, join=join, code=code)
            )
        except FarhandError as error:
            # She is out in any case.
            _log.error("a departure could not be journalled: %s", error)
        await self._report(join)
        if join == self._roll.lead:
            # Nobody has the session any more.
            self._stop("ended-by-relay" if code == "left" else code)

    async def put_out_operator(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put out whom the person names, at once; `{"out": [OPERATOR]}` says whether she was in."""
        named = [one for one in self._roll.members if one.operator == request.get("operator")]
        for member in named:
            await self._put_out(member.join, "stopped", "the person at the device ended it for her")
        return {"out": [member.operator for member in named]}

    async def look_again(self) -> None:
        """Put out those whom roster or policy of today would not let in."""
        for member in self._roll.members:
            facts = await self._facts()
            others = tuple(one for one in facts.inside if one is not member)
            try:
                check_join(
                    encode_envelope(member.envelope),
                    replace(facts, inside=others, seen=frozenset()),
                )
            except FarhandError as error:
                await self._put_out(member.join, error.code, error.message)

    async def restore(self) -> None:
        """Let those in again who were in under the process before; as far as they still may."""
        for kept in await asyncio.to_thread(self._read_kept):
            data = bytes(kept.grant)
            self._kept[kept.join] = (decode_envelope(data), kept.left)
            self._seen.add(kept.join)
            if kept.leads:
                self._roll.hand_over(kept.join)
            if kept.left:
                self._say(kept.join, "left", "left")
                if kept.leads:
                    self._stop("ended-by-relay")
                continue
            try:
                facts = await self._facts()
                member = check_join(data, replace(facts, seen=frozenset()))
                self._admit(member)
                if kept.leads:
                    self.on_lead(member)
                    self._say(kept.join, "leads", "")
            except FarhandError as error:
                self._kept[kept.join] = (decode_envelope(data), True)
                self._say(kept.join, "left", error.code)
                words = f"{_name(data)} did not come back ({error.code})"
                self._note("join-not-back", words, operator=_name(data), reason=error.code)
                if kept.leads:
                    self._stop(error.code)

    def _read_kept(self) -> list[_Kept]:
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(line, type=_Kept) for line in lines]

    async def _keep(self, *, lead: str = "") -> None:
        """Write down who is in and who was, for a process that comes after this one."""
        lines = [
            msgspec.json.encode(
                _Kept(
                    join=join,
                    left=left,
                    grant=msgspec.Raw(encode_envelope(envelope)),
                    leads=join == (lead or self._roll.lead),
                )
            )
            for join, (envelope, left) in self._kept.items()
        ]
        await asyncio.to_thread(write_atomically, self._file, b"\n".join(lines) + b"\n")

    # To the relay.

    async def report_all(self) -> None:
        """Tell the relay about everybody; it may have missed something on an earlier link."""
        for join in list(self._said):
            await self._report(join)

    def _say(
        self, join: str, state: Literal["in", "leads", "refused", "left"], reason: str
    ) -> None:
        self._said[join] = JoinReport(
            seq=0, session=self._terms.session, join=join, state=state, reason=reason[:64]
        )

    async def _report(self, join: str) -> None:
        try:
            async with asyncio.timeout(REPORT_S):
                await self._ask_relay(partial(_numbered, self._said[join]))
        except (FarhandError, TimeoutError) as error:
            _log.info("what became of %s is told on the next link: %s", join, error)


def _numbered(report: JoinReport, seq: int) -> DeviceMessage:
    """Return the report with the link's next number."""
    return msgspec.structs.replace(report, seq=seq)


def _name(data: bytes) -> str:
    try:
        return read_grant(data).operator
    except FarhandError:
        return "somebody"  # what cannot be read names nobody
