"""Visits on site: who comes when and where, told as an invitation that calendars understand.

    planned -> done         with what came of it, and the time
            -> missed       nobody was there; may be planned anew
            -> cancelled

The invitation (RFC 5545, 5546) keeps its UID for good and counts its SEQUENCE up, so a visit that
is moved moves in everybody's calendar.  While a visit is planned its ticket waits for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from icalendar import Calendar, Event, vCalAddress, vText
from sqlalchemy import RowMapping, and_, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.desk.moves import resume, wait
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight, Ticket, get_ticket
from farhand_server.desk.time_entries import record_time
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.errors import not_found
from farhand_server.mail.mailboxes import mailbox_of_queue
from farhand_server.mail.outgoing import queue_mail
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.people.people import get_person, main_address
from farhand_server.relay import Relay
from farhand_server.store.schema import tickets, visits
from farhand_server.wording import check_body, check_line

__all__ = [
    "STATES",
    "Visit",
    "VisitEnd",
    "VisitTerms",
    "cancel_visit",
    "card_of",
    "finish_visit",
    "get_visit",
    "invitation",
    "list_visits",
    "move_visit",
    "plan_visit",
]

State = Literal["planned", "done", "missed", "cancelled"]
STATES: Final[tuple[State, ...]] = get_args(State)
_LONGEST: Final = timedelta(days=7)


class VisitTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and where: RFC 3339 times, a place in words, the account of who comes."""

    starts_at: str
    ends_at: str
    place: str
    technician: str


class VisitEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of a visit; `minutes` were worked, those of the window without."""

    outcome: str
    was_there: bool = True
    minutes: float | None = None
    billable: bool = True


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One visit."""

    id: str
    ticket: str
    technician: str
    place: str
    starts_at: str
    ends_at: str
    state: State
    sequence: int
    outcome: str
    time_entry: str | None
    created_by: str
    created_at: str
    revision: int


def _visit(row: RowMapping) -> Visit:
    values = {name: row[name] for name in Visit.__struct_fields__ if name != "ticket"}
    return Visit(ticket=format_number(row["ticket"]), **values)


async def get_visit(
    c: AsyncConnection, tenant: str, visit: str, *, sight: Sight | None = None
) -> Visit:
    """Return a visit.

    Raises:
        FarhandError: `not-found`, also where this person may not see its ticket.
    """
    query = select(visits).where(visits.c.tenant == tenant, visits.c.id == visit)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("visit", visit)
    if sight is not None:
        await get_ticket(c, tenant, str(row["ticket"]), sight=sight)
    return _visit(row)


async def list_visits(
    c: AsyncConnection,
    tenant: str,
    *,
    technician: str | None = None,
    ticket: int | None = None,
    state: State | None = None,
    since: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 50,
    sight: Sight | None = None,
) -> list[Visit]:
    """Return visits by when they begin.

    Args:
        c: any connection.
        tenant: organisation.
        technician: only hers.
        ticket: only of this one.
        state: only those.
        since: only those that begin then or later (RFC 3339).
        after: only later ones than this beginning and id (the cursor).
        limit: at most so many.
        sight: who asks; visits of tickets that she may not see are left out.

    Raises:
        FarhandError: `invalid` for a time that is none.
    """
    where = [visits.c.tenant == tenant]
    if sight is not None and (seen := sight.condition(tenant)) is not None:
        its = and_(tickets.c.tenant == visits.c.tenant, tickets.c.number == visits.c.ticket)
        where.append(exists().where(its, seen))
    if technician is not None:
        where.append(visits.c.technician == technician)
    if ticket is not None:
        where.append(visits.c.ticket == ticket)
    if state is not None:
        where.append(visits.c.state == state)
    if since is not None:
        where.append(visits.c.starts_at >= stamp(parse_instant(since)))
    if after is not None:
        at, visit = after
        where.append(
            or_(visits.c.starts_at > at, and_(visits.c.starts_at == at, visits.c.id > visit))
        )
    query = select(visits).where(*where).order_by(visits.c.starts_at, visits.c.id).limit(limit)
    return [_visit(row) for row in (await c.execute(query)).mappings()]


async def plan_visit(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    terms: VisitTerms,
    actor: str,
    sight: Sight | None = None,
) -> Visit:
    """Plan a visit: the ticket waits for it, and whoever is concerned is invited.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        ref: the ticket.
        terms: when, where, who.
        actor: who plans it.
        sight: what this person sees.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`.
    """
    ticket = await get_ticket(c, relay.tenant, ref, sight=sight)
    visit = make_id("v", relay.random(10))
    await c.execute(
        insert(visits).values(
            tenant=relay.tenant,
            id=visit,
            ticket=ticket.row,
            **_values(terms, relay.now()),
            state="planned",
            sequence=0,
            outcome="",
            time_entry=None,
            created_by=actor,
            created_at=relay.stamp(),
            revision=1,
        )
    )
    return await _tell(c, relay, visit, what="planned", actor=actor)


