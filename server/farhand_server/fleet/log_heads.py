"""Heads of the devices' own logs, as each device showed them when its link opened.

The device's key signs them (protocol/audit.py); the relay checks that and keeps them in the order
of their coming, so that a console can demand later that the device's log passes through all of
them.  A log that went back, or shows another record under the same number, is kept as well, and
audited: the device was restored from a snapshot, or somebody rewrote its log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import delete, func, insert, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.audit import AuditHead, decode_head, head_message, thinned
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.keys import verify
from farhand_server.audit import Act
from farhand_server.relay import Relay
from farhand_server.store.schema import device_heads

__all__ = ["MAX_DEVICE_HEADS", "device_log_heads", "keep_log_heads", "parse_log_head"]

MAX_DEVICE_HEADS: Final = 128
_THIN_EVERY: Final = 32
_COLUMNS: Final = ("seq", "hash", "at", "signature")


def parse_log_head(data: bytes, *, device: str, key: bytes) -> AuditHead | None:
    """Read what a device showed as its head; None where it showed none.

    Raises:
        RemoteError: `audit-head-malformed`: unreadable, another's, or not signed by its key.
    """
    if not data:
        return None
    try:
        head = decode_head(data)
    except FarhandError as error:
        raise RemoteError(error.code, error.message) from error
    if head.owner != device or not verify(key, head.signature, head_message(head)):
        raise RemoteError("audit-head-malformed", "the head of its log is not by this device")
    return head


async def keep_log_heads(c: AsyncConnection, relay: Relay, heads: Mapping[str, AuditHead]) -> None:
    """Keep what is new among these, inside the caller's write transaction.

    Args:
        c: from `Database.write()`.
        relay: the wiring.
        heads: device id to its verified head.
    """
    if not heads:
        return
    newest = await _newest(c, relay.tenant, list(heads))
    rows, acts, full = [], [], []
    for device, head in sorted(heads.items()):
        last = newest.get(device)
        if last is not None and (last["seq"], last["hash"]) == (head.seq, head.hash):
            continue
        number = last["number"] + 1 if last is not None else 1
        rows.append(
            {"tenant": relay.tenant, "device": device, "number": number}
            | {name: getattr(head, name) for name in _COLUMNS}
        )
        if last is not None and head.seq <= last["seq"]:
            acts.append(
                Act(
                    actor=f"device:{device}",
                    action="device.log-broken",
                    subject=device,
                    detail={"was": last["seq"], "is": head.seq},
                )
            )
        if number % _THIN_EVERY == 0:
            full.append(device)
    await relay.audit.append_all(c, acts)
    if rows:
        await c.execute(insert(device_heads), rows)
    for device in full:
        await _thin(c, relay.tenant, device)


async def _newest(c: AsyncConnection, tenant: str, ids: list[str]) -> dict[str, RowMapping]:
    last = (
        select(device_heads.c.device, func.max(device_heads.c.number).label("number"))
        .where(device_heads.c.tenant == tenant, device_heads.c.device.in_(ids))
        .group_by(device_heads.c.device)
        .subquery()
    )
    query = select(device_heads).join(
        last,
        (device_heads.c.tenant == tenant)
        & (device_heads.c.device == last.c.device)
        & (device_heads.c.number == last.c.number),
    )
    return {row["device"]: row for row in (await c.execute(query)).mappings()}


async def _thin(c: AsyncConnection, tenant: str, device: str) -> None:
    of_device = (device_heads.c.tenant == tenant, device_heads.c.device == device)
    query = select(device_heads.c.number).where(*of_device).order_by(device_heads.c.number)
    numbers = list((await c.execute(query)).scalars())
    gone = sorted(set(numbers) - set(thinned(numbers, MAX_DEVICE_HEADS)))
    if gone:
        await c.execute(delete(device_heads).where(*of_device, device_heads.c.number.in_(gone)))


async def device_log_heads(c: AsyncConnection, tenant: str, device: str) -> list[AuditHead]:
    """Return the heads that a device showed, in the order of their coming."""
    query = (
        select(*(device_heads.c[name] for name in _COLUMNS))
        .where(device_heads.c.tenant == tenant, device_heads.c.device == device)
        .order_by(device_heads.c.number)
    )
    rows = (await c.execute(query)).mappings()
    return [AuditHead(owner=device, **row) for row in rows]
