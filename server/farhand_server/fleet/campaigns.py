"""Campaigns: one script on many devices, with the targets frozen when it is made.

    state     start     pause     resume    abort     limit or gate   every order final
    draft     running   -         -         aborted   -               -
    running   -         paused    -         aborted   paused          finished
    paused    -         -         running   aborted   -               finished
    finished, aborted: nothing follows; `-` is refused with `campaign-state`

A campaign plans one order row per device at once.  The console then pages through the targets,
checks each device's key by itself, signs an order for each and sends them; a signed order fills the
planned row of its device.  What it could not verify it names when it starts, and those rows end as
`refused`; a planned row that is neither signed nor named waits.

Who is in which ring is frozen as well (`frozen_sets`), and the hash of it all is what the console
signs.  Devices of a ring are told only once the ring before has passed its gate (`promotion`); a
limit that is passed pauses the campaign in the transaction that passed it (`brakes`).  Counts are
kept with each step of an order (`order_rows`), so a report reads a handful of rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import RowMapping, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.campaigns import CampaignPlan, check_plan, target_set
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.orders import MAX_ORDER_LIFETIME_S
from farhand_protocol.trust import Risk
from farhand_server.errors import not_found
from farhand_server.fleet.brakes import counts_of, note_ends, plan_of, summed
from farhand_server.fleet.campaign_events import add_campaign_event
from farhand_server.fleet.devices import WhoIsOnline
from farhand_server.fleet.frozen_sets import (
    MAX_TARGETS,
    domains_of,
    freeze,
    rings_of,
    targets_of,
)
from farhand_server.fleet.order_rows import add_to_counts, advance, lock_orders
from farhand_server.fleet.order_states import FINAL_STATES
from farhand_server.fleet.packages import in_chunks
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    campaign_counts,
    campaign_rings,
    campaigns,
    devices,
    enrolment_tokens,
    orders,
)

__all__ = [
    "CAMPAIGN_EVENTS",
    "Campaign",
    "CampaignEvent",
    "NewCampaign",
    "Skipped",
    "Target",
    "campaign_row",
    "control_campaign",
    "create_campaign",
    "get_campaign",
    "list_campaigns",
    "list_targets",
    "planned_rows",
    "skip_targets",
    "unended_orders",
]

MAX_PARAMETERS_BYTES: Final = 16 * 1024
MAX_SKIP_CODES: Final = 64
MAX_PLAN_BYTES: Final = 32 * 1024

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)

CampaignEvent = Literal["start", "pause", "resume", "abort"]
CAMPAIGN_EVENTS: Final[dict[tuple[str, CampaignEvent], str]] = {
    ("draft", "start"): "running",
    ("draft", "abort"): "aborted",
    ("running", "pause"): "paused",
    ("running", "abort"): "aborted",
    ("paused", "resume"): "running",
    ("paused", "abort"): "aborted",
}


class NewCampaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a console asks for; script, version, digest and risk as it resolved them through TUF.

    With `source` only targets of that earlier campaign are taken: `retry` those that have ended
    without success, `rollback` those on which it began.  What is still open there is in neither.
    """

    script: str
    version: int
    digest: str
    risk: Risk
    query: str
    name: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    ttl_s: int = 86_400
    plan: CampaignPlan = msgspec.field(default_factory=CampaignPlan)
    source: str | None = None
    source_use: Literal["retry", "rollback"] = "retry"


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign; `targets` is how many devices were frozen into it, `reason` why it is paused."""

    campaign: str
    name: str
    state: str
    script: str
    version: int
    digest: str
    risk: str
    query: str
    parameters: dict[str, Any]
    ttl_s: int
    plan: CampaignPlan
    target_set: str | None
    source: str | None
    reason: str | None
    open_ring: int
    targets: int
    counts: dict[str, int]
    created_by: str
    created_at: str
    started_at: str | None
    ended_at: str | None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a campaign, with everything a console needs to verify it and sign for it."""

    order: str
    state: str
    ring: int
    device: str
    name: str
    host_name: str
    group: str
    key: bytes
    enrolment: bytes
    token_envelope: bytes | None
    token_signed_by: str | None
    confirmed: bool
    confirmation: bytes | None


