"""Two devices that are one machine: a person says so, and can take it back.

    merge KEEP OTHER    OTHER is retired and points to KEEP; a record says by whom and when
    unmerge OTHER       the pointer goes; OTHER is what it was before: its key opens links again

Nothing is rewritten: tickets, sessions, orders and history keep the id that they were made with, as
receipts and signatures do.  Who asks for those of KEEP gets those of the devices that point to it
(`fleet.aliases`).  So undoing a merge leaves nothing behind.  The orders that were open when OTHER
was retired are gone for good.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_server.fleet.aliases import aliases
from farhand_server.fleet.devices import lock_device
from farhand_server.fleet.query_sql import AGENT
from farhand_server.fleet.retirement import retire_device
from farhand_server.relay import Relay
from farhand_server.store.schema import device_merges, devices

__all__ = ["Merge", "merge_devices", "unmerge_device"]


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a merge; `undone_at` is set once it was taken back."""

    id: str
    kept: str
    other: str
    merged_by: str
    merged_at: str
    undone_by: str | None = None
    undone_at: str | None = None


async def merge_devices(relay: Relay, *, keep: str, other: str, actor: str) -> Merge:
    """Merge a device into another; saying it again finishes what was begun.

    Raises:
        UsageError: `invalid` for one and the same device, and for one with an agent and one
            without.
        FarhandError: `device-merged` when one of them is part of another merge.
    """
    if keep == other:
        raise UsageError("invalid", "a device cannot be merged into itself")
    async with relay.db.write() as c:
        rows = await _both(c, relay.tenant, keep, other)
        if rows[other]["merged_into"] == keep:
            merge = await _standing(c, relay.tenant, other)
        else:
            merge = await _begin(c, relay, keep=rows[keep], other=rows[other], actor=actor)
    await retire_device(relay, row=rows[other], actor=actor)
    return merge


async def _both(c: AsyncConnection, tenant: str, keep: str, other: str) -> dict[str, RowMapping]:
    rows = {}
    for device in sorted((keep, other)):  # in one order, whoever merges what into what
        row = await lock_device(c, tenant, device)
        assert row is not None, "the caller has just found it, and no device is ever deleted"
        rows[device] = row
    return rows


async def _begin(
    c: AsyncConnection, relay: Relay, *, keep: RowMapping, other: RowMapping, actor: str
) -> Merge:
    await _check_free(c, relay.tenant, keep=keep, other=other)
    merge = Merge(
        id=make_id("m", relay.random(10)),
        kept=keep["id"],
        other=other["id"],
        merged_by=actor,
        merged_at=relay.stamp(),
    )
    await relay.audit.append(
        c, actor=actor, action="device.merge", subject=keep["id"], detail={"other": other["id"]}
    )
    await c.execute(
        insert(device_merges).values(
            tenant=relay.tenant,
            **msgspec.structs.asdict(merge),
            other_retired_at=other["retired_at"],
        )
    )
    await c.execute(
        update(devices)
        .where(devices.c.tenant == relay.tenant, devices.c.id == other["id"])
        .values(merged_into=keep["id"])
    )
    return merge


async def _check_free(
    c: AsyncConnection, tenant: str, *, keep: RowMapping, other: RowMapping
) -> None:
    """A merge joins two devices that stand for themselves, so that each can be undone alone."""
    if (keep["kind"] == AGENT) != (other["kind"] == AGENT):
        raise UsageError(
            "invalid", "one of them runs an agent and the other does not: they are no one machine"
        )
    for row in (keep, other):
        if row["merged_into"] is not None:
            raise _merged(row["id"], f"was merged into {row['merged_into']}")
    if len(await aliases(c, tenant, other["id"])) > 1:
        raise _merged(other["id"], "has others merged into it")


def _merged(device: str, words: str) -> FarhandError:
    return FarhandError(
        "device-merged", f"{device} {words}", hint="farhand device unmerge takes a merge back"
    )


async def _standing(c: AsyncConnection, tenant: str, other: str) -> Merge:
    columns = [device_merges.c[name] for name in Merge.__struct_fields__]
    query = select(*columns).where(
        device_merges.c.tenant == tenant,
        device_merges.c.other == other,
        device_merges.c.undone_at.is_(None),
    )
    return Merge(**(await c.execute(query)).mappings().one())


async def unmerge_device(c: AsyncConnection, relay: Relay, *, other: str, actor: str) -> Merge:
    """Take a merge back: the device is again what it was before.

    Raises:
        FarhandError: `device-not-merged`.
    """
    row = await lock_device(c, relay.tenant, other)
    if row is None or row["merged_into"] is None:
        raise FarhandError("device-not-merged", f"{other} was not merged into another device")
    merge = await _standing(c, relay.tenant, other)
    await relay.audit.append(
        c, actor=actor, action="device.unmerge", subject=merge.kept, detail={"other": other}
    )
    before = select(device_merges.c.other_retired_at).where(
        device_merges.c.tenant == relay.tenant, device_merges.c.id == merge.id
    )
    retired_at = await c.scalar(before)
    await c.execute(
        update(devices)
        .where(devices.c.tenant == relay.tenant, devices.c.id == other)
        .values(merged_into=None, retired_at=retired_at)
    )
    undone = msgspec.structs.replace(merge, undone_by=actor, undone_at=relay.stamp())
    await c.execute(
        update(device_merges)
        .where(device_merges.c.tenant == relay.tenant, device_merges.c.id == merge.id)
        .values(undone_by=undone.undone_by, undone_at=undone.undone_at)
    )
    return undone
