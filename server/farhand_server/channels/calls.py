"""Calls: told by a telephone system, or written down by whoever has the receiver in the hand.

    ringing -> talking -> ended      somebody answered
            -> ended                 it was ended and nobody had told that it was answered
            -> missed                nobody did
    (begin) -> talking               by hand: the timer runs from then on

An ended call is written on its ticket: what was said as a note, the time as a time entry.  A
telephone system that tells of a call twice, or late, changes nothing that was told already.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import RowMapping, Select, and_, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.desk.moves import add_message
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Intake, Sight, create_ticket, get_ticket
from farhand_server.desk.time_entries import record_time
from farhand_server.errors import not_found
from farhand_server.people.people import (
    addresses_of,
    find_person,
    get_person,
    normalise_address,
)
from farhand_server.relay import Relay
from farhand_server.store.schema import calls, people, tickets
from farhand_server.wording import check_line

__all__ = [
    "MAX_CALL_S",
    "Call",
    "CallEnd",
    "Direction",
    "TelephoneEvent",
    "begin_call",
    "calls_subject",
    "end_call",
    "get_call",
    "hear_telephone",
    "list_calls",
    "log_call",
]

Direction = Literal["in", "out"]
State = Literal["ringing", "talking", "ended", "missed"]
STATES: Final[tuple[State, ...]] = get_args(State)
MAX_CALL_S: Final = 24 * 3600
_MAX_EXTERNAL_CHARS: Final = 100


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call; `number` is the other side's, `name` whose it is where that is known."""

    id: str
    ticket: str | None
    account: str | None
    person: str | None
    name: str | None
    direction: Direction
    number: str
    state: State
    began_at: str
    answered_at: str | None
    ended_at: str | None
    time_entry: str | None


class CallEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written down of a call.

    Attributes:
        note: what was said; for the desk.
        ticket: where it belongs; None begins a ticket.
        title: of the ticket that begins; made from the number without.
        billable: whether the time is to come to anything.
    """

    note: str
    ticket: str | None = None
    title: str = ""
    billable: bool = True


class TelephoneEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a telephone system tells of a call.

    Attributes:
        call: its own id of the call.
        from_: who calls.
        to: who is called.
        direction: as the desk sees it.
        state: `ringing`, `answered` or `hangup`.
        account: who has it at the desk, where the telephone system knows.
    """

    call: str
    from_: str = msgspec.field(name="from")
    to: str
    direction: Direction
    state: Literal["ringing", "answered", "hangup"]
    account: str = ""


def calls_subject(tenant: str) -> str:
    """Return the bus subject on which calls are told."""
    return f"calls.{tenant}"


def _call(row: RowMapping) -> Call:
    values = {name: row[name] for name in Call.__struct_fields__ if name not in ("ticket", "name")}
    number = row["ticket"]
    return Call(ticket=format_number(number) if number else None, name=row["name"], **values)


def _with_names() -> Select[Any]:
    hers = and_(people.c.tenant == calls.c.tenant, people.c.id == calls.c.person)
    return select(calls, people.c.name).join(people, hers, isouter=True)


async def get_call(c: AsyncConnection, tenant: str, call: str) -> Call:
    """Return a call.

    Raises:
        FarhandError: `not-found`.
    """
    query = _with_names().where(calls.c.tenant == tenant, calls.c.id == call)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("call", call)
    return _call(row)


async def list_calls(
    c: AsyncConnection,
    tenant: str,
    *,
    state: State | None = None,
    before: tuple[str, str] | None = None,
    limit: int = 50,
    sight: Sight | None = None,
) -> list[Call]:
    """Return calls, the newest first.

    Args:
        c: any connection.
        tenant: organisation.
        state: only those.
        before: only earlier ones than this time and id (the cursor).
        limit: at most so many.
        sight: who asks; calls on tickets that she may not see are left out.
    """
    where = [calls.c.tenant == tenant]
    if sight is not None and (seen := sight.condition(tenant)) is not None:
        its = and_(tickets.c.tenant == calls.c.tenant, tickets.c.number == calls.c.ticket)
        where.append(or_(calls.c.ticket.is_(None), exists().where(its, seen)))
    if state is not None:
        where.append(calls.c.state == state)
    if before is not None:
        at, call = before
        where.append(or_(calls.c.began_at < at, and_(calls.c.began_at == at, calls.c.id < call)))
    query = (
        _with_names()
        .where(*where)
        .order_by(calls.c.began_at.desc(), calls.c.id.desc())
        .limit(limit)
    )
    return [_call(row) for row in (await c.execute(query)).mappings()]