class Skipped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target that the console signed no order for, and the code that says why."""

    device: str
    code: str


def _check_new(new: NewCampaign) -> str:
    """Check the bounds and return the parameters as text."""
    parameters = json.dumps(new.parameters, sort_keys=True)
    problems = {
        "script": not 1 <= len(new.script) <= 100 or not new.script.isprintable(),
        "version": not 1 <= new.version < 2**31,
        "digest": len(new.digest) != 64 or not set(new.digest) <= set("0123456789abcdef"),
        "name": len(new.name) > 200 or not new.name.isprintable(),
        "parameters": len(parameters) > MAX_PARAMETERS_BYTES,
        "ttl_s": not 60 <= new.ttl_s <= MAX_ORDER_LIFETIME_S,
        "plan": len(msgspec.json.encode(new.plan)) > MAX_PLAN_BYTES,
    }
    for field, is_wrong in problems.items():
        if is_wrong:
            raise UsageError("invalid", f"the campaign's {field} is not allowed")
    check_plan(new.plan)
    return parameters


async def create_campaign(
    c: AsyncConnection, relay: Relay, *, new: NewCampaign, actor: str, presence: WhoIsOnline
) -> Campaign:
    """Freeze the devices that the query picks now and plan one order for each.

    Raises:
        UsageError: `invalid`.
        FarhandError: `query-invalid`, `query-too-wide`, `no-targets`, `too-many-targets`,
            `plan-malformed`, `terms-malformed`, `not-found` for its source.
    """
    parameters = _check_new(new)
    campaign = make_id("c", relay.random(10))
    await relay.audit.append(
        c,
        actor=actor,
        action="campaign.create",
        subject=campaign,
        detail={"script": new.script, "version": new.version, "query": new.query},
    )
    among = None
    if new.source is not None:
        source = await campaign_row(c, relay.tenant, new.source)
        among = targets_of(relay.tenant, source["id"], use=new.source_use)
    targets = await freeze(
        c, relay.tenant, new.query, exclude=new.plan.exclude, among=among, presence=presence
    )
    rings = await rings_of(c, relay.tenant, new.plan, targets, presence, among=among)
    domains = await domains_of(c, relay.tenant, new.plan, targets)
    at = relay.stamp()
    await c.execute(
        insert(campaigns).values(
            tenant=relay.tenant,
            id=campaign,
            name=new.name or new.script,
            script=new.script,
            version=new.version,
            digest=new.digest,
            risk=new.risk,
            query=new.query,
            parameters=parameters,
            ttl_s=new.ttl_s,
            plan=msgspec.json.encode(new.plan).decode(),
            target_set=target_set(rings.items()),
            source=new.source,
            max_in_flight=_most_in_flight(new.plan),
            state="draft",
            created_by=actor,
            created_at=at,
        )
    )
    random = relay.random(10 * len(targets))
    rows = [
        {
            "tenant": relay.tenant,
            "id": make_id("o", random[10 * n : 10 * n + 10]),
            "device": device,
            "campaign": campaign,
            "ring": rings[device],
            "domain": domains.get(device),
            "script": new.script,
            "version": new.version,
            "operator": actor,
            "state": "planned",
            "created_at": at,
            "updated_at": at,
        }
        for n, device in enumerate(targets)
    ]
    await c.execute(insert(orders), rows)
    sizes = [
        sum(ring == number for ring in rings.values()) for number in range(len(new.plan.rings))
    ]
    await add_to_counts(
        c, relay.tenant, {(campaign, ring, "planned"): size for ring, size in enumerate(sizes)}
    )
    of_campaign = {"tenant": relay.tenant, "campaign": campaign}
    await c.execute(
        insert(campaign_rings),
        [{**of_campaign, "ring": ring, "targets": size} for ring, size in enumerate(sizes)],
    )
    return await get_campaign(c, relay.tenant, campaign)


def _most_in_flight(plan: CampaignPlan) -> int | None:
    """Return the limit that slots are given by; a limit by domain alone needs them as well."""
    if plan.max_in_flight is None and plan.per_domain is not None:
        return MAX_TARGETS
    return plan.max_in_flight


async def _counts(
    c: AsyncConnection, tenant: str, ids: Sequence[str]
) -> dict[str, dict[int, dict[str, int]]]:
    found: dict[str, dict[int, dict[str, int]]] = {one: {} for one in ids}
    query = select(campaign_counts).where(
        campaign_counts.c.tenant == tenant,
        campaign_counts.c.campaign.in_(ids),
        campaign_counts.c.count > 0,
    )
    for row in (await c.execute(query.order_by(campaign_counts.c.state))).mappings():
        found[row["campaign"]].setdefault(row["ring"], {})[row["state"]] = row["count"]
    return found


def _campaign(row: RowMapping, counts: dict[str, int]) -> Campaign:
    plain = {
        n: row[n]
        for n in Campaign.__struct_fields__
        if n not in ("campaign", "parameters", "targets", "counts", "plan")
    }
    return Campaign(
        campaign=row["id"],
        parameters=json.loads(row["parameters"]),
        plan=plan_of(row),
        targets=sum(counts.values()),
        counts=counts,
        **plain,
    )


async def campaign_row(
    c: AsyncConnection, tenant: str, campaign: str, *, held: bool = False
) -> RowMapping:
    """Return a campaign's row; `held` until the transaction ends.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(campaigns).where(
        campaigns.c.tenant == tenant, campaigns.c.id == campaign.replace("\0", "")
    )
    row = (await c.execute(query.with_for_update() if held else query)).mappings().first()
    if row is None:
        raise not_found("campaign", campaign)
    return row