def _values(terms: VisitTerms, now: datetime) -> dict[str, str]:
    starts, ends = parse_instant(terms.starts_at), parse_instant(terms.ends_at)
    if not starts < ends <= starts + _LONGEST or ends <= now:
        raise UsageError("invalid", "a visit ends after it begins, within a week, and after now")
    return {
        "starts_at": stamp(starts),
        "ends_at": stamp(ends),
        "place": check_line(terms.place, "place"),
        "technician": check_line(terms.technician, "technician", max_chars=64),
    }


async def move_visit(
    c: AsyncConnection, relay: Relay, *, visit: str, terms: VisitTerms, actor: str
) -> Visit:
    """Plan a visit anew, also one for which nobody was there.

    Raises:
        FarhandError: `not-found`, `invalid`, `visit-state`.
    """
    found = await _held(c, relay, visit, allowed=("planned", "missed"))
    changes = {**_values(terms, relay.now()), "state": "planned", "outcome": ""}
    await _change(c, relay, found, changes, sequence=found.sequence + 1)
    return await _tell(c, relay, visit, what="moved", actor=actor)


async def cancel_visit(
    c: AsyncConnection, relay: Relay, *, visit: str, reason: str, actor: str
) -> Visit:
    """Call a visit off; its ticket goes on.

    Raises:
        FarhandError: `not-found`, `invalid`, `visit-state`.
    """
    found = await _held(c, relay, visit, allowed=("planned",))
    changes = {"state": "cancelled", "outcome": check_body(reason, "reason")}
    await _change(c, relay, found, changes, sequence=found.sequence + 1)
    return await _tell(c, relay, visit, what="cancelled", actor=actor)


async def finish_visit(
    c: AsyncConnection, relay: Relay, *, visit: str, end: VisitEnd, actor: str
) -> Visit:
    """Write down what came of a visit, and the time it took.

    Raises:
        FarhandError: `not-found`, `invalid`, `visit-state`.
    """
    found = await _held(c, relay, visit, allowed=("planned",))
    number = (await get_ticket(c, relay.tenant, found.ticket)).row
    outcome = check_body(end.outcome, "outcome")
    starts, ends = parse_instant(found.starts_at), parse_instant(found.ends_at)
    if end.minutes is not None and not 0 <= end.minutes <= _LONGEST.total_seconds() / 60:
        raise UsageError("invalid", "a visit takes 0 minutes to a week")
    worked = ends - starts if end.minutes is None else timedelta(minutes=end.minutes)
    # Whoever was there early was there before now.
    begun = min(starts, relay.now() - worked)
    entry = await record_time(
        c,
        relay,
        ticket=number,
        account=found.technician,
        started_at=stamp(begun),
        ended_at=stamp(begun + worked),
        active_s=int(worked.total_seconds()),
        note=outcome[:200].split("\n", 1)[0],
        origin="visit",
        activity="visit",
        billable=end.billable,
    )
    changes = {
        "state": "done" if end.was_there else "missed",
        "outcome": outcome,
        "time_entry": entry.id,
    }
    await _change(c, relay, found, changes, sequence=found.sequence)
    return await _tell(c, relay, visit, what=str(changes["state"]), actor=actor)


async def _held(
    c: AsyncConnection, relay: Relay, visit: str, *, allowed: tuple[State, ...]
) -> Visit:
    """Return a visit, held until the transaction ends, in one of these states."""
    mine = and_(visits.c.tenant == relay.tenant, visits.c.id == visit)
    await c.execute(select(visits.c.id).where(mine).with_for_update())
    found = await get_visit(c, relay.tenant, visit)
    if found.state not in allowed:
        raise FarhandError("visit-state", f"this visit is {found.state}")
    return found


async def _change(
    c: AsyncConnection, relay: Relay, found: Visit, changes: dict[str, str], *, sequence: int
) -> None:
    await c.execute(
        update(visits)
        .where(visits.c.tenant == relay.tenant, visits.c.id == found.id)
        .values(**changes, sequence=sequence, revision=found.revision + 1)
    )


# What others hear of it.


