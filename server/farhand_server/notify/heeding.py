"""Who is told of what happens on a ticket; never whoever did it.

    event               told
    created             who follows its queue
    changed (queue)     who follows the queue that it came into
    assigned            its new owner
    requester-reply     its owner, or without one who follows its queue
    service-soon        its owner and who follows its queue
    service-missed      its owner and who follows its queue
    csat-low            its owner

Nobody is told of a ticket that she may not see: a security ticket of others stays unmentioned.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.tickets import Ticket, find_ticket
from farhand_server.notify.items import tell
from farhand_server.notify.settings import NoticeKind, Recipient, desk_sight, recipients
from farhand_server.relay import Relay

__all__ = ["heed_notify"]

_KINDS: Final[dict[str, NoticeKind]] = {
    "created": "new",
    "changed": "new",
    "assigned": "assigned",
    "requester-reply": "answered",
    "service-soon": "due-soon",
    "service-missed": "missed",
    "csat-low": "csat-low",
}


async def heed_notify(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Tell whoever is to hear of an event."""
    kind = _KINDS.get(event.kind)
    if kind is None or (event.kind == "changed" and "queue" not in event.detail):
        return
    ticket = await find_ticket(c, relay.tenant, str(event.ticket))
    if ticket is None:
        return
    everybody = await recipients(c, relay.tenant)
    for name in sorted(_told(kind, event, ticket, everybody)):
        who = everybody.get(name)
        if who is None or name == event.actor or not await _may_see(c, relay, who, ticket):
            continue
        facts = {
            "number": ticket.number,
            "queue": ticket.queue,
            "title": ticket.title,
            "actor": event.actor,
            "metric": event.detail.get("metric", ""),
            "score": event.detail.get("score", ""),
        }
        await tell(c, relay, who=who, kind=kind, ticket=ticket.row, facts=facts)


def _told(
    kind: NoticeKind, event: HeededEvent, ticket: Ticket, everybody: dict[str, Recipient]
) -> set[str]:
    follow = {one.name for one in everybody.values() if ticket.queue in one.settings.queues}
    owner = {ticket.owner} if ticket.owner else set()
    match kind:
        case "new":
            return follow
        case "assigned":
            return {str(event.detail.get("to", ""))}
        case "answered":
            return owner or follow
        case "csat-low":
            return owner
        case _:
            return owner | follow


async def _may_see(c: AsyncConnection, relay: Relay, who: Recipient, ticket: Ticket) -> bool:
    if not ticket.security:
        return True
    sight = desk_sight(who.name, who.role)
    return await find_ticket(c, relay.tenant, ticket.id, sight=sight) is not None