async def get_campaign(c: AsyncConnection, tenant: str, campaign: str) -> Campaign:
    """Return a campaign.

    Raises:
        FarhandError: `not-found`.
    """
    row = await campaign_row(c, tenant, campaign)
    return _campaign(row, summed(await counts_of(c, tenant, row["id"])))


async def list_campaigns(
    c: AsyncConnection,
    tenant: str,
    *,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[Campaign]:
    """Return campaigns, newest first; `after` is created_at and id of the last one seen."""
    where = [campaigns.c.tenant == tenant]
    if after is not None:
        made, last = after
        where.append(
            (campaigns.c.created_at < made)
            | ((campaigns.c.created_at == made) & (campaigns.c.id > last))
        )
    query = select(campaigns).where(*where)
    query = query.order_by(campaigns.c.created_at.desc(), campaigns.c.id).limit(limit)
    rows = (await c.execute(query)).mappings().all()
    counts = await _counts(c, tenant, [row["id"] for row in rows])
    return [_campaign(row, summed(counts[row["id"]])) for row in rows]


async def list_targets(
    c: AsyncConnection,
    tenant: str,
    campaign: str,
    *,
    after: str = "",
    limit: int = 50,
) -> list[Target]:
    """Return the frozen devices by id, `after` the last one already seen.

    Raises:
        FarhandError: `not-found`.
    """
    await campaign_row(c, tenant, campaign)
    query = (
        select(
            orders.c.id.label("order"),
            orders.c.state,
            orders.c.ring,
            orders.c.device,
            devices.c.name,
            devices.c.host_name,
            devices.c.device_group.label("group"),
            devices.c.key,
            devices.c.enrolment,
            devices.c.confirmed,
            devices.c.confirmation,
            enrolment_tokens.c.envelope.label("token_envelope"),
            enrolment_tokens.c.signed_by.label("token_signed_by"),
        )
        .join(devices, and_(devices.c.tenant == orders.c.tenant, devices.c.id == orders.c.device))
        .outerjoin(
            enrolment_tokens,
            and_(
                enrolment_tokens.c.tenant == devices.c.tenant,
                enrolment_tokens.c.id == devices.c.token,
            ),
        )
        .where(orders.c.tenant == tenant, orders.c.campaign == campaign, orders.c.device > after)
        .order_by(orders.c.device)
        .limit(limit)
    )
    return [Target(**row) for row in (await c.execute(query)).mappings()]


async def planned_rows(
    c: AsyncConnection, tenant: str, campaign: str, ids: Sequence[str]
) -> dict[str, RowMapping]:
    """Return id, device, ring, state and envelope of these devices' rows, by device."""
    found: dict[str, RowMapping] = {}
    for chunk in in_chunks([one for one in ids if "\0" not in one]):
        query = select(
            orders.c.id, orders.c.device, orders.c.ring, orders.c.state, orders.c.envelope
        ).where(
            orders.c.tenant == tenant,
            orders.c.campaign == campaign,
            orders.c.device.in_(chunk),
        )
        found.update({row["device"]: row for row in (await c.execute(query)).mappings()})
    return found


async def control_campaign(
    c: AsyncConnection,
    relay: Relay,
    *,
    campaign: str,
    event: CampaignEvent,
    actor: str,
    skipped: Sequence[Skipped] = (),
) -> Campaign:
    """Start, pause, resume or abort; what becomes of the orders is the caller's next transaction.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        campaign: its id.
        event: what is asked for.
        actor: who asks.
        skipped: with `start`, the targets whose planned rows end as `refused`.

    Raises:
        UsageError: `invalid` for a skipped target that cannot be one.
        FarhandError: `not-found`, `campaign-state`, `order-wrong-campaign` when a skipped device is
            not in the campaign.

    Returns: the campaign; `paused` after a start where the skipped targets pass a limit already.
    """
    by_code = _by_code(skipped)
    detail = {"skipped": {code: len(found) for code, found in by_code.items()}} if by_code else {}
    await relay.audit.append(
        c, actor=actor, action=f"campaign.{event}", subject=campaign, detail=detail
    )
    # Order rows are held before the campaign's, as everywhere; a campaign that cannot start undoes
    # the steps with the transaction.
    for code, skipped_devices in by_code.items():
        await _refuse(
            c, relay, campaign=campaign, device_ids=skipped_devices, code=code, actor=actor
        )
    row = await campaign_row(c, relay.tenant, campaign, held=True)
    after = CAMPAIGN_EVENTS.get((row["state"], event))
    if after is None:
        raise FarhandError("campaign-state", f"the campaign is {row['state']}, it cannot {event}")
    changes: dict[str, Any] = {"state": after, "reason": None}
    counts = await counts_of(c, relay.tenant, campaign)
    if event == "start":
        changes["started_at"] = relay.stamp()
        await _open_first(c, relay, campaign)
        open_rows = summed(counts)
        if not set(open_rows) & {"planned", "eligible", "offered", "accepted", "running"}:
            # All its devices were retired, or its orders cancelled, while it was a draft.
            changes |= {"state": "finished", "ended_at": relay.stamp()}
    elif event == "abort":
        changes["ended_at"] = relay.stamp()
    elif event == "pause":
        changes["reason"] = f"by {actor}"
    else:
        # What went wrong so far was looked at by whoever resumes; limits count from here.
        changes["forgiven"] = json.dumps(counts)
    await c.execute(
        update(campaigns)
        .where(campaigns.c.tenant == relay.tenant, campaigns.c.id == campaign)
        .values(**changes)
    )
    await add_campaign_event(
        c, relay.tenant, campaign, changes["state"], relay.stamp(), {"by": actor}
    )
    if event == "start":
        # What was skipped, or ended otherwise, was counted while nothing was running to be paused.
        row = await campaign_row(c, relay.tenant, campaign)
        ended = sorted(ring for ring, states in counts.items() if FINAL_STATES & states.keys())
        await note_ends(c, relay.tenant, row, ended, relay.stamp())
    return await get_campaign(c, relay.tenant, campaign)


async def _open_first(c: AsyncConnection, relay: Relay, campaign: str) -> None:
    await c.execute(
        update(campaign_rings)
        .where(
            campaign_rings.c.tenant == relay.tenant,
            campaign_rings.c.campaign == campaign,
            campaign_rings.c.ring == 0,
        )
        .values(opened_at=relay.stamp())
    )


async def skip_targets(
    c: AsyncConnection, relay: Relay, *, campaign: str, skipped: Sequence[Skipped], actor: str
) -> Campaign:
    """End planned rows of a later ring that a console signed no order for, as `refused`.

    Raises:
        UsageError: `invalid` for a skipped target that cannot be one.
        FarhandError: `not-found`, `order-wrong-campaign`, `campaign-state` when it has ended.
    """
    by_code = _by_code(skipped)
    await relay.audit.append(
        c,
        actor=actor,
        action="campaign.skip",
        subject=campaign,
        detail={"skipped": {code: len(found) for code, found in by_code.items()}},
    )
    row = await campaign_row(c, relay.tenant, campaign)
    if row["state"] in ("finished", "aborted"):
        raise FarhandError("campaign-state", f"the campaign is {row['state']}")
    for code, ids in by_code.items():
        await _refuse(c, relay, campaign=row["id"], device_ids=ids, code=code, actor=actor)
    return await get_campaign(c, relay.tenant, row["id"])


def _by_code(skipped: Sequence[Skipped]) -> dict[str, list[str]]:
    """Group skipped devices by the code that says why, each device once."""
    grouped: dict[str, list[str]] = {}
    for device, code in {one.device: one.code for one in skipped}.items():
        if not _CODE.fullmatch(code) or not 0 < len(device) <= 128:
            raise UsageError("invalid", "a skipped target is a device and a stable code")
        grouped.setdefault(code, []).append(device)
    if len(grouped) > MAX_SKIP_CODES:
        raise UsageError("invalid", f"there are more than {MAX_SKIP_CODES} codes")
    return {code: sorted(grouped[code]) for code in sorted(grouped)}


async def _refuse(
    c: AsyncConnection,
    relay: Relay,
    *,
    campaign: str,
    device_ids: Sequence[str],
    code: str,
    actor: str,
) -> None:
    """End planned rows as `refused`; what was signed already is left to its device."""
    found = await planned_rows(c, relay.tenant, campaign, device_ids)
    if len(found) != len(device_ids):
        raise FarhandError("order-wrong-campaign", "a skipped device is not in the campaign")
    ids = [row["id"] for row in found.values() if row["state"] == "planned"]
    await advance(
        c,
        tenant=relay.tenant,
        rows=await lock_orders(c, relay.tenant, ids),
        after="refused",
        at=relay.stamp(),
        detail={"by": actor, "code": code},
        changes={"refusal": code, "cause": code},
    )


async def unended_orders(c: AsyncConnection, tenant: str, campaign: str) -> list[str]:
    """Return ids of the orders that an abort has to stop."""
    query = select(orders.c.id).where(
        orders.c.tenant == tenant,
        orders.c.campaign == campaign,
        orders.c.state.in_(("planned", "eligible", "offered", "accepted")),
    )
    return list(await c.scalars(query))
