"""Since when the device of a ticket did not work, and until when: filled in from its silence.

An incident about a device silent for `SILENT_S` is down since that was last seen, and up
again when it is next seen; both are noted as events and a person may say otherwise at any time
(`farhand ticket set --down-from`).  A device that is heard is not presumed down.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import Select, and_, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.actors import THE_RELAY
from farhand_server.clock import stamp
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, ticket_events, tickets

__all__ = ["SILENT_S", "check_downtime", "note_downtime", "sweep_downtime"]

# Longer than a restart of the relay or of the device takes.
SILENT_S: Final = 300.0
_KINDS: Final = ("incident", "problem")
_AT_ONCE: Final = 200


def check_downtime(down_from: str | None, down_to: str | None) -> None:
    """Check that what was down came up after it went down.

    Raises:
        UsageError: `invalid`.
    """
    if down_to is not None and (down_from is None or down_to < down_from):
        raise UsageError("invalid", "down_to is a time after down_from")


async def note_downtime(c: AsyncConnection, relay: Relay, number: int) -> None:
    """Fill in since when the device of a new ticket is silent, inside its transaction."""
    mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == number)
    same = and_(devices.c.tenant == tickets.c.tenant, devices.c.id == tickets.c.device)
    query = (
        select(devices.c.last_seen)
        .join(tickets, same)
        .where(
            mine,
            tickets.c.kind.in_(_KINDS),
            tickets.c.down_from.is_(None),
            devices.c.last_seen < stamp(relay.now() - timedelta(seconds=SILENT_S)),
        )
    )
    last_seen = await c.scalar(query)
    if last_seen is None:
        return
    await c.execute(update(tickets).where(mine).values(down_from=last_seen))
    detail = {"from": last_seen}
    await add_event(c, relay.tenant, number, "down", THE_RELAY, detail, relay.stamp())


async def sweep_downtime(relay: Relay) -> None:
    """Fill in when devices that were silent were heard again.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    async with relay.db.read() as c:
        numbers = [number for number, _ in await c.execute(_up_again(relay).limit(_AT_ONCE))]
    for number in numbers:
        async with relay.db.write() as c:
            row = (
                await c.execute(
                    _up_again(relay).where(tickets.c.number == number).with_for_update(of=tickets)
                )
            ).first()
            if row is None:
                continue
            mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == number)
            values = {"down_to": row.last_seen, "revision": tickets.c.revision + 1}
            await c.execute(update(tickets).where(mine).values(values))
            detail = {"to": row.last_seen}
            await add_event(c, relay.tenant, number, "up", THE_RELAY, detail, relay.stamp())


def _up_again(relay: Relay) -> Select[int, str | None]:
    noted = exists().where(
        ticket_events.c.tenant == tickets.c.tenant,
        ticket_events.c.ticket == tickets.c.number,
        ticket_events.c.kind == "down",
    )
    same = and_(devices.c.tenant == tickets.c.tenant, devices.c.id == tickets.c.device)
    return (
        select(tickets.c.number, devices.c.last_seen)
        .join(devices, same)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.down_from.is_not(None),
            tickets.c.down_to.is_(None),
            devices.c.last_seen > tickets.c.down_from,
            noted,
        )
        .order_by(tickets.c.number)
    )
