"""Who is in a campaign, and in which ring: decided once, when it is made.

The devices that the query picks now, without those that `exclude` picks; for a retry or a rollback,
only those of an earlier campaign's targets, and nothing is asked of the whole fleet then.  Rings
take from them in their order: by tag and by query whom they match, by count and percent those whose
hash comes first, which are the same devices in every campaign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.campaigns import CampaignPlan, RingPlan, ring_count, stable_rank
from farhand_protocol.errors import FarhandError
from farhand_server.fleet.devices import WhoIsOnline, picked
from farhand_server.fleet.order_states import OPEN_STATES
from farhand_server.fleet.packages import in_chunks
from farhand_server.fleet.query import parse_query
from farhand_server.store.schema import device_tags, devices, orders

__all__ = ["MAX_TARGETS", "domains_of", "freeze", "rings_of", "targets_of"]

MAX_TARGETS: Final = 50_000
_WELL: Final = ("succeeded", "no_change")
# What began may have changed something, however it ended; what changed nothing needs no way back.
_CHANGED: Final = ("succeeded", "failed", "timeout", "interrupted")


async def freeze(
    c: AsyncConnection,
    tenant: str,
    query: str,
    *,
    exclude: str,
    among: Select[tuple[str]] | None,
    presence: WhoIsOnline,
) -> list[str]:
    """Return the devices that a campaign is about, by id.

    Args:
        c: any connection.
        tenant: organisation.
        query: who is in it.
        exclude: who stays out; empty for nobody.
        among: selects the only devices that may be in it; None for no such bound.
        presence: who is online.

    Raises:
        UsageError: `query-invalid`.
        FarhandError: `query-too-wide`, `no-targets`, `too-many-targets`.
    """
    chosen = await _matching(c, tenant, query, presence, among=among)
    if exclude:
        out = set(await _matching(c, tenant, exclude, presence, among=among))
        chosen = [device for device in chosen if device not in out]
    if not chosen:
        hint = None if among is None else "what is still open is left out: abort that one first"
        raise FarhandError("no-targets", "no enrolled device matches the query", hint=hint)
    return chosen


async def _matching(
    c: AsyncConnection,
    tenant: str,
    query: str,
    presence: WhoIsOnline,
    *,
    among: Select[tuple[str]] | None,
) -> list[str]:
    parsed = parse_query(query, must_pick=True)
    where = await picked(c, tenant, parsed, presence=presence, agents_only=True)
    found = select(devices.c.id).where(where).order_by(devices.c.id).limit(MAX_TARGETS + 1)
    if among is not None:
        found = found.where(devices.c.id.in_(among))
    ids = list(await c.scalars(found))
    if len(ids) > MAX_TARGETS:
        raise FarhandError(
            "too-many-targets", f"more than {MAX_TARGETS} devices match", hint="narrow the query"
        )
    return ids


def targets_of(
    tenant: str, campaign: str, *, use: Literal["retry", "rollback"]
) -> Select[tuple[str]]:
    """Return what selects the targets of an earlier campaign that another one is about.

    Args:
        tenant: organisation.
        campaign: id of the earlier campaign.
        use: `retry` is who has ended without success, `rollback` who may have been changed.  An
            order that is still open is in neither: its device may yet begin it, and nobody is to
            run both.
    """
    wanted = (
        orders.c.state.in_(_CHANGED)
        if use == "rollback"
        else orders.c.state.not_in((*_WELL, *OPEN_STATES))
    )
    return select(orders.c.device).where(
        orders.c.tenant == tenant, orders.c.campaign == campaign, wanted
    )


async def rings_of(
    c: AsyncConnection,
    tenant: str,
    plan: CampaignPlan,
    targets: Sequence[str],
    presence: WhoIsOnline,
    *,
    among: Select[tuple[str]] | None,
) -> dict[str, int]:
    """Return the ring of each target; `among` as for `freeze`.

    Raises:
        UsageError: `query-invalid` of a ring.
        FarhandError: `query-too-wide`, `too-many-targets` of a ring.
    """
    left = sorted(targets, key=stable_rank)
    ring_by_device: dict[str, int] = {}
    for number, ring in enumerate(plan.rings):
        taken = await _taken(c, tenant, ring, left, len(targets), presence, among)
        ring_by_device.update((device, number) for device in taken)
        left = [device for device in left if device not in taken]
    return ring_by_device


async def _taken(
    c: AsyncConnection,
    tenant: str,
    ring: RingPlan,
    left: Sequence[str],
    total: int,
    presence: WhoIsOnline,
    among: Select[tuple[str]] | None,
) -> set[str]:
    count = ring_count(ring, total)
    if count is not None:
        return set(left[:count])
    if ring.tag is not None:
        query = select(device_tags.c.device).where(
            device_tags.c.tenant == tenant, device_tags.c.tag == ring.tag.replace("\0", "")
        )
        return set(await c.scalars(query)) & set(left)
    if ring.query is not None:
        return set(await _matching(c, tenant, ring.query, presence, among=among)) & set(left)
    return set(left)


async def domains_of(
    c: AsyncConnection, tenant: str, plan: CampaignPlan, targets: Sequence[str]
) -> dict[str, str]:
    """Return the domain of each target that has one: its group, or the rest of its first tag."""
    found: dict[str, str] = {}
    prefix = plan.domain.removeprefix("tag:") if plan.domain.startswith("tag:") else None
    for chunk in in_chunks(list(targets)) if plan.domain else ():
        if prefix is None:
            groups = select(devices.c.id, devices.c.device_group).where(
                devices.c.tenant == tenant, devices.c.id.in_(chunk)
            )
            found.update((row[0], row[1]) for row in await c.execute(groups))
            continue
        tags = select(device_tags.c.device, device_tags.c.tag).where(
            device_tags.c.tenant == tenant,
            device_tags.c.device.in_(chunk),
            device_tags.c.tag.startswith(prefix, autoescape=True),
        )
        for device, tag in await c.execute(tags.order_by(device_tags.c.tag.desc())):
            found[device] = tag
    return found
