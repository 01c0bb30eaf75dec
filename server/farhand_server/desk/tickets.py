"""Tickets: made, found, and who sees which.

Every function works inside the caller's transaction, so that a session can make its walk-in ticket
together with its own rows.  What moves a ticket is in `desk.moves`, by the one table in
`desk.ticket_states`.  Who may do what was decided before (`accounts.authorisation`); what somebody
may *see* is decided here, by `Sight`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    RowMapping,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.desk.checklist_items import begin_checklists
from farhand_server.desk.downtime import note_downtime
from farhand_server.desk.frozen_devices import freeze_device
from farhand_server.desk.priorities import (
    Level,
    Priority,
    name_priority,
    priority_of,
    rank_priority,
)
from farhand_server.desk.queues import DEFAULT_QUEUE, promised_in
from farhand_server.desk.references import format_number, parse_reference
from farhand_server.desk.search_index import index_head
from farhand_server.desk.ticket_fields import check_fields
from farhand_server.desk.ticket_states import ENDED, STATES
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.desk.unused import came_to_nothing
from farhand_server.errors import not_found
from farhand_server.people.people import whose_name
from farhand_server.relay import Relay
from farhand_server.store.schema import tenants, ticket_participants, tickets
from farhand_server.wording import check_body, check_language, check_line

__all__ = [
    "KINDS",
    "Intake",
    "Kind",
    "Reproducible",
    "Sight",
    "Ticket",
    "TicketFilter",
    "conditions_of",
    "create_ticket",
    "find_ticket",
    "get_ticket",
    "list_tickets",
    "lock_numbers",
    "ticket_of_row",
]

Kind = Literal[
    "incident",
    "request",
    "question",
    "access",
    "complaint",
    "suggestion",
    "change",
    "problem",
    "walk-in",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Reproducible = Literal["yes", "no", "sometimes"]

_FIRST_TIER: Final = 1
# Left out of a list that asks for no state.
_OUT_OF_SIGHT: Final = ("merged", "spam")


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket; `number` reads `FH-1`, `id` is the same in plain digits.

    `state_reason` and `waiting_until` (RFC 3339) belong to a ticket that waits; `priority_reason`
    is there when a person overruled what impact and urgency make; `merged_into` reads as `number`;
    `due_at` is when the next thing that is promised (`policy`) is due, and `late` that something
    was and is not done; both are known within a minute.  `person` and `organisation` are whose it
    is, where that is known; `down_from` and `down_to` when what it is about did not work.
    """

    id: str
    number: str
    title: str
    state: str
    state_reason: str
    waiting_until: str | None
    kind: str
    queue: str
    impact: str
    urgency: str
    priority: str
    priority_reason: str
    tier: int
    security: bool
    requester: str | None
    owner: str | None
    device: str | None
    external_key: str | None
    steps_tried: str
    reproducible: str | None
    repro_steps: str
    complained_about: str | None
    identity_check: str
    person: str | None
    organisation: str | None
    contract: str | None
    language: str
    category: str
    down_from: str | None
    down_to: str | None
    fields: dict[str, Any] = {}
    merged_into: str | None
    reopen_count: int
    created_by: str
    created_at: str
    updated_at: str
    resolved_at: str | None
    closed_at: str | None
    policy: str | None
    due_at: str | None
    late: bool
    revision: int

    @property
    def row(self) -> int:
        """Return the number as the database keeps it."""
        return int(self.id)


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket begins with beyond its title.

    `complained_about` is the account that a complaint is about; it never owns the ticket.  `fields`
    is what the form of the kind asks for; None where nobody could be asked, as in a mail.
    """

    kind: Kind = "incident"
    queue: str = DEFAULT_QUEUE
    impact: Level = "medium"
    urgency: Level = "medium"
    security: bool = False
    steps_tried: str = ""
    reproducible: Reproducible | None = None
    repro_steps: str = ""
    complained_about: str | None = None
    language: str = ""
    category: str = ""
    fields: dict[str, Any] | None = None


class Sight(NamedTuple):
    """What somebody sees: with `desk` every ticket, with `guarded` the security ones as well.

    Without `desk` it is the tickets that are hers, or on which she takes part; `person` is who she
    is, whichever of her addresses a ticket came from.  By her name alone a ticket is hers only as
    long as nobody else is known to have asked: an account may be named by an address that is
    somebody else's today.
    """

    name: str
    desk: bool
    guarded: bool
    person: str | None = None

    def numbers(self, tenant: str) -> CompoundSelect[int]:
        """Return the numbers of the tickets that are hers, each part of them out of an index."""
        own = tickets.alias("own")
        mine = and_(own.c.tenant == tenant, self._nobody_else(own.c.person))
        parts = [
            select(own.c.number).where(mine, own.c.requester == self.name),
            # As a range: most tickets are made by few (mail, a form), and SQLite, once it was made
            # to count, takes the mean of all for hers and would rather read every ticket.
            select(own.c.number).where(mine, own.c.created_by.between(self.name, self.name)),
            select(ticket_participants.c.ticket).where(
                ticket_participants.c.tenant == tenant, ticket_participants.c.name == self.name
            ),
        ]
        if self.person:
            hers = (own.c.tenant == tenant, own.c.person == self.person)
            parts.append(select(own.c.number).where(*hers))
        return union(*parts)

    def _nobody_else(self, person: ColumnElement[str | None]) -> ColumnElement[bool]:
        unknown = person.is_(None)
        return or_(unknown, person == self.person) if self.person else unknown

    def condition(self, tenant: str | None = None) -> ColumnElement[bool] | None:
        """Return what a row of `tickets` must be; None when it may be anything.

        With the tenant, which lists name, what is hers is looked up and not every ticket looked at.
        """
        if self.desk and self.guarded:
            return None
        if not self.desk and tenant is not None:
            return tickets.c.number.in_(self.numbers(tenant))
        takes_part = exists().where(
            ticket_participants.c.tenant == tickets.c.tenant,
            ticket_participants.c.ticket == tickets.c.number,
            ticket_participants.c.name == self.name,
        )
        nobody_else = self._nobody_else(tickets.c.person)
        made = tickets.c.created_by == self.name
        hers = or_(and_(tickets.c.requester == self.name, nobody_else), takes_part)
        if self.person:
            hers = or_(hers, tickets.c.person == self.person)
        if not self.desk:
            return or_(hers, and_(made, nobody_else))
        # People of the desk make tickets for others.
        return or_(tickets.c.security.is_(False), tickets.c.owner == self.name, made, hers)


class TicketFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is asked for; everything given must hold.

    `owner` may be `none`; `reason` is what a ticket waits for; `open` leaves out those of which
    nothing more is expected, or asks for them alone; `q` is words, each of which must be in title,
    requester or external key.
    """

    state: str | None = None
    reason: str | None = None
    open: bool | None = None
    owner: str | None = None
    queue: str | None = None
    kind: str | None = None
    priority: Priority | None = None
    tier: int | None = None
    device: str | None = None
    due_before: str | None = None
    late: bool | None = None
    q: str | None = None


