"""Devices that may be one machine: proposed to a person, who merges them or does not.

A machine that was set up anew enrols with a new key, and so as a new device.  What two devices have
in common (`fleet.hints`) is weighed: a UUID or serial number more than a MAC, that more than a
name.  A value that more than `MAX_SHARED` devices have says nothing (a docking station's MAC, a
filler that nobody listed).  Pairs that a person dismissed stay away until they have more in common
(`fleet.dismissals`).  Nothing here merges anything.
"""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.fleet.dismissals import WEIGHTS, Dismissal, dismissals, evidence_of
from farhand_server.store.schema import device_hints, devices

__all__ = ["Duplicate", "SharedHint", "Twin", "find_duplicates"]

MAX_SHARED: Final = 8
MAX_HINT_ROWS: Final = 20_000
_STRONG: Final = 4


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a proposal."""

    id: str
    name: str
    group: str
    os: str
    enrolled_at: str
    last_seen: str | None


class SharedHint(msgspec.Struct, frozen=True, kw_only=True):
    """Something that both say of themselves."""

    kind: str
    value: str


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """Two devices that may be one; `keep` is the one that was seen last.

    `dismissed` says who called them two, in a list of those only.
    """

    keep: Twin
    other: Twin
    score: int
    strength: str
    shared: list[SharedHint]
    dismissed: Dismissal | None = None


async def find_duplicates(
    c: AsyncConnection,
    tenant: str,
    *,
    after: tuple[int, str, str] | None = None,
    limit: int = 50,
    dismissed: bool = False,
) -> list[Duplicate]:
    """Return pairs of devices that have hints in common, the most alike first.

    Args:
        c: any connection.
        tenant: organisation.
        after: score and both ids of the last pair already seen.
        limit: at most so many.
        dismissed: those that a person set aside, instead of those that wait for one.
    """
    hints = device_hints.c
    living = and_(
        devices.c.tenant == hints.tenant,
        devices.c.id == hints.device,
        devices.c.retired_at.is_(None),
    )
    shared = (
        select(hints.kind, hints.value)
        .join(devices, living)
        .where(hints.tenant == tenant, hints.kind.in_(WEIGHTS))
        .group_by(hints.kind, hints.value)
        .having(func.count().between(2, MAX_SHARED))
        .order_by(hints.kind.desc(), hints.value)
        .limit(MAX_HINT_ROWS)
        .subquery()
    )
    members = (
        select(hints.kind, hints.value, hints.device)
        .join(shared, and_(shared.c.kind == hints.kind, shared.c.value == hints.value))
        .join(devices, living)
        .where(hints.tenant == tenant)
        .order_by(hints.kind, hints.value, hints.device)
        .limit(MAX_HINT_ROWS)
    )
    by_value: dict[tuple[str, str], list[str]] = {}
    for kind, value, device in await c.execute(members):
        by_value.setdefault((kind, value), []).append(device)
    pairs: dict[tuple[str, str], list[SharedHint]] = {}
    for (kind, value), owners in by_value.items():
        for pair in itertools.combinations(owners, 2):
            pairs.setdefault(pair, []).append(SharedHint(kind=kind, value=value))
    aside = await dismissals(c, tenant)
    set_aside = {
        pair: aside[pair][0]
        for pair, found in pairs.items()
        if pair in aside and _evidence(found) <= aside[pair][1]
    }
    pairs = {pair: found for pair, found in pairs.items() if (pair in set_aside) == dismissed}
    ordered = sorted((-_score(found), *pair) for pair, found in pairs.items())
    if after is not None:
        ordered = [one for one in ordered if one > (-after[0], after[1], after[2])]
    page = ordered[:limit]
    twins = await _twins(c, tenant, {one for _, *pair in page for one in pair})
    return [
        _proposal(twins[a], twins[b], -score, pairs[a, b], set_aside.get((a, b)))
        for score, a, b in page
        if a in twins and b in twins
    ]


def _evidence(shared: list[SharedHint]) -> frozenset[str]:
    return evidence_of((one.kind, one.value) for one in shared)


def _score(shared: list[SharedHint]) -> int:
    return sum(WEIGHTS.get(one.kind, 0) for one in shared)


async def _twins(c: AsyncConnection, tenant: str, ids: set[str]) -> dict[str, Twin]:
    query = select(devices).where(devices.c.tenant == tenant, devices.c.id.in_(ids))
    return {
        row["id"]: Twin(
            id=row["id"],
            name=row["name"],
            group=row["device_group"],
            os=row["os"],
            enrolled_at=row["enrolled_at"],
            last_seen=row["last_seen"],
        )
        for row in (await c.execute(query)).mappings()
    }


def _proposal(
    one: Twin, two: Twin, score: int, shared: list[SharedHint], dismissed: Dismissal | None
) -> Duplicate:
    # Whoever was seen last lives; where neither was, whoever came last.
    keep, other = sorted(
        (one, two), key=lambda twin: (twin.last_seen or "", twin.enrolled_at, twin.id), reverse=True
    )
    return Duplicate(
        keep=keep,
        other=other,
        score=score,
        strength="strong" if score >= _STRONG else "weak",
        shared=shared,
        dismissed=dismissed,
    )
