"""The device of a ticket: what it is, whether it is in warranty, what changed since the ticket.

What it was then is `desk.frozen_devices`; what it is now is `fleet.sections`.  Both are the word of
the device.  The warranty is a person's (`fleet.product`): until a day, expired, or unknown.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.tickets import Ticket
from farhand_server.fleet.changes import ItemChange, changes_between, paired
from farhand_server.fleet.devices import lock_device
from farhand_server.fleet.product import Product, get_product
from farhand_server.fleet.proofs import DeviceProof, proofs_of
from farhand_server.fleet.sections import items_of_body, read_section
from farhand_server.relay import Relay
from farhand_server.store.schema import kept_sections, ticket_sections

__all__ = [
    "MAX_SHOWN_CHANGES",
    "DeviceOfTicket",
    "FrozenSection",
    "SectionSince",
    "device_of_ticket",
    "frozen_items",
    "warranty_words",
]

# Of one section; `farhand device diff --since FH-1` pages through all that history has.
MAX_SHOWN_CHANGES: Final = 200


class FrozenSection(msgspec.Struct, frozen=True, kw_only=True):
    """A section as it was when the ticket was made."""

    name: str
    status: str
    hash: str
    collected_at: str


class SectionSince(msgspec.Struct, frozen=True, kw_only=True):
    """What is different in a section now; at most `MAX_SHOWN_CHANGES` of `count` changes."""

    name: str
    status_then: str
    status_now: str
    count: int
    changes: list[ItemChange]


class DeviceOfTicket(msgspec.Struct, frozen=True, kw_only=True):
    """The device of a ticket, then and now."""

    ticket: str
    device: str
    name: str
    os: str
    kind: str
    last_seen: str | None
    product: Product
    warranty: str
    proofs: list[DeviceProof]
    down_from: str | None
    down_to: str | None
    then: list[FrozenSection]
    since: list[SectionSince]


def warranty_words(product: Product) -> str:
    """Return the badge of a warranty as people read it."""
    if product.warranty_ends_on is None:
        return "unknown"
    if product.warranty == "over":
        return f"expired on {product.warranty_ends_on}"
    return f"in warranty until {product.warranty_ends_on}"


async def device_of_ticket(c: AsyncConnection, relay: Relay, ticket: Ticket) -> DeviceOfTicket:
    """Return the device of a ticket and what changed on it since.

    Raises:
        FarhandError: `ticket-no-device` for a ticket without one of ours.
    """
    row = await lock_device(c, relay.tenant, ticket.device or "", held=False)
    if row is None:
        raise FarhandError(
            "ticket-no-device",
            f"{ticket.number} is about no device of this relay",
            hint="farhand ticket new --device D makes one that is",
        )
    product = await get_product(c, relay, row["id"])
    then = await _frozen(c, relay.tenant, ticket)
    since = [one for frozen in then if (one := await _since(c, relay.tenant, row["id"], frozen))]
    return DeviceOfTicket(
        ticket=ticket.number,
        device=row["id"],
        name=row["name"],
        os=row["os"],
        kind=row["kind"],
        last_seen=row["last_seen"],
        product=product,
        warranty=warranty_words(product),
        proofs=await proofs_of(c, relay.tenant, row["id"]),
        down_from=ticket.down_from,
        down_to=ticket.down_to,
        then=[
            FrozenSection(**{name: one[name] for name in FrozenSection.__struct_fields__})
            for one in then
        ],
        since=since,
    )


async def _frozen(c: AsyncConnection, tenant: str, ticket: Ticket) -> list[RowMapping]:
    kept = and_(
        kept_sections.c.tenant == ticket_sections.c.tenant,
        kept_sections.c.body_hash == ticket_sections.c.body_hash,
    )
    query = (
        select(ticket_sections, kept_sections.c.body)
        .outerjoin(kept_sections, kept)
        .where(
            ticket_sections.c.tenant == tenant,
            ticket_sections.c.ticket == ticket.row,
            ticket_sections.c.device == ticket.device,
        )
        .order_by(ticket_sections.c.name)
    )
    return list((await c.execute(query)).mappings())


async def _since(
    c: AsyncConnection, tenant: str, device: str, frozen: RowMapping
) -> SectionSince | None:
    """Return what changed in a section; None where nothing did."""
    try:
        now, items = await read_section(c, tenant, device, frozen["name"])
    except FarhandError as error:
        if error.code not in ("not-found", "section-pending"):
            raise
        return _nothing(frozen, "gone")
    if now.hash == frozen["hash"] and now.status == frozen["status"]:
        return None
    if now.status != "ok" or frozen["status"] != "ok" or frozen["body"] is None:
        return _nothing(frozen, now.status)
    before = await items_of_body(c, frozen["body"])
    bags = await asyncio.to_thread(changes_between, before, items)
    changes = await asyncio.to_thread(paired, frozen["name"], bags)
    return SectionSince(
        name=frozen["name"],
        status_then=frozen["status"],
        status_now=now.status,
        count=len(changes),
        changes=list(changes[:MAX_SHOWN_CHANGES]),
    )


def _nothing(frozen: RowMapping, status: str) -> SectionSince:
    """Return that only the state of a section is another, or that nobody can compare the two."""
    return SectionSince(
        name=frozen["name"], status_then=frozen["status"], status_now=status, count=0, changes=[]
    )


async def frozen_items(
    c: AsyncConnection, tenant: str, ticket: Ticket, name: str
) -> tuple[FrozenSection, list[dict[str, Any]]]:
    """Return a section of the ticket's device as it was then, with its items.

    Raises:
        FarhandError: `section-not-frozen`.
    """
    for one in await _frozen(c, tenant, ticket):
        if one["name"] == name:
            head = FrozenSection(**{key: one[key] for key in FrozenSection.__struct_fields__})
            is_kept = one["status"] == "ok" and one["body"] is not None
            return head, await items_of_body(c, one["body"]) if is_kept else []
    raise FarhandError(
        "section-not-frozen",
        f"no section {name[:40]!r} was kept when {ticket.number} was made",
        hint=f"farhand ticket device {ticket.number} shows which",
    )