_COMPUTED: Final = ("id", "number", "priority", "merged_into", "fields")


def ticket_of_row(row: RowMapping) -> Ticket:
    """Return a row of `tickets` as people see it."""
    values = {name: row[name] for name in Ticket.__struct_fields__ if name not in _COMPUTED}
    number, merged = row["number"], row["merged_into"]
    return Ticket(
        id=str(number),
        number=format_number(number),
        priority=name_priority(row["priority"]),
        merged_into=format_number(merged) if merged else None,
        fields=json.loads(row["fields"]),
        **values,
    )


# Making tickets.


async def lock_numbers(c: AsyncConnection, tenant: str) -> None:
    """Let one transaction at a time take a number: PostgreSQL waits, SQLite has one writer."""
    await c.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())


async def create_ticket(
    c: AsyncConnection,
    relay: Relay,
    *,
    title: str,
    actor: str,
    requester: str | None = None,
    device: str | None = None,
    external_key: str | None = None,
    body: str | None = None,
    intake: Intake | None = None,
    person: str | None = None,
    organisation: str | None = None,
    channel: str = "",
) -> Ticket:
    """Make a ticket inside the caller's write transaction.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        title: one line.
        actor: name of the account that makes it.
        requester: who needs help; an account name, or any name.
        device: id of the device in question, not looked up here.
        external_key: its key in someone else's desk.
        body: first message, by `actor`.
        intake: the rest; an incident of middling weight without.
        person: who the requester is, where that is known; of an account or a proven address it is
            found.
        organisation: whose ticket it is.
        channel: how it came; see `desk.timeline.Message`.

    Raises:
        FarhandError: `invalid`, `fields-invalid`; `not-found` for a queue that does not exist.
    """
    tenant, at = relay.tenant, relay.stamp()
    given = intake or Intake()
    promised = await promised_in(c, tenant, given.queue, kind=given.kind)
    if person is None and requester:
        person, its = await whose_name(c, tenant, requester)
        organisation = organisation or its
    fields = "{}"
    if given.fields is not None:
        fields = await check_fields(c, tenant, given.kind, given.fields)
    await lock_numbers(c, tenant)
    highest = await c.scalar(select(func.max(tickets.c.number)).where(tickets.c.tenant == tenant))
    number = (highest or 0) + 1
    await relay.audit.append(c, actor=actor, action="ticket.create", subject=format_number(number))
    await c.execute(
        insert(tickets).values(
            tenant=tenant,
            number=number,
            title=check_line(title, "title"),
            state="new",
            state_reason="",
            waiting_until=None,
            kind=given.kind,
            queue=given.queue,
            impact=given.impact,
            urgency=given.urgency,
            priority=rank_priority(priority_of(given.impact, given.urgency)),
            priority_reason="",
            security=given.security,
            requester=_line(requester, "requester"),
            owner=None,
            tier=_FIRST_TIER,
            device=_line(device, "device"),
            external_key=_line(external_key, "external key"),
            steps_tried=_body(given.steps_tried, "steps tried"),
            reproducible=given.reproducible,
            repro_steps=_body(given.repro_steps, "steps to reproduce"),
            complained_about=_line(given.complained_about, "person complained about"),
            identity_check="",
            person=person,
            organisation=organisation,
            contract=None,
            language=check_language(given.language),
            category=_line(given.category, "category") or "",
            fields=fields,
            down_from=None,
            down_to=None,
            merged_into=None,
            reopen_count=0,
            created_by=actor,
            created_at=at,
            updated_at=at,
            late=False,
            due_known=False,
            revision=1,
            **promised,
        )
    )
    await index_head(c, tenant, number)
    detail: dict[str, Any] = {
        "kind": given.kind,
        "queue": given.queue,
        "priority": _priority(given),
        "channel": channel,
    }
    if body and body.strip():
        message = await insert_message(
            c, tenant, number, "reply", actor, body, at,
            channel=channel, person=person, language=given.language,
        )  # fmt: skip
        detail["message"] = message.seq
    await add_event(c, tenant, number, "created", actor, detail, at)
    if device:
        await freeze_device(c, tenant, number, device)
        await note_downtime(c, relay, number)
    await begin_checklists(c, tenant, number, given.kind)
    return await _by_number(c, tenant, number)