async def _insert(
    c: AsyncConnection,
    relay: Relay,
    *,
    direction: Direction,
    number: str,
    state: State,
    began_at: str,
    account: str | None = None,
    external_id: str | None = None,
    ticket: int | None = None,
) -> str:
    call = make_id("k", relay.random(10))
    known = await _person(c, relay.tenant, number)
    await c.execute(
        insert(calls).values(
            tenant=relay.tenant,
            id=call,
            ticket=ticket,
            account=account,
            person=known,
            direction=direction,
            number=number,
            state=state,
            external_id=external_id,
            began_at=began_at,
            answered_at=began_at if state == "talking" else None,
            ended_at=None,
            time_entry=None,
        )
    )
    return call


async def _person(c: AsyncConnection, tenant: str, number: str) -> str | None:
    try:
        found = await find_person(c, tenant, "phone", number)
    except UsageError:
        return None  # withheld, or a name that the telephone system gives inside the house
    return None if found is None else found.id


# By hand.


async def begin_call(
    c: AsyncConnection,
    relay: Relay,
    *,
    direction: Direction,
    number: str,
    actor: str,
    ticket: str | None = None,
    sight: Sight | None = None,
) -> Call:
    """Begin a call by hand; its timer runs from now on.

    Raises:
        FarhandError: `invalid` for a number that cannot be one; `not-found` for the ticket.
    """
    row = None
    if ticket is not None:
        row = (await get_ticket(c, relay.tenant, ticket, sight=sight)).row
    call = await _insert(
        c,
        relay,
        direction=direction,
        number=normalise_address("phone", number),
        state="talking",
        began_at=relay.stamp(),
        account=actor,
        ticket=row,
    )
    return await get_call(c, relay.tenant, call)


async def end_call(
    c: AsyncConnection,
    relay: Relay,
    *,
    call: str,
    end: CallEnd,
    actor: str,
    sight: Sight | None = None,
) -> Call:
    """End a call, or write down one that a telephone system ended; once.

    Raises:
        FarhandError: `not-found`, `invalid`; `call-written` when it was written down before.
    """
    mine = and_(calls.c.tenant == relay.tenant, calls.c.id == call)
    # Two at once: the second one waits here, and then finds it written.
    await c.execute(select(calls.c.id).where(mine).with_for_update())
    found = await get_call(c, relay.tenant, call)
    if found.time_entry is not None:
        raise FarhandError("call-written", "this call is written down already")
    ended_at = found.ended_at or relay.stamp()
    began = parse_instant(found.answered_at or found.began_at)
    talked_s = 0.0 if found.state == "missed" else _between(began, parse_instant(ended_at))
    number = await _ticket_of(c, relay, found, end, actor=actor, sight=sight)
    said = await add_message(
        c, relay, ref=str(number), kind="call", body=end.note, actor=actor, sight=sight,
        channel="phone", person=found.person,
    )  # fmt: skip
    entry = await record_time(
        c,
        relay,
        ticket=number,
        account=actor,
        started_at=stamp(began),
        ended_at=ended_at,
        active_s=int(talked_s),
        note=end.note[:200].split("\n", 1)[0],
        origin="call",
        activity="call",
        billable=end.billable,
    )
    await c.execute(
        update(calls)
        .where(mine)
        .values(
            ticket=number,
            account=found.account or actor,
            state="missed" if found.state == "missed" else "ended",
            ended_at=ended_at,
            time_entry=entry.id,
        )
    )
    await relay.audit.append(c, actor=actor, action="call.write", subject=said.ticket)
    return await get_call(c, relay.tenant, call)


