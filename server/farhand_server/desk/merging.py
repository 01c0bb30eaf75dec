"""Merging tickets that are about one thing, and taking that back.

Nothing is moved: the source becomes `merged`, its messages are shown inline in the target, its
people take part there, and both numbers go on working.  What was promised on the source is owed on
the target from then on, whichever is due first (`desk.happenings`).  For `UNDO_DAYS` it can be
taken back; the source is then what it was, with its promise, and people who joined the target
through it stay.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

from sqlalchemy import and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.desk.absorbed import MAX_MERGED, merged_into
from farhand_server.desk.moves import step
from farhand_server.desk.participants import unite_participants
from farhand_server.desk.ticket_states import ENDED, next_state
from farhand_server.desk.tickets import Ticket, get_ticket
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_events, tickets

__all__ = ["UNDO_DAYS", "merge_ticket", "merged_into", "unmerge_ticket"]

UNDO_DAYS: Final = 7


async def merge_ticket(
    c: AsyncConnection,
    relay: Relay,
    *,
    source: Ticket,
    target: Ticket,
    actor: str,
    revision: int | None = None,
) -> Ticket:
    """Merge a ticket into another one; returns the target.

    Raises:
        FarhandError: `merge-self`, `merge-ended` when nobody works on the target any more,
            `merge-guarded` when a security ticket would show in one that is not,
            `merge-limit`; `ticket-state`, `revision-mismatch`.
    """
    if source.row == target.row:
        raise FarhandError("merge-self", "a ticket cannot be merged into itself")
    # Both at once, and always in the same order: two merges cannot make a circle.
    both = tickets.c.number.in_((source.row, target.row))
    lock = select(tickets.c.number).where(tickets.c.tenant == relay.tenant, both)
    await c.execute(lock.order_by(tickets.c.number).with_for_update())
    read = source.revision
    source = await get_ticket(c, relay.tenant, source.id)
    target = await get_ticket(c, relay.tenant, target.id)
    if read != source.revision:
        raise FarhandError("revision-mismatch", f"{source.number} was changed meanwhile")
    if target.state in ENDED:
        raise FarhandError(
            "merge-ended",
            f"{target.number} is {target.state}",
            hint="merge into a ticket that is being worked on",
        )
    if source.security and not target.security:
        raise FarhandError(
            "merge-guarded",
            f"{source.number} is a security ticket and {target.number} is not",
            hint=f"farhand ticket set {target.number} --security",
        )
    count = len(await merged_into(c, relay.tenant, target.row))
    if count + 1 + len(await merged_into(c, relay.tenant, source.row)) > MAX_MERGED:
        raise FarhandError("merge-limit", f"{target.number} is made of {count} tickets already")
    if revision is not None and revision != source.revision:
        raise FarhandError("revision-mismatch", f"{source.number} was changed meanwhile")
    state = next_state(source.state, "merge")
    changes = {"merged_into": target.row}
    at = await step(c, relay, ticket=source, state=state, changes=changes)
    detail = {
        "into": target.number,
        "state": source.state,
        "state_reason": source.state_reason,
        "waiting_until": source.waiting_until,
    }
    await add_event(c, relay.tenant, source.row, "merged", actor, detail, at)
    await add_event(c, relay.tenant, target.row, "absorbed", actor, {"from": source.number}, at)
    await unite_participants(c, relay, source=source, target=target, actor=actor)
    await _look_again(c, relay, target.row)
    return await get_ticket(c, relay.tenant, target.id)


async def unmerge_ticket(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, actor: str, revision: int | None = None
) -> Ticket:
    """Make a merged ticket what it was; returns it.

    Raises:
        FarhandError: `merge-none` for a ticket that was not merged, `merge-too-late` after
            `UNDO_DAYS`; `revision-mismatch`.
    """
    if ticket.merged_into is None:
        raise FarhandError("merge-none", f"{ticket.number} is not merged into another ticket")
    query = (
        select(ticket_events.c.detail, ticket_events.c.at)
        .where(
            ticket_events.c.tenant == relay.tenant,
            ticket_events.c.ticket == ticket.row,
            ticket_events.c.kind == "merged",
        )
        .order_by(ticket_events.c.seq.desc())
        .limit(1)
    )
    event = (await c.execute(query)).one()
    if relay.now() > parse_instant(event.at) + timedelta(days=UNDO_DAYS):
        raise FarhandError(
            "merge-too-late",
            f"{ticket.number} was merged more than {UNDO_DAYS} days ago",
            hint="make a new ticket, and link it",
        )
    if revision is not None and revision != ticket.revision:
        raise FarhandError("revision-mismatch", f"{ticket.number} was changed meanwhile")
    before = json.loads(event.detail)
    changes = {
        "merged_into": None,
        "state_reason": before["state_reason"],
        "waiting_until": before["waiting_until"],
    }
    at = await step(c, relay, ticket=ticket, state=before["state"], changes=changes)
    detail = {
        "from": ticket.merged_into,
        "state": before["state"],
        "state_reason": before["state_reason"],
    }
    await add_event(c, relay.tenant, ticket.row, "unmerged", actor, detail, at)
    into: str | None = ticket.merged_into
    while into is not None:
        target = await get_ticket(c, relay.tenant, into)
        await _look_again(c, relay, target.row)
        into = target.merged_into
    return await get_ticket(c, relay.tenant, ticket.id)


async def _look_again(c: AsyncConnection, relay: Relay, number: int) -> None:
    """Mark as unknown what is due on a ticket; whoever has read it may go on with what she read."""
    mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == number)
    await c.execute(update(tickets).where(mine).values(due_known=False))