def _priority(given: Intake) -> str:
    return priority_of(given.impact, given.urgency)


def _line(text: str | None, field: str) -> str | None:
    return check_line(text, field) if text else None


def _body(text: str, field: str) -> str:
    return check_body(text, field) if text.strip() else ""


# Finding tickets.


async def find_ticket(
    c: AsyncConnection, tenant: str, ref: str, *, sight: Sight | None = None
) -> Ticket | None:
    """Return the ticket that `FH-12`, `12` or an external key names; the newest of several.

    A number goes first, so that nobody's external key can stand in front of a ticket.
    """
    number = parse_reference(ref)
    if number is not None:
        row = await _select_one(c, tenant, tickets.c.number == number, sight)
        if row is not None:
            return ticket_of_row(row)
    by_key = tickets.c.external_key == ref.strip().replace("\0", "")
    row = await _select_one(c, tenant, by_key, sight)
    return None if row is None else ticket_of_row(row)


async def get_ticket(
    c: AsyncConnection, tenant: str, ref: str, *, sight: Sight | None = None
) -> Ticket:
    """Return the ticket that `ref` names.

    Args:
        c: any connection.
        tenant: organisation.
        ref: as `find_ticket` takes it.
        sight: who asks; None for the relay itself.

    Raises:
        FarhandError: `not-found`, also for a ticket that this person may not see.
    """
    ticket = await find_ticket(c, tenant, ref, sight=sight)
    if ticket is None:
        raise not_found("ticket", ref)
    return ticket


