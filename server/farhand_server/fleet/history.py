"""How a device's inventory changed: written with each report that changes it, read as history.

A row of `section_changes` tells of one report: what the section's state was and is, how many items
came and went, and which (`fleet.changes`, compressed).  The first sight of a section has no items:
there was nothing before it to compare with.  `body` is

    null       no item changed, or the section was seen for the first time
    empty      more changed than is kept of one report; only the counts are known
    bytes      `encode_bags`

Kept are `MAX_HISTORY` rows of each section of a device and `HISTORY_DAYS` days, oldest first out,
so that a device that reports nonsense every second fills nothing.  Sorted by the relay's clock;
what the device's clock said goes along.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.inventory import canonical_json
from farhand_server.clock import stamp
from farhand_server.fleet.changes import Bags, ItemChange, net, paired
from farhand_server.store.schema import section_changes

__all__ = [
    "Change",
    "HistoryEntry",
    "SectionDifference",
    "add_changes",
    "decode_bags",
    "differences",
    "differences_of_page",
    "encode_bags",
    "list_history",
    "newest_change",
    "rows_since",
]

MAX_HISTORY: Final = 200
HISTORY_DAYS: Final = 400
MAX_BAGS_BYTES: Final = 256 * 1024
MAX_LISTED: Final = 1_000
# Of one device, read for one question.
MAX_DIFF_ROWS: Final = 5_000
MAX_DIFF_BYTES: Final = 8 * 1024 * 1024

_table = section_changes.c


class NewChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a report changed in one section."""

    name: str
    hash: str
    status_before: str | None
    status: str
    collected_at: str
    bags: Bags
    body: bytes | None


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One report that changed a section; `changes` holds at most `MAX_LISTED`.

    `is_whole` is false where more changed than is listed; the counts tell all.  `seen_at` is the
    device's clock, `received_at` the relay's.
    """

    seq: int
    device: str
    section: str
    status_before: str | None
    status: str
    seen_at: str
    received_at: str
    added_count: int
    removed_count: int
    is_first: bool
    is_whole: bool
    changes: list[ItemChange]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One item that is there on both sides, but not alike."""

    before: dict[str, Any]
    after: dict[str, Any]


class SectionDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one section; the lists hold what is on this page, the counts tell all.

    `before_at` is when it was last as it had been, as far as is known, or null where it was not
    there; `is_whole` is false where not every change since then is kept.
    """

    name: str
    before_at: str | None
    after_at: str
    status_before: str | None
    status_after: str
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[Change]
    added_count: int
    removed_count: int
    changed_count: int
    is_whole: bool


class SectionSum(msgspec.Struct, frozen=True, kw_only=True):
    """All that became of one section, before it is cut into pages."""

    name: str
    before_at: str | None
    after_at: str
    status_before: str | None
    status_after: str
    is_whole: bool
    changes: list[ItemChange]


def encode_bags(bags: Bags) -> bytes | None:
    """Return what is kept of a change: None where nothing changed, empty where it is too much."""
    if bags.is_empty:
        return None
    data = zlib.compress(canonical_json([bags.removed, bags.added]), 6)
    return data if len(data) <= MAX_BAGS_BYTES else b""


def decode_bags(data: bytes | None) -> Bags:
    """Read what `encode_bags` wrote."""
    if not data:
        return Bags([], [])
    removed, added = msgspec.json.decode(zlib.decompress(data))
    return Bags(removed, added)


async def add_changes(
    c: AsyncConnection,
    *,
    tenant: str,
    device: str,
    changes: Sequence[NewChange],
    now: datetime,
) -> None:
    """Add what one report changed, and drop what is too old or too much; the row is held."""
    if not changes:
        return
    rows = [
        {
            "tenant": tenant,
            "device": device,
            "name": one.name,
            "hash": one.hash,
            "status_before": one.status_before,
            "status": one.status,
            "collected_at": one.collected_at,
            "received_at": stamp(now),
            "added": len(one.bags.added),
            "removed": len(one.bags.removed),
            "body": one.body,
        }
        for one in changes
    ]
    await c.execute(insert(section_changes), rows)
    mine = [_table.tenant == tenant, _table.device == device]
    names = [one.name for one in changes]
    counted = (
        select(_table.name, func.count()).where(*mine, _table.name.in_(names)).group_by(_table.name)
    )
    full = [name for name, count in await c.execute(counted) if count > MAX_HISTORY]
    for name in full:
        oldest_kept = (
            select(_table.seq)
            .where(*mine, _table.name == name)
            .order_by(_table.seq.desc())
            .offset(MAX_HISTORY - 1)
            .limit(1)
            .scalar_subquery()
        )
        await c.execute(
            delete(section_changes).where(*mine, _table.name == name, _table.seq < oldest_kept)
        )
    too_old = stamp(now - timedelta(days=HISTORY_DAYS))
    await c.execute(delete(section_changes).where(*mine, _table.received_at < too_old))


# History.


async def list_history(
    c: AsyncConnection,
    tenant: str,
    devices: Sequence[str],
    *,
    section: str | None = None,
    before: tuple[str, int] | None = None,
    limit: int = 50,
) -> list[RowMapping]:
    """Return rows of history, newest first, to be read by `entry_of` in a thread.

    Args:
        c: any connection.
        tenant: organisation.
        devices: the device, and those that were merged into it.
        section: only this one.
        before: received_at and seq of the last row already seen.
        limit: at most so many.
    """
    where: list[ColumnElement[bool]] = [_table.tenant == tenant, _table.device.in_(devices)]
    if section is not None:
        where.append(_table.name == section)
    if before is not None:
        at, seq = before
        where.append(or_(_table.received_at < at, and_(_table.received_at == at, _table.seq < seq)))
    query = select(section_changes).where(*where)
    query = query.order_by(_table.received_at.desc(), _table.seq.desc()).limit(limit)
    return list((await c.execute(query)).mappings())


def entry_of(row: RowMapping) -> HistoryEntry:
    """Return a row as people see it."""
    changes = paired(row["name"], decode_bags(row["body"]))
    return HistoryEntry(
        seq=row["seq"],
        device=row["device"],
        section=row["name"],
        status_before=row["status_before"],
        status=row["status"],
        seen_at=row["collected_at"],
        received_at=row["received_at"],
        added_count=row["added"],
        removed_count=row["removed"],
        is_first=row["body"] is None and row["added"] > 0,
        is_whole=row["body"] != b"" and len(changes) <= MAX_LISTED,
        changes=changes[:MAX_LISTED],
    )


# Differences.


async def newest_change(c: AsyncConnection, tenant: str, devices: Sequence[str]) -> int:
    """Return the number of the newest row, so that all pages of an answer end with the same one."""
    query = select(func.max(_table.seq)).where(_table.tenant == tenant, _table.device.in_(devices))
    return int(await c.scalar(query) or 0)


async def rows_since(
    c: AsyncConnection, tenant: str, devices: Sequence[str], *, since: datetime, upto: int
) -> tuple[list[RowMapping], bool]:
    """Return the rows since a time, the earliest first, and whether these are all there were.

    The newest are returned where they are more than fits; a section whose older rows are gone by
    age or number does not count as cut, since nobody knows what it would have told.
    """
    where = [
        _table.tenant == tenant,
        _table.device.in_(devices),
        _table.received_at > stamp(since),
        _table.seq <= upto,
    ]
    sizes = select(_table.seq, func.coalesce(func.length(_table.body), 0)).where(*where)
    taken: list[int] = []
    total = 0
    is_whole = True
    for seq, size in await c.execute(sizes.order_by(_table.seq.desc()).limit(MAX_DIFF_ROWS + 1)):
        total += size
        if len(taken) >= MAX_DIFF_ROWS or total > MAX_DIFF_BYTES:
            is_whole = False
            break
        taken.append(seq)
    if not taken:
        return [], is_whole
    rows = select(section_changes).where(*where, _table.seq >= taken[-1]).order_by(_table.seq)
    return list((await c.execute(rows)).mappings()), is_whole


def differences(rows: Sequence[RowMapping], *, is_whole: bool = True) -> list[SectionSum]:
    """Add up rows, the earliest first; costs processor time, so call it in a thread.

    Returns: each section of which anything is different, by name.
    """
    by_name: dict[str, list[RowMapping]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    found = []
    for name, own in sorted(by_name.items()):
        first, last = own[0], own[-1]
        changes = paired(name, net(decode_bags(row["body"]) for row in own))
        lost = any(row["body"] == b"" for row in own)
        if not changes and not lost and first["status_before"] == last["status"]:
            continue
        found.append(
            SectionSum(
                name=name,
                before_at=None if first["status_before"] is None else first["collected_at"],
                after_at=last["collected_at"],
                status_before=first["status_before"],
                status_after=last["status"],
                is_whole=is_whole and not lost,
                changes=changes,
            )
        )
    return found


def differences_of_page(
    sums: Sequence[SectionSum], *, start: int, limit: int
) -> tuple[list[SectionDifference], int | None]:
    """Return one page of differences, at most `limit` changes, and where the next one starts.

    A section without item changes (only its state is another) counts as one.
    """
    page: list[SectionDifference] = []
    at = 0
    for one in sums:
        size = max(1, len(one.changes))
        begin, end = max(start - at, 0), min(start + limit - at, size)
        if begin < end:
            page.append(_cut(one, one.changes[begin:end]))
        at += size
    return page, start + limit if start + limit < at else None


def _cut(one: SectionSum, shown: Sequence[ItemChange]) -> SectionDifference:
    counts = {
        kind: sum(1 for change in one.changes if change.change == kind)
        for kind in ("added", "removed", "changed")
    }
    return SectionDifference(
        name=one.name,
        before_at=one.before_at,
        after_at=one.after_at,
        status_before=one.status_before,
        status_after=one.status_after,
        added=[c.after for c in shown if c.change == "added" and c.after is not None],
        removed=[c.before for c in shown if c.change == "removed" and c.before is not None],
        changed=[
            Change(before=c.before, after=c.after)
            for c in shown
            if c.before is not None and c.after is not None
        ],
        added_count=counts["added"],
        removed_count=counts["removed"],
        changed_count=counts["changed"],
        is_whole=one.is_whole,
    )
