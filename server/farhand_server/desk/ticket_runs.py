"""What was run for a ticket stands in its thread by itself, with the raw output as a file.

An order that names a ticket is told there once, when it has ended: what ended since the last look
on one device is one message, for the desk.  Campaigns are told of as a whole
(`desk.ticket_campaigns`).  What a device printed is its word, kept as text and never opened;
what a sensitive script printed is sealed and is not here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Result
from farhand_server.actors import THE_RELAY
from farhand_server.clock import stamp
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.fleet.order_states import FINAL_STATES
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import devices, orders, ticket_events, tickets

__all__ = ["tell_of_runs"]

_AT_ONCE: Final = 200
# An order lives for seven days at most; what nobody told by then is not told any more.
_LOOKED_AT: Final = timedelta(days=8)
_EVENT: Final = "run"


async def tell_of_runs(relay: Relay) -> None:
    """Tell tickets what was run for them and has ended.

    Raises:
        FarhandError: the store's; what was not told is told by a later sweep.
    """
    query = (
        select(orders.c.ticket, orders.c.device)
        .distinct()
        .where(*_ended(relay))
        .order_by(orders.c.ticket, orders.c.device)
        .limit(_AT_ONCE)
    )
    async with relay.db.read() as c:
        found = (await c.execute(query)).all()
        fresh = [row for row in found if await _untold(c, relay, row.ticket, row.device)]
    for row in fresh:
        async with relay.db.write() as c:
            await _tell(c, relay, row.ticket, row.device)


def _ended(relay: Relay) -> tuple[ColumnElement[bool], ...]:
    return (
        orders.c.tenant == relay.tenant,
        orders.c.campaign.is_(None),
        orders.c.created_at > stamp(relay.now() - _LOOKED_AT),
        orders.c.ticket.is_not(None),
        orders.c.state.in_(FINAL_STATES),
    )


async def _untold(
    c: AsyncConnection, relay: Relay, ticket: int, device: str
) -> Sequence[RowMapping]:
    """Return the orders of a ticket and a device that have ended and are not in its thread."""
    told = select(ticket_events.c.detail).where(
        ticket_events.c.tenant == relay.tenant,
        ticket_events.c.ticket == ticket,
        ticket_events.c.kind == _EVENT,
    )
    known = {order for text in await c.scalars(told) for order in json.loads(text)["orders"]}
    query = (
        select(orders, devices.c.name)
        .join(devices, and_(devices.c.tenant == orders.c.tenant, devices.c.id == orders.c.device))
        .where(*_ended(relay), orders.c.ticket == ticket, orders.c.device == device)
        .order_by(orders.c.created_at, orders.c.id)
    )
    rows = (await c.execute(query)).mappings().all()
    return [row for row in rows if row["id"] not in known][:_AT_ONCE]


async def _tell(c: AsyncConnection, relay: Relay, ticket: int, device: str) -> None:
    mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == ticket)
    if await c.scalar(select(tickets.c.number).where(mine).with_for_update()) is None:
        return
    rows = await _untold(c, relay, ticket, device)
    if not rows:
        return  # another node told it
    lines = [f"Run on {rows[0]['name']} ({device}):", *map(_line, rows)]
    at = relay.stamp()
    message = await insert_message(c, relay.tenant, ticket, "run", THE_RELAY, "\n".join(lines), at)
    for place, row in enumerate(rows):
        if output := _output(row):
            sha256 = await keep_blob(c, relay, output, "text/plain")
            await attach(c, relay.tenant, message.seq, place, sha256, f"{row['id']}.txt")
    detail = {"orders": [row["id"] for row in rows], "device": device, "message": message.seq}
    await add_event(c, relay.tenant, ticket, _EVENT, THE_RELAY, detail, at)


def _line(row: RowMapping) -> str:
    ended = row["state"]
    if row["exit_code"] is not None:
        ended += f", exit {row['exit_code']}"
    if row["refusal"]:
        ended += f", {row['refusal']}"
    return f"- {row['script']} {row['version']}: {ended}, for {row['operator']} [{row['id']}]"


def _output(row: RowMapping) -> bytes:
    """Return what the script printed, as far as the device sent it and did not seal it."""
    if row["result"] is None:
        return b""
    try:
        result = open_payload(decode_envelope(row["result"]), Result)
    except FarhandError:
        return b""  # it was understood when it came, by a version that is no more
    errors = b"--- stderr\n" + result.stderr if result.stderr.strip() else b""
    return (result.stdout + errors) if (result.stdout + errors).strip() else b""
