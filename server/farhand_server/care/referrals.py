"""A ticket that somebody else must go on with: the maker, a service centre, a carrier.

A vendor is an organisation with people of the kind `vendor`; whoever is written to is one of them.
Referring a ticket makes it wait for the vendor, mails what is known (what is wrong, model, serial
number, what was tried), and keeps the words in the thread as a note.  The vendor becomes a
participant only where that is asked for, because a participant sees every public word from then on.
What happens to the thing itself is a few fields: RMA number, carrier, tracking, days, a loaner.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_server.desk.moves import wait
from farhand_server.desk.participants import Participant, add_participant
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight, Ticket
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.fleet.devices import find_device
from farhand_server.fleet.product import get_product
from farhand_server.people.letters import language_of, post_letter
from farhand_server.people.organisations import get_organisation
from farhand_server.people.people import Person, get_person, main_address
from farhand_server.relay import Relay
from farhand_server.store.schema import people, referrals, ticket_messages, tickets
from farhand_server.wording import check_body, check_line

__all__ = [
    "MAX_REFERRALS",
    "NewReferral",
    "Referral",
    "ReferralChange",
    "change_referral",
    "find_referrals",
    "is_referral_note",
    "refer",
    "referrals_of",
]

MAX_REFERRALS: Final = 20
_LINES: Final = ("rma_no", "carrier", "tracking", "outcome")
_DAYS: Final = ("sent_on", "received_on")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MAX_FAULT_CHARS: Final = 2_000
# How what a vendor is told begins.
_REFERENCE: Final = "Our reference: "


class NewReferral(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom a ticket goes.

    Attributes:
        to: a vendor: the organisation's id or name, or one of its people.
        note: what they must know beyond what the ticket says.
        until: the latest time to go on by itself (RFC 3339).
        rma_no: where they gave one already.
        participant: whether they see and answer the ticket's public words from then on.
    """

    to: str
    note: str = ""
    until: str | None = None
    rma_no: str = ""
    participant: bool = False


class ReferralChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is not given stays, null or nothing empties it."""

    rma_no: str | msgspec.UnsetType = msgspec.UNSET
    carrier: str | msgspec.UnsetType = msgspec.UNSET
    tracking: str | msgspec.UnsetType = msgspec.UNSET
    sent_on: str | msgspec.UnsetType | None = msgspec.UNSET
    received_on: str | msgspec.UnsetType | None = msgspec.UNSET
    loaner: str | msgspec.UnsetType | None = msgspec.UNSET
    outcome: str | msgspec.UnsetType = msgspec.UNSET


class Referral(msgspec.Struct, frozen=True, kw_only=True):
    """One referral; `vendor` is an organisation's id, `contact` a person's, `loaner` a device's."""

    id: str
    ticket: str
    vendor: str
    vendor_name: str
    contact: str
    rma_no: str
    carrier: str
    tracking: str
    sent_on: str | None
    received_on: str | None
    loaner: str | None
    outcome: str
    created_by: str
    created_at: str
    updated_at: str
    revision: int


async def _referral(c: AsyncConnection, tenant: str, row: RowMapping) -> Referral:
    names = [n for n in Referral.__struct_fields__ if n not in ("ticket", "vendor_name")]
    vendor = await get_organisation(c, tenant, row["vendor"])
    return Referral(
        ticket=format_number(row["ticket"]),
        vendor_name=vendor.name,
        **{name: row[name] for name in names},
    )


async def referrals_of(c: AsyncConnection, tenant: str, number: int) -> list[Referral]:
    """Return a ticket's referrals, the newest first; at most `MAX_REFERRALS`."""
    query = (
        select(referrals)
        .where(referrals.c.tenant == tenant, referrals.c.ticket == number)
        .order_by(referrals.c.created_at.desc(), referrals.c.id)
        .limit(MAX_REFERRALS)
    )
    return [await _referral(c, tenant, row) for row in (await c.execute(query)).mappings()]


async def find_referrals(
    c: AsyncConnection, tenant: str, rma_no: str, *, sight: Sight
) -> list[Referral]:
    """Return the referrals with this RMA number on tickets that somebody sees, newest first."""
    where = [referrals.c.tenant == tenant, referrals.c.rma_no == rma_no.strip()]
    if (seen := sight.condition()) is not None:
        where.append(seen)
    of_ticket = and_(tickets.c.tenant == referrals.c.tenant, tickets.c.number == referrals.c.ticket)
    query = (
        select(referrals)
        .join(tickets, of_ticket)
        .where(*where)
        .order_by(referrals.c.created_at.desc(), referrals.c.id)
        .limit(MAX_REFERRALS)
    )
    return [await _referral(c, tenant, row) for row in (await c.execute(query)).mappings()]


