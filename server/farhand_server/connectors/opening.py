"""Begins with a ticket of another desk: fetched once, and made or joined here.

The ticket here carries the key (`zammad:12345`), so `farhand session open --ticket zammad:12345`
finds it, and what becomes of it goes back.  Its requester is whom that desk names: an address where
it calls people by theirs, else `CONNECTOR:NAME`, which is nobody's account here however it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.connectors.desks import ForeignEvent, ForeignTicket
from farhand_server.connectors.joined import find_joined
from farhand_server.connectors.registry import open_connector, split_key
from farhand_server.desk.moves import add_message
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Ticket, create_ticket, find_ticket
from farhand_server.relay import Relay
from farhand_server.webhooks.seen import is_new
from farhand_server.wording import MAX_LINE_CHARS

__all__ = ["note_events", "open_foreign"]


async def open_foreign(
    relay: Relay, *, external_key: str, device: str | None, actor: str
) -> Ticket:
    """Return the ticket of ours for a foreign one; the one that is open, or a new one.

    Args:
        relay: the wiring; nothing may be open on its database, since the other desk is asked.
        external_key: `CONNECTOR:KEY`.
        device: id of ours, where one is known.
        actor: the account that asks.

    Raises:
        FarhandError: `not-found`, `connector-failed`, and what a call raises.
    """
    name, key = split_key(external_key)
    if not name:
        raise UsageError("invalid", f"{external_key[:80]!r} is not CONNECTOR:KEY")
    async with relay.db.read() as c:
        opened = await open_connector(c, relay, name)
    found = await opened.desk.get(key)
    async with relay.db.write() as c:
        return await _join(c, relay, f"{name}:{key}", found, device=device, actor=actor)


async def _join(
    c: AsyncConnection,
    relay: Relay,
    external_key: str,
    found: ForeignTicket,
    *,
    device: str | None,
    actor: str,
) -> Ticket:
    known = await find_joined(c, relay, external_key)
    if known is not None and known.state not in ENDED:
        return known
    made = await create_ticket(
        c,
        relay,
        title=found.title or external_key,
        actor=actor,
        requester=_requester(external_key, found),
        device=device,
        external_key=external_key,
    )
    where = f"Begun from {external_key}" + (f": {found.url}" if found.url else "")
    await add_message(c, relay, ref=made.id, kind="note", body=where, actor=actor)
    return await _again(c, relay, made)


def _requester(external_key: str, found: ForeignTicket) -> str | None:
    if found.address:
        return found.address
    name, _ = split_key(external_key)
    return f"{name}:{found.requester}"[:MAX_LINE_CHARS] if found.requester else None


async def _again(c: AsyncConnection, relay: Relay, made: Ticket) -> Ticket:
    found = await find_ticket(c, relay.tenant, made.number)
    if found is None:
        raise FarhandError("not-found", f"there is no ticket {made.number}")
    return found


async def note_events(
    c: AsyncConnection, relay: Relay, *, connector: str, events: Sequence[ForeignEvent]
) -> list[ForeignEvent]:
    """Note on our tickets what another desk says of its own; returns what was new."""
    fresh = []
    for event in events:
        mark = f"{event.delivery} {event.key}" if event.delivery else ""
        if not await is_new(c, relay, source=f"connector {connector}", delivery=mark):
            continue
        fresh.append(event)
        ticket = await find_joined(c, relay, f"{connector}:{event.key}")
        if ticket is not None and event.state and ticket.state not in ("closed", "merged"):
            words = f"{connector}:{event.key} is {event.state}"
            await add_message(
                c, relay, ref=ticket.id, kind="note", body=words, actor="relay", channel="webhook"
            )
    return fresh
