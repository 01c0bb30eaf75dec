"""Items of the outbox: put there in the transaction that decided them, looked at, tried again.

    waiting -> taken -> done                 done rows are forgotten after a week
                     -> waiting              a later try, further and further apart
                     -> dead -> waiting      a person says so (`farhand outbox retry`)

Whoever decides that something goes out writes a row and nothing else; `outbox.sending` sends it
after the commit.  So what was rolled back is never sent, and what was committed always is, or is
listed as dead.  A key makes an item the only one of its kind: to put it twice is to put it once,
for as long as the row is kept.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import ColumnElement, RowMapping, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema.outbox import outbox

__all__ = [
    "KEPT",
    "MAX_KEY_CHARS",
    "MAX_PAYLOAD_BYTES",
    "STATES",
    "Item",
    "ItemLine",
    "OutboxCount",
    "count_items",
    "list_items",
    "put",
    "retry",
    "retry_all",
]

State = Literal["waiting", "taken", "done", "dead"]
STATES: Final[tuple[State, ...]] = get_args(State)

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
MAX_KEY_CHARS: Final = 300
KEPT: Final = timedelta(days=7)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender is given.

    Attributes:
        id: names it for good, across tries: what a receiver can tell a repetition by.
        kind: the sender's.
        key: as it was put, else empty.
        payload: as it was put.
        tries: how many were begun, this one included, since a person asked for it anew.
        claims: how many were begun ever, this one included: above one, it may have arrived.
        created_at: when it was put (RFC 3339).
    """

    id: str
    kind: str
    key: str
    payload: dict[str, Any]
    tries: int
    claims: int
    created_at: str


class ItemLine(msgspec.Struct, frozen=True, kw_only=True):
    """An item as an admin sees it; what is in it stays inside."""

    id: str
    kind: str
    key: str
    state: str
    tries: int
    next_at: str
    last_error: str
    created_at: str
    ended_at: str | None


class OutboxCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many items of a kind are in a state."""

    kind: str
    state: str
    count: int


async def put(
    c: AsyncConnection,
    relay: Relay,
    *,
    kind: str,
    payload: dict[str, Any],
    key: str = "",
    not_before: datetime | None = None,
) -> str:
    """Write that something is to go out, and return the item's id.

    Args:
        c: connection of the write transaction that decided it.
        relay: the wiring.
        kind: one of `farhand_server.senders`; an item of another kind waits until there is one.
        payload: what the sender needs, as JSON; no secrets, which senders look up themselves.
        key: the same kind and key again changes nothing and returns the id of the first.
        not_before: the earliest time to send it; None for now.

    Raises:
        FarhandError: `outbox-too-large`.
    """
    text = json.dumps(payload, sort_keys=True)
    if len(text) > MAX_PAYLOAD_BYTES or len(key) > MAX_KEY_CHARS:
        raise FarhandError("outbox-too-large", f"what is to go out as {kind} is too large")
    due = relay.stamp() if not_before is None else max(relay.stamp(), stamp(not_before))
    make = postgresql_insert if relay.db.dialect == "postgresql" else sqlite_insert
    made = await c.execute(
        make(outbox)
        .values(
            tenant=relay.tenant,
            id=make_id("ob", relay.random(10)),
            kind=kind,
            key=key or None,
            payload=text,
            state="waiting",
            tries=0,
            claims=0,
            next_at=due,
            last_error="",
            created_at=relay.stamp(),
            ended_at=None,
        )
        .on_conflict_do_nothing(index_elements=["tenant", "kind", "key"])
        .returning(outbox.c.id)
    )
    found = made.scalar_one_or_none()
    if found is None:
        found = await c.scalar(
            select(outbox.c.id).where(
                outbox.c.tenant == relay.tenant, outbox.c.kind == kind, outbox.c.key == key
            )
        )
    return str(found)


async def list_items(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    kind: str | None = None,
    before: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[ItemLine]:
    """Return items, newest first; those that are not done unless a state is named.

    Raises:
        FarhandError: `invalid` for a state that does not exist.
    """
    if state is not None and state not in STATES:
        raise FarhandError("invalid", f"an item is one of {', '.join(STATES)}")
    is_wanted = outbox.c.state != "done" if state is None else outbox.c.state == state
    where: list[ColumnElement[bool]] = [outbox.c.tenant == tenant, is_wanted]
    if kind is not None:
        where.append(outbox.c.kind == kind)
    if before is not None:
        where.append(tuple_(outbox.c.created_at, outbox.c.id) < before)
    order = (outbox.c.created_at.desc(), outbox.c.id.desc())
    query = select(outbox).where(*where).order_by(*order).limit(limit)
    return [_line(row) for row in (await c.execute(query)).mappings()]


def _line(row: RowMapping) -> ItemLine:
    values = {name: row[name] for name in ItemLine.__struct_fields__ if name != "key"}
    return ItemLine(key=row["key"] or "", **values)


async def count_items(c: AsyncConnection, tenant: str) -> list[OutboxCount]:
    """Return how many items of each kind are in each state."""
    query = (
        select(outbox.c.kind, outbox.c.state, func.count().label("count"))
        .where(outbox.c.tenant == tenant)
        .group_by(outbox.c.kind, outbox.c.state)
        .order_by(outbox.c.kind, outbox.c.state)
    )
    return [OutboxCount(**row) for row in (await c.execute(query)).mappings()]


async def retry(c: AsyncConnection, relay: Relay, *, item: str, actor: str) -> ItemLine:
    """Try a dead item again from the beginning, or a waiting one at once.

    Raises:
        FarhandError: `not-found`; `outbox-state` for one that is done or being sent.
    """
    mine = [outbox.c.tenant == relay.tenant, outbox.c.id == item]
    done = await c.execute(
        update(outbox).where(*mine, outbox.c.state.in_(("waiting", "dead"))).values(_anew(relay))
    )
    row = (await c.execute(select(outbox).where(*mine))).mappings().first()
    if row is None:
        raise not_found("item of the outbox", item)
    if done.rowcount != 1:
        raise FarhandError("outbox-state", f"the item is {row['state']}")
    await relay.audit.append(c, actor=actor, action="outbox.retry", subject=item)
    return _line(row)


async def retry_all(c: AsyncConnection, relay: Relay, *, kind: str | None, actor: str) -> int:
    """Try every dead item again, or those of a kind; returns how many."""
    where = [outbox.c.tenant == relay.tenant, outbox.c.state == "dead"]
    if kind is not None:
        where.append(outbox.c.kind == kind)
    done = await c.execute(update(outbox).where(*where).values(_anew(relay)))
    await relay.audit.append(c, actor=actor, action="outbox.retry", subject=kind or "all")
    return int(done.rowcount)


def _anew(relay: Relay) -> dict[str, Any]:
    return {"state": "waiting", "tries": 0, "next_at": relay.stamp(), "ended_at": None}