# Referring.


async def refer(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    new: NewReferral,
    actor: str,
    revision: int | None = None,
) -> Referral:
    """Hand a ticket to a vendor, by mail, and wait for them.

    Raises:
        FarhandError: `invalid`, `not-found`, `ticket-state`, `revision-mismatch`;
            `vendor-unreachable` where no mail address of theirs is known; `referral-limit`.
    """
    tenant = relay.tenant
    contact = await _contact(c, tenant, new.to)
    to = await main_address(c, tenant, contact.id)
    if contact.organisation is None or to is None:
        raise FarhandError(
            "vendor-unreachable",
            f"{contact.name} has no organisation, or no mail address",
            hint=f"farhand person show {contact.id}",
        )
    if len(await referrals_of(c, tenant, ticket.row)) >= MAX_REFERRALS:
        raise FarhandError("referral-limit", f"{ticket.number} has {MAX_REFERRALS} referrals")
    rma_no = check_line(new.rma_no, "RMA number") if new.rma_no.strip() else ""
    text = await _summary(c, relay, ticket, note=new.note, rma_no=rma_no)
    made = make_id("rf", relay.random(10))
    at = relay.stamp()
    await c.execute(
        insert(referrals).values(
            tenant=tenant,
            id=made,
            ticket=ticket.row,
            vendor=contact.organisation,
            contact=contact.id,
            rma_no=rma_no,
            carrier="",
            tracking="",
            sent_on=None,
            received_on=None,
            loaner=None,
            outcome="",
            created_by=actor,
            created_at=at,
            updated_at=at,
            revision=1,
        )
    )
    await wait(
        c,
        relay,
        ref=ticket.id,
        reason="vendor",
        until=new.until,
        note=f"To {contact.name} <{to}>:\n\n{text}",
        actor=actor,
        revision=revision,
    )
    detail = {"referral": made, "vendor": contact.organisation}
    await add_event(c, tenant, ticket.row, "referred", actor, detail, at)
    if new.participant:
        who = Participant(name=to, part="vendor", can_post=True)
        await add_participant(c, relay, ticket=ticket, who=who, actor=actor)
    await post_letter(
        c,
        relay,
        to=to,
        subject=f"[{ticket.number}] {ticket.title}",
        text=text,
        language=await language_of(c, tenant, contact),
        key=f"referral:{made}",
        ticket=ticket.row,
    )
    return (await referrals_of(c, tenant, ticket.row))[0]


def is_referral_note(body: str, number: int) -> bool:
    """Tell whether a note says what a vendor was told of a ticket, in the requester's words."""
    head, _, text = body.partition("\n\n")
    is_to = head.startswith("To ") and head.endswith(">:")
    return is_to and text.startswith(f"{_REFERENCE}{format_number(number)}\n")


async def _contact(c: AsyncConnection, tenant: str, ref: str) -> Person:
    """Return a vendor's person: the one who is named, or the first of the organisation.

    Raises:
        FarhandError: `not-found`, `vendor-unreachable`.
    """
    try:
        organisation = await get_organisation(c, tenant, ref)
    except FarhandError as error:
        if error.code != "not-found":
            raise
        person = await get_person(c, tenant, ref)
        if person.kind != "vendor":
            raise UsageError("invalid", f"{person.name} is not a vendor's") from error
        return person
    query = (
        select(people.c.id)
        .where(
            people.c.tenant == tenant,
            people.c.organisation == organisation.id,
            people.c.kind == "vendor",
            people.c.active,
        )
        .order_by(people.c.created_at, people.c.id)
        .limit(1)
    )
    first = await c.scalar(query)
    if first is None:
        raise FarhandError(
            "vendor-unreachable",
            f"nobody of {organisation.name} is known as a vendor",
            hint=f"farhand person add NAME --kind vendor --organisation {organisation.name}",
        )
    return await get_person(c, tenant, first)


