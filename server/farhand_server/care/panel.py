"""What a technician wants to know of whose ticket this is, in one answer.

The organisation and its hours, the contract, the device, the last tickets and sessions, her
language, what the desk noted.  Nothing here shows a ticket that the asker may not see.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.care.card import Hours, hours_of
from farhand_server.contracts.cover import Cover, cover_of
from farhand_server.desk.tickets import Sight, Ticket, ticket_of_row
from farhand_server.desk.timeline import SessionLine
from farhand_server.fleet.product import get_product
from farhand_server.people.letters import language_of
from farhand_server.people.organisations import Organisation, get_organisation
from farhand_server.people.people import Address, Person, addresses_of, get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, sessions, tickets

__all__ = [
    "PanelDevice",
    "PanelOrganisation",
    "PanelTicket",
    "PersonPanel",
    "panel_of",
]

_LAST: Final = 5


class PanelOrganisation(msgspec.Struct, frozen=True, kw_only=True):
    """Where she belongs."""

    id: str
    name: str
    title: str
    zone: str
    locale: str
    notes: str
    hours: Hours


class PanelDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket's device; make, model and warranty as product data has them."""

    id: str
    name: str
    os: str
    last_seen: str | None
    make: str | None
    model: str | None
    serial: str | None
    warranty: str
    warranty_ends_on: str | None


class PanelTicket(msgspec.Struct, frozen=True, kw_only=True):
    """One of her tickets before this one."""

    number: str
    title: str
    state: str
    created_at: str


class PersonPanel(msgspec.Struct, frozen=True, kw_only=True):
    """Whose ticket it is; where nobody is known, `requester` is all that was said."""

    ticket: str
    requester: str | None
    person: Person | None
    addresses: list[Address]
    language: str
    organisation: PanelOrganisation | None
    contract: Cover
    device: PanelDevice | None
    tickets: list[PanelTicket]
    sessions: list[SessionLine]


async def panel_of(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, sight: Sight
) -> PersonPanel:
    """Return what is known of whose ticket this is."""
    person = await _person_of(c, relay.tenant, ticket)
    organisation = await _organisation_of(c, relay.tenant, ticket, person)
    language = ticket.language
    if not language and person is not None:
        language = await language_of(c, relay.tenant, person)
    return PersonPanel(
        ticket=ticket.number,
        requester=ticket.requester,
        person=person,
        addresses=[] if person is None else await addresses_of(c, relay.tenant, person.id),
        language=language or (organisation.locale if organisation else ""),
        organisation=await _shown(c, relay, organisation),
        contract=await cover_of(c, relay, ticket=ticket.row),
        device=await _device_of(c, relay, ticket.device),
        tickets=await _tickets_of(c, relay.tenant, ticket, person, sight),
        sessions=await _sessions_of(c, relay.tenant, ticket, person, sight),
    )


async def _person_of(c: AsyncConnection, tenant: str, ticket: Ticket) -> Person | None:
    """Return the ticket's person, or whose account or address its requester names."""
    for ref in (ticket.person, ticket.requester):
        if ref:
            try:
                return await get_person(c, tenant, ref)
            except FarhandError as error:
                # A requester may be any name, such as one that was heard on the phone.
                if error.code not in ("not-found", "invalid"):
                    raise
    return None


async def _organisation_of(
    c: AsyncConnection, tenant: str, ticket: Ticket, person: Person | None
) -> Organisation | None:
    ref = ticket.organisation or (person.organisation if person is not None else None)
    return None if ref is None else await get_organisation(c, tenant, ref)


async def _shown(
    c: AsyncConnection, relay: Relay, organisation: Organisation | None
) -> PanelOrganisation | None:
    if organisation is None:
        return None
    names = [name for name in PanelOrganisation.__struct_fields__ if name != "hours"]
    return PanelOrganisation(
        hours=await hours_of(c, relay, organisation.calendar),
        **{name: getattr(organisation, name) for name in names},
    )


async def _device_of(c: AsyncConnection, relay: Relay, device: str | None) -> PanelDevice | None:
    if device is None:
        return None
    query = select(devices).where(devices.c.tenant == relay.tenant, devices.c.id == device)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        return None  # a guest's, which nobody enrolled
    product = await get_product(c, relay, device)
    return PanelDevice(
        id=device,
        name=row["name"],
        os=row["os"],
        last_seen=row["last_seen"],
        make=product.make,
        model=product.model,
        serial=product.serial,
        warranty=product.warranty,
        warranty_ends_on=product.warranty_ends_on,
    )


def _hers(ticket: Ticket, person: Person | None) -> ColumnElement[bool] | None:
    """Return the condition of what else is hers; None where nobody is known at all."""
    same = []
    if person is not None:
        same.append(tickets.c.person == person.id)
    if ticket.requester:
        same.append(tickets.c.requester == ticket.requester)
    return or_(*same) if same else None


async def _tickets_of(
    c: AsyncConnection, tenant: str, ticket: Ticket, person: Person | None, sight: Sight
) -> list[PanelTicket]:
    hers = _hers(ticket, person)
    if hers is None:
        return []
    where = [tickets.c.tenant == tenant, tickets.c.number != ticket.row, hers]
    if (seen := sight.condition()) is not None:
        where.append(seen)
    query = select(tickets).where(*where).order_by(tickets.c.number.desc()).limit(_LAST)
    found = [ticket_of_row(row) for row in (await c.execute(query)).mappings()]
    return [
        PanelTicket(number=one.number, title=one.title, state=one.state, created_at=one.created_at)
        for one in found
    ]


async def _sessions_of(
    c: AsyncConnection, tenant: str, ticket: Ticket, person: Person | None, sight: Sight
) -> list[SessionLine]:
    hers = _hers(ticket, person)
    mine = tickets.c.number == ticket.row
    where = [tickets.c.tenant == tenant, mine if hers is None else or_(mine, hers)]
    if (seen := sight.condition()) is not None:
        where.append(seen)
    # First whose tickets, then their sessions: hers are few of very many.
    numbers = select(tickets.c.number).where(*where)
    query = (
        select(sessions)
        .where(sessions.c.tenant == tenant, sessions.c.ticket.in_(numbers))
        .order_by(sessions.c.created_at.desc(), sessions.c.id)
        .limit(_LAST)
    )
    names = [name for name in SessionLine.__struct_fields__ if name != "session"]
    return [
        SessionLine(session=row["id"], **{name: row[name] for name in names})
        for row in (await c.execute(query)).mappings()
    ]