async def log_call(
    c: AsyncConnection,
    relay: Relay,
    *,
    direction: Direction,
    number: str,
    minutes: float,
    end: CallEnd,
    actor: str,
    sight: Sight | None = None,
) -> Call:
    """Write down a call that is over, of so many minutes until now.

    Raises:
        FarhandError: `invalid`, `not-found`.
    """
    if not 0 <= minutes * 60 <= MAX_CALL_S:
        raise UsageError("invalid", f"a call lasts 0 to {MAX_CALL_S // 60} minutes")
    call = await _insert(
        c,
        relay,
        direction=direction,
        number=normalise_address("phone", number),
        state="talking",
        began_at=stamp(relay.now() - timedelta(minutes=minutes)),
        account=actor,
    )
    return await end_call(c, relay, call=call, end=end, actor=actor, sight=sight)


def _between(began: datetime, ended: datetime) -> float:
    """Return how long it lasted in seconds; a timer that somebody forgot stops after a day."""
    return min(max(0.0, (ended - began).total_seconds()), float(MAX_CALL_S))


async def _ticket_of(
    c: AsyncConnection,
    relay: Relay,
    call: Call,
    end: CallEnd,
    *,
    actor: str,
    sight: Sight | None,
) -> int:
    """Return the number of the call's ticket; one is made where nobody named any."""
    ref = end.ticket or call.ticket
    if ref is not None:
        return (await get_ticket(c, relay.tenant, ref, sight=sight)).row
    # Anybody can show any number, and call herself what she likes: a ticket is hers only where the
    # number was verified, and no account is named by accident.
    requester, person, organisation = f"phone {call.number}", None, None
    if call.person is not None and await _is_verified(c, relay.tenant, call):
        her = await get_person(c, relay.tenant, call.person)
        requester, person, organisation = her.account or requester, her.id, her.organisation
    who = call.name or call.number
    made = await create_ticket(
        c,
        relay,
        title=end.title.strip() or f"Call {'from' if call.direction == 'in' else 'to'} {who}",
        actor=actor,
        requester=requester,
        person=person,
        organisation=organisation,
        channel="phone",
        intake=Intake(kind="question"),
    )
    return made.row


async def _is_verified(c: AsyncConnection, tenant: str, call: Call) -> bool:
    known = await addresses_of(c, tenant, call.person or "")
    return any(one.value == call.number and one.verified_at is not None for one in known)


# From a telephone system.


async def hear_telephone(c: AsyncConnection, relay: Relay, event: TelephoneEvent) -> Call:
    """Note what a telephone system tells; whoever watches is told by the caller, after the commit.

    Raises:
        FarhandError: `invalid`.
    """
    external = check_line(event.call, "call's id", max_chars=_MAX_EXTERNAL_CHARS)
    other = event.from_ if event.direction == "in" else event.to
    number = _number(other)
    mine = and_(calls.c.tenant == relay.tenant, calls.c.external_id == external)
    if await c.scalar(select(calls.c.id).where(mine)) is None:
        try:
            async with c.begin_nested():
                await _insert(
                    c, relay, direction=event.direction, number=number, state="ringing",
                    began_at=relay.stamp(), external_id=external,
                )  # fmt: skip
        except IntegrityError:
            pass  # told twice at once: the other one made it
    row = (await c.execute(select(calls).where(mine).with_for_update())).mappings().one()
    at = relay.stamp()
    changes: dict[str, object] = {}
    if event.account and row["account"] is None:
        changes["account"] = check_line(event.account, "account")
    if event.state == "answered" and row["state"] == "ringing":
        changes |= {"state": "talking", "answered_at": at}
    elif event.state == "hangup" and row["state"] in ("ringing", "talking"):
        was_answered = row["state"] == "talking"
        changes |= {"state": "ended" if was_answered else "missed", "ended_at": at}
    if changes:
        await c.execute(update(calls).where(mine).values(**changes))
    return await get_call(c, relay.tenant, row["id"])


def _number(text: str) -> str:
    """Return a number as it is compared; what a telephone system says instead of one as it is."""
    try:
        return normalise_address("phone", text)
    except UsageError:
        return check_line(text or "withheld", "number", max_chars=80)