async def _summary(
    c: AsyncConnection, relay: Relay, ticket: Ticket, *, note: str, rma_no: str
) -> str:
    """Return what a vendor must know; nothing of who the requester is."""
    lines = [f"{_REFERENCE}{ticket.number}"]
    if rma_no:
        lines.append(f"RMA number: {rma_no}")
    lines += await _device_lines(c, relay, ticket.device)
    parts = ["\n".join(lines), f"Fault:\n{await _fault(c, relay.tenant, ticket)}"]
    if ticket.steps_tried:
        parts.append(f"Tried already:\n{ticket.steps_tried}")
    if ticket.repro_steps:
        parts.append(f"How to make it happen:\n{ticket.repro_steps}")
    if note.strip():
        parts.append(check_body(note, "note"))
    parts.append(f"{relay.settings.org}\nPlease keep [{ticket.number}] in the subject.")
    return "\n\n".join(parts)


async def _device_lines(c: AsyncConnection, relay: Relay, device: str | None) -> list[str]:
    if device is None:
        return []
    product = await get_product(c, relay, device)
    known = (
        ("Make", product.make),
        ("Model", product.model),
        ("Serial number", product.serial),
        ("Bought on", product.purchased_on),
        ("Warranty until", product.warranty_ends_on),
        ("Contract", product.vendor_contract),
    )
    # Some of it is the device's own word, so it is kept to one printable line each.
    return [f"{name}: {_plain(value)}" for name, value in known if value]


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:200]


async def _fault(c: AsyncConnection, tenant: str, ticket: Ticket) -> str:
    """Return what is wrong: the title, and the first thing that was said in public."""
    query = (
        select(ticket_messages.c.body)
        .where(
            ticket_messages.c.tenant == tenant,
            ticket_messages.c.ticket == ticket.row,
            ticket_messages.c.public,
        )
        .order_by(ticket_messages.c.seq)
        .limit(1)
    )
    said = await c.scalar(query)
    return ticket.title if said is None else f"{ticket.title}\n\n{said[:_MAX_FAULT_CHARS]}"


# What happens to the thing.


async def change_referral(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    referral: str,
    change: ReferralChange,
    actor: str,
    revision: int | None = None,
) -> Referral:
    """Note what became known of a referral.

    Raises:
        FarhandError: `invalid`, `not-found`, `revision-mismatch`.
    """
    found = next(
        (one for one in await referrals_of(c, relay.tenant, ticket.row) if one.id == referral), None
    )
    if found is None:
        raise not_found("referral", referral)
    values = await _checked(c, relay, change)
    values = {name: value for name, value in values.items() if getattr(found, name) != value}
    if not values:
        return found
    sent = values.get("sent_on", found.sent_on)
    received = values.get("received_on", found.received_on)
    if sent and received and received < sent:
        raise UsageError("invalid", "it came back before it was sent")
    at = relay.stamp()
    done = await c.execute(
        update(referrals)
        .where(
            referrals.c.tenant == relay.tenant,
            referrals.c.id == found.id,
            referrals.c.revision == (found.revision if revision is None else revision),
        )
        .values(**values, updated_at=at, revision=found.revision + 1)
    )
    if done.rowcount != 1:
        raise FarhandError("revision-mismatch", f"{found.id} was changed meanwhile")
    detail = {"referral": found.id, **values}
    await add_event(c, relay.tenant, ticket.row, "referral", actor, detail, at)
    return next(
        one for one in await referrals_of(c, relay.tenant, ticket.row) if one.id == found.id
    )


async def _checked(c: AsyncConnection, relay: Relay, change: ReferralChange) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _LINES:
        text = getattr(change, name)
        if not isinstance(text, msgspec.UnsetType):
            values[name] = check_line(text, name.replace("_", " ")) if text.strip() else ""
    for name in _DAYS:
        text = getattr(change, name)
        if not isinstance(text, msgspec.UnsetType):
            values[name] = _day(text, name.replace("_", " "))
    if not isinstance(change.loaner, msgspec.UnsetType):
        lent = change.loaner
        values["loaner"] = (await find_device(c, relay.tenant, lent))["id"] if lent else None
    return values


def _day(text: str | None, field: str) -> str | None:
    if text is None or not text.strip():
        return None
    day = text.strip()
    try:
        if not _DAY.fullmatch(day):
            raise ValueError(day)
        date.fromisoformat(day)
    except ValueError as error:
        raise UsageError("invalid", f"{field} is a day, such as 2027-03-31") from error
    return day
