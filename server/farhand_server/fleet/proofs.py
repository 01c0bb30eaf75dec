"""Files that prove when a device was bought and how long its maker stands by it.

An invoice, a warranty card: kept as it came, by somebody of the desk, and never opened here.  The
dates are still a person's word (`fleet.product`); whoever reads them finds the proof beside them,
from the device as from a ticket about it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.errors import not_found
from farhand_server.fleet.devices import lock_device
from farhand_server.people.blobs import Blob, keep_blob, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import blobs, device_proofs
from farhand_server.wording import check_line

__all__ = [
    "MAX_PROOFS",
    "MAX_PROOF_BYTES",
    "DeviceProof",
    "add_proof",
    "proofs_of",
    "read_proof",
    "remove_proof",
]

MAX_PROOFS: Final = 20
MAX_PROOF_BYTES: Final = 4 * 1024 * 1024


class DeviceProof(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a device; `place` names it."""

    place: int
    name: str
    size: int
    sha256: str
    added_by: str
    added_at: str


async def add_proof(
    c: AsyncConnection, relay: Relay, *, device: str, name: str, content: bytes, actor: str
) -> DeviceProof:
    """Keep a file with a device.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        device: its id.
        name: of the file; folders in front of it are left out.
        content: at most `MAX_PROOF_BYTES`, and not nothing.
        actor: who adds it.

    Raises:
        FarhandError: `invalid`, `blob-too-large`, `proof-limit`.
    """
    shown = check_line(name.replace("\\", "/").rpartition("/")[2], "name of the file")
    if not content:
        raise UsageError("invalid", "there is nothing in the file")
    if len(content) > MAX_PROOF_BYTES:
        raise FarhandError(
            "blob-too-large", f"a proof may have {MAX_PROOF_BYTES // 2**20} MiB at most"
        )
    await relay.audit.append(
        c, actor=actor, action="device.proof", subject=device, detail={"name": shown}
    )
    await lock_device(c, relay.tenant, device)
    mine = _of(relay.tenant, device)
    highest, count = (
        await c.execute(select(func.max(device_proofs.c.place), func.count()).where(mine))
    ).one()
    if count >= MAX_PROOFS:
        raise FarhandError(
            "proof-limit",
            f"a device has {MAX_PROOFS} proofs at most",
            hint="farhand device proof DEVICE --remove PLACE",
        )
    place = (highest or 0) + 1
    sha256 = await keep_blob(c, relay, content, "application/octet-stream")
    made = DeviceProof(
        place=place,
        name=shown,
        size=len(content),
        sha256=sha256,
        added_by=actor,
        added_at=relay.stamp(),
    )
    row = msgspec.structs.asdict(made)
    del row["size"]
    await c.execute(insert(device_proofs).values(tenant=relay.tenant, device=device, **row))
    return made


async def proofs_of(c: AsyncConnection, tenant: str, device: str) -> list[DeviceProof]:
    """Return the files of a device in the order in which they came; they are bounded."""
    kept = and_(blobs.c.tenant == device_proofs.c.tenant, blobs.c.sha256 == device_proofs.c.sha256)
    query = (
        select(device_proofs, blobs.c.size)
        .join(blobs, kept)
        .where(_of(tenant, device))
        .order_by(device_proofs.c.place)
    )
    rows = (await c.execute(query)).mappings()
    return [
        DeviceProof(**{name: row[name] for name in DeviceProof.__struct_fields__}) for row in rows
    ]


async def read_proof(
    c: AsyncConnection, tenant: str, device: str, place: int
) -> tuple[DeviceProof, Blob]:
    """Return one file and what is in it.

    Raises:
        FarhandError: `not-found`.
    """
    for one in await proofs_of(c, tenant, device):
        if one.place == place:
            return one, await read_blob(c, tenant, one.sha256)
    raise not_found("proof", str(place))


async def remove_proof(
    c: AsyncConnection, relay: Relay, *, device: str, place: int, actor: str
) -> DeviceProof:
    """Take a file away from a device; returns it, whose content the caller may let go.

    Raises:
        FarhandError: `not-found`.
    """
    await relay.audit.append(
        c, actor=actor, action="device.proof-remove", subject=device, detail={"place": place}
    )
    await lock_device(c, relay.tenant, device)
    gone, _ = await read_proof(c, relay.tenant, device, place)
    mine = and_(_of(relay.tenant, device), device_proofs.c.place == place)
    await c.execute(delete(device_proofs).where(mine))
    return gone


def _of(tenant: str, device: str) -> ColumnElement[bool]:
    return and_(device_proofs.c.tenant == tenant, device_proofs.c.device == device)
