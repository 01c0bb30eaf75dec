"""The roster as the relay sees it: read out of the newest stored targets, for the first lock only.

Nothing here decides what a device does; devices verify the roster by themselves.  It lets the relay
turn away what every device would refuse, with an early and plain error.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.trust import ROSTER_PATH, Roster, decode_document
from farhand_server.store.schema import trust_metadata, trust_targets

__all__ = ["current_roster"]


class _TargetFile(msgspec.Struct):
    hashes: dict[str, str]


class _Targets(msgspec.Struct):
    targets: dict[str, _TargetFile]


class _Signed(msgspec.Struct):
    signed: _Targets
    signatures: list[Any] = msgspec.field(default_factory=list)


async def current_roster(c: AsyncConnection, tenant: str) -> Roster | None:
    """Return the roster of the newest targets, which were verified when they were uploaded.

    Returns: None while there is no trust root, or no roster in it.

    Raises:
        FarhandError: `trust-malformed` when the stored roster cannot be read.
    """
    body = await c.scalar(
        select(trust_metadata.c.body)
        .where(trust_metadata.c.tenant == tenant, trust_metadata.c.role == "targets")
        .order_by(trust_metadata.c.version.desc())
        .limit(1)
    )
    if body is None:
        return None
    listed = msgspec.json.decode(body, type=_Signed).signed.targets.get(ROSTER_PATH)
    if listed is None:
        return None
    document = await c.scalar(
        select(trust_targets.c.body).where(
            trust_targets.c.tenant == tenant,
            trust_targets.c.sha256 == listed.hashes.get("sha256", ""),
            trust_targets.c.path == ROSTER_PATH,
        )
    )
    return None if document is None else decode_document(document, Roster)
