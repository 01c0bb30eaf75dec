"""Lists that somebody keeps under a name, for herself or for the whole desk.

A name is one person's; of lists that are shared under one name the asker's own goes first, then the
first by owner, unless the owner is said too.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import RowMapping, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.listing import TicketListing, check_listing
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import saved_filters
from farhand_server.wording import check_line

__all__ = [
    "MAX_FILTERS",
    "SavedFilter",
    "drop_filter",
    "get_filter",
    "list_filters",
    "save_filter",
]

MAX_FILTERS: Final = 100  # of one person
_MAX_SHOWN: Final = 500
_MAX_NAME_CHARS: Final = 40


class SavedFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A list under a name."""

    name: str
    owner: str
    shared: bool
    listing: TicketListing
    saved_at: str


def _filter(row: RowMapping) -> SavedFilter:
    return SavedFilter(
        name=row["name"],
        owner=row["owner"],
        shared=row["shared"],
        listing=msgspec.json.decode(row["definition"], type=TicketListing),
        saved_at=row["saved_at"],
    )


async def list_filters(c: AsyncConnection, tenant: str, asking: str) -> list[SavedFilter]:
    """Return one's own lists and those that are shared, by name."""
    table = saved_filters.c
    query = (
        select(saved_filters)
        .where(table.tenant == tenant, or_(table.owner == asking, table.shared))
        .order_by(table.name, table.owner)
        .limit(_MAX_SHOWN)
    )
    return [_filter(row) for row in (await c.execute(query)).mappings()]


async def get_filter(
    c: AsyncConnection, tenant: str, *, asking: str, name: str, owner: str | None = None
) -> SavedFilter:
    """Return the list of a name that somebody may use.

    Raises:
        FarhandError: `not-found`.
    """
    table = saved_filters.c
    query = select(saved_filters).where(
        table.tenant == tenant, table.name == name, or_(table.owner == asking, table.shared)
    )
    if owner is not None:
        query = query.where(table.owner == owner)
    rows = (await c.execute(query.order_by(table.owner).limit(_MAX_SHOWN))).mappings().all()
    if not rows:
        raise not_found("list", name)
    return _filter(next((row for row in rows if row["owner"] == asking), rows[0]))


async def save_filter(
    c: AsyncConnection,
    relay: Relay,
    *,
    owner: str,
    name: str,
    listing: TicketListing,
    shared: bool,
) -> SavedFilter:
    """Keep a list; one's own of that name is replaced.

    Raises:
        FarhandError: `invalid`, `filter-limit`.
    """
    name = check_line(name, "name", max_chars=_MAX_NAME_CHARS)
    check_listing(listing)
    table = saved_filters.c
    mine = and_(table.tenant == relay.tenant, table.owner == owner)
    await c.execute(delete(saved_filters).where(mine, table.name == name))
    count = await c.scalar(select(func.count()).select_from(saved_filters).where(mine))
    if (count or 0) >= MAX_FILTERS:
        raise FarhandError("filter-limit", f"{owner} keeps {MAX_FILTERS} lists already")
    kept = SavedFilter(
        name=name, owner=owner, shared=shared, listing=listing, saved_at=relay.stamp()
    )
    await c.execute(
        insert(saved_filters).values(
            tenant=relay.tenant,
            owner=owner,
            name=name,
            shared=shared,
            definition=msgspec.json.encode(listing).decode(),
            saved_at=kept.saved_at,
        )
    )
    return kept


async def drop_filter(c: AsyncConnection, relay: Relay, *, owner: str, name: str) -> None:
    """Forget one's own list.

    Raises:
        FarhandError: `not-found`.
    """
    table = saved_filters.c
    done = await c.execute(
        delete(saved_filters).where(
            table.tenant == relay.tenant, table.owner == owner, table.name == name
        )
    )
    if done.rowcount == 0:
        raise not_found("list", name)
