"""Campaigns and tickets: one ticket for a campaign, with a row for each of its devices.

A campaign belongs to one ticket at most, a ticket can hold several (a first try, then the rest).
Nobody makes a ticket for each device: how each of them stands is read from the campaign's orders
whenever it is asked.  When a campaign has ended, the ticket is told once what came of it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import RowMapping, Select, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.actors import THE_RELAY
from farhand_server.desk.references import format_number
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import campaigns, devices, orders, ticket_campaigns

__all__ = [
    "MAX_CAMPAIGNS",
    "CampaignOfTicket",
    "DeviceOfCampaign",
    "add_campaign",
    "campaigns_of",
    "devices_of",
    "tell_of_campaigns",
]

MAX_CAMPAIGNS: Final = 50  # of one ticket
_OVER: Final = ("finished", "aborted")
_AT_ONCE: Final = 100


class CampaignOfTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as its ticket shows it; `counts` are devices by state."""

    campaign: str
    name: str
    script: str
    state: str
    counts: dict[str, int]


class DeviceOfCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """How one device stands in a campaign of the ticket."""

    campaign: str
    device: str
    name: str
    ring: int | None
    state: str
    exit_code: int | None
    refusal: str | None
    order: str


async def add_campaign(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, campaign: str, actor: str
) -> None:
    """Say that a ticket is about a campaign.

    Raises:
        FarhandError: `not-found`; `campaign-ticket` for one that has a ticket; `ticket-state` for
            a ticket that is over; `campaign-limit`.
    """
    if ticket.state in ENDED:
        raise FarhandError("ticket-state", f"{ticket.number} is {ticket.state}")
    query = select(campaigns.c.name).where(
        campaigns.c.tenant == relay.tenant, campaigns.c.id == campaign
    )
    name = await c.scalar(query)
    if name is None:
        raise not_found("campaign", campaign)
    table = ticket_campaigns.c
    mine = and_(table.tenant == relay.tenant, table.campaign == campaign)
    other = await c.scalar(select(table.ticket).where(mine))
    if other is not None:
        raise _has_one(campaign, other)
    held = select(func.count()).where(table.tenant == relay.tenant, table.ticket == ticket.row)
    if (await c.scalar(held) or 0) >= MAX_CAMPAIGNS:
        raise FarhandError("campaign-limit", f"{ticket.number} holds {MAX_CAMPAIGNS} campaigns")
    at = relay.stamp()
    row = {
        "tenant": relay.tenant,
        "campaign": campaign,
        "ticket": ticket.row,
        "added_by": actor,
        "added_at": at,
        "told": False,
    }
    try:
        await c.execute(insert(ticket_campaigns).values(row))
    except IntegrityError as error:
        raise _has_one(campaign, ticket.row) from error
    detail = {"campaign": campaign, "name": name}
    await add_event(c, relay.tenant, ticket.row, "campaign", actor, detail, at)


def _has_one(campaign: str, ticket: int) -> FarhandError:
    words = f"{campaign[:60]} belongs to {format_number(ticket)}"
    return FarhandError("campaign-ticket", words, hint="link the two tickets instead")


async def campaigns_of(c: AsyncConnection, tenant: str, number: int) -> list[CampaignOfTicket]:
    """Return the campaigns of a ticket, the first one first."""
    table = ticket_campaigns.c
    same = and_(campaigns.c.tenant == table.tenant, campaigns.c.id == table.campaign)
    query = (
        select(campaigns.c.id, campaigns.c.name, campaigns.c.script, campaigns.c.state)
        .join(ticket_campaigns, same)
        .where(table.tenant == tenant, table.ticket == number)
        .order_by(table.added_at, table.campaign)
    )
    rows = (await c.execute(query)).mappings().all()
    counts = await _counts(c, tenant, [row["id"] for row in rows])
    return [
        CampaignOfTicket(
            campaign=row["id"],
            name=row["name"],
            script=row["script"],
            state=row["state"],
            counts=counts.get(row["id"], {}),
        )
        for row in rows
    ]


async def _counts(c: AsyncConnection, tenant: str, ids: list[str]) -> dict[str, dict[str, int]]:
    query = (
        select(orders.c.campaign, orders.c.state, func.count())
        .where(orders.c.tenant == tenant, orders.c.campaign.in_(ids))
        .group_by(orders.c.campaign, orders.c.state)
        .order_by(orders.c.campaign, orders.c.state)
    )
    found: dict[str, dict[str, int]] = {}
    for campaign, state, count in await c.execute(query):
        found.setdefault(campaign or "", {})[state] = count
    return found


async def devices_of(
    c: AsyncConnection,
    tenant: str,
    number: int,
    *,
    after: tuple[str, str] = ("", ""),
    limit: int = 50,
) -> list[DeviceOfCampaign]:
    """Return a row for each device of a ticket's campaigns, by campaign and device."""
    table = ticket_campaigns.c
    campaign, device = after
    query = (
        select(
            orders.c.campaign,
            orders.c.device,
            devices.c.name,
            orders.c.ring,
            orders.c.state,
            orders.c.exit_code,
            orders.c.refusal,
            orders.c.id.label("order"),
        )
        .join(
            ticket_campaigns,
            and_(table.tenant == orders.c.tenant, table.campaign == orders.c.campaign),
        )
        .join(devices, and_(devices.c.tenant == orders.c.tenant, devices.c.id == orders.c.device))
        .where(
            table.tenant == tenant,
            table.ticket == number,
            (orders.c.campaign > campaign)
            | ((orders.c.campaign == campaign) & (orders.c.device > device)),
        )
        .order_by(orders.c.campaign, orders.c.device)
        .limit(limit)
    )
    return [DeviceOfCampaign(**row) for row in (await c.execute(query)).mappings()]


async def tell_of_campaigns(relay: Relay) -> None:
    """Tell tickets what came of their campaigns, once each has ended.

    Raises:
        FarhandError: the store's; what was not told is told by a later sweep.
    """
    async with relay.db.read() as c:
        rows = (await c.execute(_ended(relay).limit(_AT_ONCE))).mappings().all()
    for row in rows:
        async with relay.db.write() as c:
            await _tell(c, relay, row)


def _ended(relay: Relay) -> Select[int, str, str, str]:
    table = ticket_campaigns.c
    same = and_(campaigns.c.tenant == table.tenant, campaigns.c.id == table.campaign)
    return (
        select(table.ticket, campaigns.c.id, campaigns.c.name, campaigns.c.state)
        .join(ticket_campaigns, same)
        .where(
            table.tenant == relay.tenant,
            table.told.is_(False),
            campaigns.c.state.in_(_OVER),
        )
    )


async def _tell(c: AsyncConnection, relay: Relay, row: RowMapping) -> None:
    table = ticket_campaigns.c
    mine = and_(table.tenant == relay.tenant, table.campaign == row["id"])
    done = await c.execute(
        update(ticket_campaigns).where(mine, table.told.is_(False)).values(told=True)
    )
    if done.rowcount == 0:
        return  # another node told it
    counts = (await _counts(c, relay.tenant, [row["id"]])).get(row["id"], {})
    told = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no device"
    body = f"Campaign {row['name']} ({row['id']}) is {row['state']}: {told}."
    at = relay.stamp()
    number = row["ticket"]
    message = await insert_message(c, relay.tenant, number, "run", THE_RELAY, body, at)
    detail = {"campaign": row["id"], "state": row["state"], "message": message.seq}
    await add_event(c, relay.tenant, number, "campaign-over", THE_RELAY, detail, at)