async def _select_one(
    c: AsyncConnection, tenant: str, where: ColumnElement[bool], sight: Sight | None
) -> RowMapping | None:
    query = select(tickets).where(tickets.c.tenant == tenant, where)
    if sight is not None and (seen := sight.condition()) is not None:
        query = query.where(seen)
    result = await c.execute(query.order_by(tickets.c.number.desc()).limit(1))
    return result.mappings().first()


async def _by_number(c: AsyncConnection, tenant: str, number: int) -> Ticket:
    row = await _select_one(c, tenant, tickets.c.number == number, None)
    if row is None:
        raise not_found("ticket", format_number(number))
    return ticket_of_row(row)


async def list_tickets(
    c: AsyncConnection,
    tenant: str,
    *,
    wanted: TicketFilter,
    sight: Sight | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Ticket]:
    """Return tickets, newest first.

    Without a state, merged tickets and spam are left out, and those that the relay made and
    resolved for sessions that never began.

    Args:
        c: any connection.
        tenant: organisation.
        wanted: what is asked for.
        sight: who asks; None for the relay itself.
        before: only numbers below this one (the cursor).
        limit: at most so many.

    Raises:
        FarhandError: `invalid` for a state or a kind that does not exist.
    """
    where: list[ColumnElement[bool]] = [tickets.c.tenant == tenant, *conditions_of(wanted)]
    if sight is not None and (seen := sight.condition(tenant)) is not None:
        where.append(seen)
    if before is not None:
        where.append(tickets.c.number < before)
    query = select(tickets).where(and_(*where)).order_by(tickets.c.number.desc()).limit(limit)
    return [ticket_of_row(row) for row in (await c.execute(query)).mappings()]


def conditions_of(
    wanted: TicketFilter, *, hidden: Sequence[str] = _OUT_OF_SIGHT
) -> list[ColumnElement[bool]]:
    """Return what a row of `tickets` must be to be what is asked for.

    Args:
        wanted: what is asked for.
        hidden: states that are left out where none is asked for.

    Raises:
        FarhandError: `invalid` for a state or a kind that does not exist.
    """
    where: list[ColumnElement[bool]] = []
    if wanted.state is None:
        where += [tickets.c.state.not_in(hidden), ~came_to_nothing()]
    elif wanted.state not in STATES:
        raise FarhandError("invalid", f"a ticket is one of {', '.join(STATES)}")
    else:
        where.append(tickets.c.state == wanted.state)
    if wanted.kind is not None and wanted.kind not in KINDS:
        raise FarhandError("invalid", f"a ticket is of a kind of {', '.join(KINDS)}")
    if wanted.owner is not None:
        nobody = wanted.owner == "none"
        where.append(tickets.c.owner.is_(None) if nobody else tickets.c.owner == wanted.owner)
    if wanted.priority is not None:
        where.append(tickets.c.priority == rank_priority(wanted.priority))
    if wanted.open is not None:
        # As `not in`, so that a page stays a range of the index that its order has.
        is_open = tickets.c.state.not_in(ENDED)
        where.append(is_open if wanted.open else ~is_open)
    if wanted.reason is not None:
        where.append(tickets.c.state_reason == wanted.reason)
    for name in ("queue", "kind", "tier", "device", "late"):
        if (value := getattr(wanted, name)) is not None:
            where.append(tickets.c[name] == value)
    if wanted.due_before is not None:
        where.append(tickets.c.due_at < stamp(parse_instant(wanted.due_before)))
    for word in (wanted.q or "").replace("\0", "").split()[:10]:
        where.append(
            or_(
                tickets.c.title.icontains(word, autoescape=True),
                tickets.c.requester.icontains(word, autoescape=True),
                tickets.c.external_key.icontains(word, autoescape=True),
            )
        )
    return where
