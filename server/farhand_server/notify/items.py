"""What people of the desk were told: one row for each person and event, never changed in words.

`sent_at` is when mail and webhook were handed to the outbox, or at once where neither is wanted;
`seen_at` when the console showed it and she said so.  Rows are kept for `KEPT`.  What is about a
ticket that she may no longer see is neither shown nor sent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.clock import stamp
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Sight
from farhand_server.notify.settings import NoticeKind, Recipient
from farhand_server.notify.wording import line_of
from farhand_server.relay import Relay
from farhand_server.store.schema import notify_items, tickets

__all__ = ["KEPT", "MyNotice", "forget_old", "list_mine", "mark_seen", "still_seen", "tell"]

KEPT: Final = timedelta(days=30)


class MyNotice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody was told."""

    seq: int
    kind: str
    ticket: str | None
    words: str
    at: str
    seen_at: str | None


async def tell(
    c: AsyncConnection,
    relay: Relay,
    *,
    who: Recipient,
    kind: NoticeKind,
    ticket: int,
    facts: Mapping[str, Any],
) -> None:
    """Tell somebody, inside the transaction that decided it; `facts` are those of `line_of`."""
    if not who.settings.wants(kind):
        return
    at = relay.stamp()
    await c.execute(
        insert(notify_items).values(
            tenant=relay.tenant,
            account=who.name,
            kind=kind,
            ticket=ticket,
            words=line_of(kind, facts),
            facts=json.dumps(facts, sort_keys=True),
            at=at,
            sent_at=None if who.settings.wants_sent(kind) else at,
        )
    )


async def list_mine(
    c: AsyncConnection,
    tenant: str,
    *,
    account: str,
    sight: Sight,
    kinds: Sequence[str],
    unseen: bool = False,
    after: int = 0,
    limit: int = 50,
) -> list[MyNotice]:
    """Return what somebody (by name) was told, oldest first.

    Args:
        c: any connection.
        tenant: the organisation.
        account: hers.
        sight: what she sees now; what was told of other tickets stays away.
        kinds: what she wants to see.
        unseen: only what she has not seen.
        after: only later ones (the cursor).
        limit: at most so many.
    """
    where = [
        notify_items.c.tenant == tenant,
        notify_items.c.account == account,
        notify_items.c.kind.in_(kinds),
        notify_items.c.seq > after,
    ]
    if unseen:
        where.append(notify_items.c.seen_at.is_(None))
    condition = sight.condition()
    if condition is not None:
        shown = select(tickets.c.number).where(tickets.c.tenant == tenant, condition)
        where.append(or_(notify_items.c.ticket.is_(None), notify_items.c.ticket.in_(shown)))
    query = select(notify_items).where(*where).order_by(notify_items.c.seq).limit(limit)
    return [
        MyNotice(
            seq=row["seq"],
            kind=row["kind"],
            ticket=None if row["ticket"] is None else format_number(row["ticket"]),
            words=row["words"],
            at=row["at"],
            seen_at=row["seen_at"],
        )
        for row in (await c.execute(query)).mappings()
    ]


async def still_seen(
    c: AsyncConnection, tenant: str, *, sight: Sight, numbers: Collection[int]
) -> set[int]:
    """Return which of these tickets somebody may see now."""
    where = [tickets.c.tenant == tenant, tickets.c.number.in_(numbers)]
    condition = sight.condition()
    if condition is not None:
        where.append(condition)
    return set(await c.scalars(select(tickets.c.number).where(*where)))


async def mark_seen(c: AsyncConnection, relay: Relay, *, account: str, up_to: int) -> int:
    """Note that somebody has seen everything up to a number; returns how much was new."""
    done = await c.execute(
        update(notify_items)
        .where(
            notify_items.c.tenant == relay.tenant,
            notify_items.c.account == account,
            notify_items.c.seq <= up_to,
            notify_items.c.seen_at.is_(None),
        )
        .values(seen_at=relay.stamp())
    )
    return int(done.rowcount)


async def forget_old(c: AsyncConnection, relay: Relay) -> None:
    """Forget what was told long ago."""
    await c.execute(
        delete(notify_items).where(
            notify_items.c.tenant == relay.tenant,
            notify_items.c.at < stamp(relay.now() - KEPT),
        )
    )