async def _tell(c: AsyncConnection, relay: Relay, visit: str, *, what: str, actor: str) -> Visit:
    """Write it into the ticket, move that, and invite whoever is concerned."""
    found = await get_visit(c, relay.tenant, visit)
    ticket = await get_ticket(c, relay.tenant, found.ticket)
    await relay.audit.append(c, actor=actor, action=f"visit.{what}", subject=found.id)
    concerns_all = what in ("planned", "moved", "cancelled")
    words = _words(found, what)
    at = relay.stamp()
    said = await insert_message(
        c, relay.tenant, ticket.row, "system", actor, words, at, public=concerns_all
    )
    detail = {"visit": found.id, "what": what, "message": said.seq}
    await add_event(c, relay.tenant, ticket.row, "visit", actor, detail, at)
    if concerns_all:
        invited = await _invited(c, relay.tenant, found, ticket)
        card = await card_of(c, relay, found)
        method = "CANCEL" if what == "cancelled" else "REQUEST"
        kept = await keep_blob(c, relay, card, f"text/calendar; method={method}; charset=utf-8")
        await attach(c, relay.tenant, said.seq, 0, kept, "visit.ics")
        await queue_mail(
            c, relay, to=invited, subject=ticket.title, text=words, ticket=ticket.row,
            message=said.seq, auto=False, key=f"visit:{found.id}:{found.sequence}:{what}",
        )  # fmt: skip
    await _move_ticket(c, relay, ticket, found, what=what, actor=actor)
    return found


def _words(visit: Visit, what: str) -> str:
    """Return the visit in words; times as RFC 3339, since whoever reads may be anywhere."""
    when = f"{visit.starts_at[:16]}Z to {visit.ends_at[:16]}Z"
    where = f"{visit.technician}, {visit.place}"
    after = f"\n\n{visit.outcome}" if visit.outcome else ""
    return f"Visit {what}: {when} ({where}){after}"


async def _move_ticket(
    c: AsyncConnection, relay: Relay, ticket: Ticket, visit: Visit, *, what: str, actor: str
) -> None:
    """Let the ticket wait for a visit that is planned, and go on where it waited for this one."""
    if what in ("planned", "moved"):
        await wait(
            c, relay, ref=ticket.id, reason="visit", until=visit.ends_at, note="", actor=actor
        )
    elif ticket.state == "waiting" and ticket.state_reason == "visit":
        await resume(c, relay, ref=ticket.id, note="", actor=actor)


async def card_of(c: AsyncConnection, relay: Relay, visit: Visit) -> bytes:
    """Return the invitation to a visit, as it stands, for whoever is concerned."""
    ticket = await get_ticket(c, relay.tenant, visit.ticket)
    invited = await _invited(c, relay.tenant, visit, ticket)
    organizer = await _organizer(c, relay, ticket)
    return invitation(visit, ticket.title, now=relay.now(), invited=invited, organizer=organizer)


async def _invited(c: AsyncConnection, tenant: str, visit: Visit, ticket: Ticket) -> list[str]:
    addresses = [
        await _mail_of(c, tenant, visit.technician),
        await _mail_of_requester(c, tenant, ticket),
    ]
    return [one for one in addresses if one]


async def _mail_of(c: AsyncConnection, tenant: str, account: str) -> str | None:
    try:
        return await main_address(c, tenant, (await get_person(c, tenant, account)).id)
    except FarhandError as error:
        if error.code != "not-found":
            raise
        return None  # an account that is nobody's: there is no address to write to


async def _mail_of_requester(c: AsyncConnection, tenant: str, ticket: Ticket) -> str | None:
    return None if ticket.person is None else await main_address(c, tenant, ticket.person)


async def _organizer(c: AsyncConnection, relay: Relay, ticket: Ticket) -> str:
    mailbox = await mailbox_of_queue(c, relay.tenant, ticket.queue)
    if mailbox is not None:
        return mailbox.address
    return f"desk@{urlsplit(relay.settings.url).hostname}"


def invitation(
    visit: Visit, title: str, *, now: datetime, invited: list[str], organizer: str
) -> bytes:
    """Return a visit as an iCalendar object.

    Args:
        visit: as it stands.
        title: of its ticket.
        now: when this is written (DTSTAMP).
        invited: mail addresses.
        organizer: mail address of the desk.
    """
    is_off = visit.state == "cancelled"
    event = Event()
    event.add("uid", f"{visit.id}@farhand")
    event.add("sequence", visit.sequence)
    event.add("dtstamp", now)
    event.add("dtstart", parse_instant(visit.starts_at))
    event.add("dtend", parse_instant(visit.ends_at))
    event.add("summary", f"{visit.ticket} {title}")
    event.add("location", vText(visit.place))
    event.add("status", "CANCELLED" if is_off else "CONFIRMED")
    event.add("organizer", vCalAddress(f"mailto:{organizer}"), encode=False)
    for address in invited:
        event.add("attendee", vCalAddress(f"mailto:{address}"), encode=False)
    calendar = Calendar()
    calendar.add("prodid", "-//Farhand//desk//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "CANCEL" if is_off else "REQUEST")
    calendar.add_component(event)
    card: bytes = calendar.to_ical()
    return card
