"""Pairs of devices that a person has looked at and called two, so that nobody is asked again.

    dismiss ONE OTHER    what they have in common now is written down; the pair is proposed no more
    recall ONE OTHER     that is taken back

A dismissed pair comes back by itself as soon as both say something of themselves that was not in
common when it was dismissed.  Only digests of that are kept: serial numbers stand with their
devices, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.relay import Relay
from farhand_server.store.schema import device_hints, dismissed_duplicates

__all__ = [
    "WEIGHTS",
    "Dismissal",
    "dismiss_duplicate",
    "dismissals",
    "evidence_of",
    "recall_duplicate",
]

# How much it says that two devices have a hint in common, by the hint's kind.
WEIGHTS: Final[Mapping[str, int]] = {"uuid": 4, "serial": 4, "mac": 3, "host_name": 1}
_DIGEST_CHARS: Final = 16


class Dismissal(msgspec.Struct, frozen=True, kw_only=True):
    """Two devices that a person called two; `one` is the lesser id."""

    one: str
    other: str
    dismissed_by: str
    dismissed_at: str


def evidence_of(shared: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return digests of hints, given as (kind, value)."""
    return frozenset(
        hashlib.sha256(f"{kind}\0{value}".encode()).hexdigest()[:_DIGEST_CHARS]
        for kind, value in shared
    )


async def dismissals(
    c: AsyncConnection, tenant: str
) -> dict[tuple[str, str], tuple[Dismissal, frozenset[str]]]:
    """Return all dismissed pairs, each with what they had in common then."""
    table = dismissed_duplicates
    rows = (await c.execute(select(table).where(table.c.tenant == tenant))).mappings()
    return {
        (row["one"], row["other"]): (
            Dismissal(**{name: row[name] for name in Dismissal.__struct_fields__}),
            frozenset(row["evidence"].split()),
        )
        for row in rows
    }


async def dismiss_duplicate(
    c: AsyncConnection, relay: Relay, *, pair: tuple[str, str], actor: str
) -> Dismissal:
    """Write down that two devices are two, for all that they have in common now.

    Raises:
        UsageError: `invalid` for one and the same device.
        FarhandError: `device-not-alike` when they have nothing in common.
    """
    one, other = _ordered(pair)
    hints = device_hints.c
    others = device_hints.alias()
    theirs = others.c
    both = and_(
        theirs.tenant == hints.tenant, theirs.kind == hints.kind, theirs.value == hints.value
    )
    query = (
        select(hints.kind, hints.value)
        .join(others, both)
        .where(
            hints.tenant == relay.tenant,
            hints.kind.in_(WEIGHTS),
            hints.device == one,
            theirs.device == other,
        )
    )
    shared = evidence_of((kind, value) for kind, value in await c.execute(query))
    if not shared:
        raise FarhandError("device-not-alike", f"{one} and {other} have nothing in common")
    made = Dismissal(one=one, other=other, dismissed_by=actor, dismissed_at=relay.stamp())
    await relay.audit.append(
        c, actor=actor, action="duplicate.dismiss", subject=one, detail={"other": other}
    )
    await _forget(c, relay.tenant, one, other)
    await c.execute(
        insert(dismissed_duplicates).values(
            tenant=relay.tenant,
            evidence=" ".join(sorted(shared)),
            **msgspec.structs.asdict(made),
        )
    )
    return made


async def recall_duplicate(
    c: AsyncConnection, relay: Relay, *, pair: tuple[str, str], actor: str
) -> Dismissal:
    """Take a dismissal back: the pair is proposed again.

    Raises:
        UsageError: `invalid` for one and the same device.
        FarhandError: `duplicate-not-dismissed`.
    """
    one, other = _ordered(pair)
    standing = (await dismissals(c, relay.tenant)).get((one, other))
    if standing is None:
        raise FarhandError("duplicate-not-dismissed", f"{one} and {other} were not dismissed")
    await relay.audit.append(
        c, actor=actor, action="duplicate.recall", subject=one, detail={"other": other}
    )
    await _forget(c, relay.tenant, one, other)
    return standing[0]


async def _forget(c: AsyncConnection, tenant: str, one: str, other: str) -> None:
    table = dismissed_duplicates.c
    await c.execute(
        delete(dismissed_duplicates).where(
            table.tenant == tenant, table.one == one, table.other == other
        )
    )


def _ordered(pair: tuple[str, str]) -> tuple[str, str]:
    one, other = sorted(pair)
    if one == other:
        raise UsageError("invalid", "a device is no duplicate of itself")
    return one, other
