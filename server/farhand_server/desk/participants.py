"""Who else takes part in a ticket: in copy, following it, or a vendor.

Somebody who takes part sees the ticket as its requester does (never a note), and answers on it
where `can_post` says so.  A technician who follows a security ticket sees it as the desk does.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found, not_permitted
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_participants
from farhand_server.wording import check_line

__all__ = [
    "MAX_PARTICIPANTS",
    "PARTS",
    "Part",
    "Participant",
    "add_participant",
    "check_may_post",
    "list_participants",
    "may_post_on",
    "remove_participant",
    "unite_participants",
]

Part = Literal["cc", "follower", "vendor"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
MAX_PARTICIPANTS: Final = 50


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """One who takes part; `name` is an account's."""

    name: str
    part: Part
    can_post: bool


async def list_participants(c: AsyncConnection, tenant: str, number: int) -> list[Participant]:
    """Return who takes part, by name; at most `MAX_PARTICIPANTS`."""
    query = (
        select(ticket_participants)
        .where(ticket_participants.c.tenant == tenant, ticket_participants.c.ticket == number)
        .order_by(ticket_participants.c.name)
        .limit(MAX_PARTICIPANTS)
    )
    return [
        Participant(**{name: row[name] for name in Participant.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    ]


async def add_participant(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, who: Participant, actor: str
) -> None:
    """Let somebody take part, or change how.

    Raises:
        FarhandError: `invalid`, `participant-limit`.
    """
    tenant, at = relay.tenant, relay.stamp()
    name = check_line(who.name, "name")
    mine = and_(ticket_participants.c.tenant == tenant, ticket_participants.c.ticket == ticket.row)
    await c.execute(delete(ticket_participants).where(mine, ticket_participants.c.name == name))
    count = await c.scalar(select(func.count()).select_from(ticket_participants).where(mine))
    if int(count or 0) >= MAX_PARTICIPANTS:
        raise FarhandError(
            "participant-limit", f"{ticket.number} has {MAX_PARTICIPANTS} participants already"
        )
    await c.execute(
        insert(ticket_participants).values(
            tenant=tenant,
            ticket=ticket.row,
            name=name,
            part=who.part,
            can_post=who.can_post,
            added_by=actor,
            added_at=at,
        )
    )
    detail = {"name": name, "part": who.part, "can_post": who.can_post}
    await add_event(c, tenant, ticket.row, "participant", actor, detail, at)


async def remove_participant(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, name: str, actor: str
) -> None:
    """Let somebody take part no more.

    Raises:
        FarhandError: `not-found`.
    """
    done = await c.execute(
        delete(ticket_participants).where(
            ticket_participants.c.tenant == relay.tenant,
            ticket_participants.c.ticket == ticket.row,
            ticket_participants.c.name == name,
        )
    )
    if not done.rowcount:
        raise not_found("participant", name)
    detail = {"name": name, "part": None}
    await add_event(c, relay.tenant, ticket.row, "participant", actor, detail, relay.stamp())


async def may_post_on(c: AsyncConnection, tenant: str, ticket: Ticket, name: str) -> bool:
    """Tell whether somebody who sees a ticket may write on it."""
    if name in (ticket.requester, ticket.created_by):
        return True
    there = await list_participants(c, tenant, ticket.row)
    return all(one.can_post for one in there if one.name == name)


async def check_may_post(c: AsyncConnection, tenant: str, ticket: Ticket, name: str) -> None:
    """Refuse a participant who may only read, with `not-permitted`."""
    if not await may_post_on(c, tenant, ticket, name):
        raise not_permitted("you may read this ticket, not write on it")


async def unite_participants(
    c: AsyncConnection, relay: Relay, *, source: Ticket, target: Ticket, actor: str
) -> None:
    """Let everybody of one ticket take part in another, its requester in copy."""
    there = {one.name for one in await list_participants(c, relay.tenant, target.row)}
    there |= {name for name in (target.requester, target.created_by) if name}
    coming = await list_participants(c, relay.tenant, source.row)
    if source.requester:
        coming.append(Participant(name=source.requester, part="cc", can_post=True))
    for one in coming:
        if one.name not in there and len(there) < MAX_PARTICIPANTS:
            there.add(one.name)
            await add_participant(c, relay, ticket=target, who=one, actor=actor)
