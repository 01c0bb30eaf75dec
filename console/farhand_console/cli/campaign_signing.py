"""Orders of a campaign: verified, signed and handed over, ring by ring.

R0 and R1 are signed for all rings at the start, each ring with the earliest time at which it may
begin; the device refuses it before.  They may wait for the rest of the seven days that an order can
live, since nobody knows how long a ring takes.  Of R2 and R3 only the first ring is signed: orders
of the next one do not exist before every ring before has passed its gate by results that its
devices signed and this console verified (`ring_standings`).  What the relay says about a ring
counts only where it holds things up: an order that it calls cancelled is taken as one that could
not be reached.

What is signed is what somebody asked for (`campaign_request`), of the risk that the manifest has.
The frozen set goes into every order by its hash.  The whole of the relay's list is read and hashed
before the first order is signed, and before any gate is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from farhand_console.cli.base import Context
from farhand_console.cli.campaign_request import AHEAD, frozen_rings, order_id, to_sign
from farhand_console.orders import UNSIGNED_STATES, OrderDraft, sign_order, verify_result
from farhand_console.output import warn
from farhand_console.relay import segments
from farhand_console.relay.answers import FilledOrders, OrderView
from farhand_console.relay.campaign_answers import Campaign, CampaignReport, Target
from farhand_console.trust.devices import (
    DeviceCheck,
    VerifiedDevice,
    check_pin,
    pin_all,
    pins,
)
from farhand_protocol.campaigns import Tally, Verdict, judge_gate, splay_of, tally
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import parse_instant
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import FINAL_STATES, MAX_ORDER_LIFETIME_S
from farhand_protocol.terms import Terms

__all__ = [
    "approve_ring",
    "check_gate",
    "device_answer",
    "ring_standings",
    "sign_rings",
    "start_campaign",
]

_BATCH = 500
# The relay takes 8 MiB in one request, of which base64 makes a quarter.
_BATCH_BYTES = 4 * 1024 * 1024
# Codes of single orders, which are also the whole answer where every order has one.
_REFUSED_ONE_BY_ONE = ("order-exists", "order-final")
# What a target and a device answer have in common.
_PROOF = ("key", "name", "group", "host_name", "enrolment", "token_envelope", "confirmation")


def start_campaign(
    context: Context, campaign: str, *, yes: bool = False, agreed: str | None = None
) -> dict[str, Any]:
    """Verify every target, sign its order where its ring may be signed now, and start.

    Page after page: while the relay stores one batch of orders, the next one is verified and
    signed.  A target that cannot be verified is left out with a warning, its order is never signed;
    one that the relay does not take is named too.  A start that was cut short goes on where it was.

    Args:
        context: of the command.
        campaign: its id.
        yes: agree to a campaign of another console without being asked.
        agreed: the hash of what was read; nothing else is signed for.

    Raises:
        FarhandError: `script-changed` when the relay's campaign is not the script it names,
            `no-targets` when no target could be verified.
        RefusedError: `campaign-changed`, `campaign-set-changed`.
    """
    path = segments("campaigns", campaign)
    plan = to_sign(context, campaign, yes=yes, agreed=agreed)
    rings = range(len(plan.plan.rings)) if plan.risk in AHEAD else range(1)
    done = sign_rings(context, plan, set(rings))
    if not done.taken and not done.before:
        raise FarhandError("no-targets", "no device of the campaign can be verified")
    started = context.relay.post(f"{path}/start", Campaign, {"skipped": done.skipped}, wait_s=120)
    return {
        "campaign": campaign,
        "state": started.state,
        "signed": done.taken,
        "signed_before": done.before,
        "skipped": done.skipped,
    }


class SignedRings(NamedTuple):
    """What became of the targets of some rings: signed now, not planned any more, left out."""

    taken: int
    before: int
    skipped: list[dict[str, str]]


def sign_rings(
    context: Context, plan: Campaign, rings: set[int], *, opened: int = 0
) -> SignedRings:
    """Sign for every planned target of these rings that can be verified.

    A ring whose orders would last beyond seven days from now is left for later.

    Args:
        context: of the command.
        plan: from `campaign_request.to_sign`.
        rings: which to sign for.
        opened: the ring that this console knows to be open; later ones wait for the soaks between.

    Raises:
        FarhandError: `script-changed`.
        RefusedError: `campaign-set-changed` when the relay's list is not the frozen set.
    """
    trust = context.trust()
    path = segments("campaigns", plan.campaign)
    envelope = trust.manifest(plan.script, plan.version)
    if manifest_digest(envelope) != plan.digest:
        raise FarhandError("script-changed", "the campaign names another text of the script")
    now = datetime.now(UTC).replace(microsecond=0)
    draft = OrderDraft(trust, envelope, plan.parameters, operator=context.settings.account, now=now)
    terms = _terms(plan)
    begins = _beginnings(plan, now, opened)
    frozen = frozen_rings(context, plan)
    signer = context.signer()
    check = DeviceCheck(trust, context.home)
    handed: list[_Handed] = []
    skipped: list[dict[str, str]] = []
    before = 0
    targets = context.relay.pages(f"{path}/targets", Target, limit=_BATCH)
    with ThreadPoolExecutor(max_workers=1) as pool:
        posting: Future[list[_Handed]] | None = None
        for page in _in_batches(targets):
            for target in page:
                # Read twice, so that 50,000 proofs need not be held; it has to be the same list.
                if frozen.pop(target.device, None) != target.ring:
                    raise RefusedError(
                        "campaign-set-changed", "the relay's list of targets changed meanwhile"
                    )
            mine = [target for target in page if target.ring in rings]
            planned = [target for target in mine if target.state == "planned"]
            before += len(mine) - len(planned)
            due = [target for target in planned if target.ring in begins]
            signed = []
            for target, device in _verified(context, check, due, skipped):
                splay = timedelta(seconds=splay_of(device.id, plan.plan.splay_s))
                begin = begins[target.ring] + splay
                rest = timedelta(seconds=MAX_ORDER_LIFETIME_S) - (begin - now)
                ahead = target.ring > opened
                order, sealed = sign_order(
                    draft,
                    device,
                    signer,
                    now=now,
                    begins=begin,
                    ttl_s=int(rest.total_seconds()) if ahead else plan.ttl_s,
                    campaign=plan.campaign,
                    ring=target.ring,
                    order_id=order_id(plan.campaign, device.id),
                    terms=terms,
                )
                signed.append(_Signed(order, target, sealed))
            if posting is not None:
                handed += posting.result()
            posting = pool.submit(_hand_over, context, path, signed)
        if posting is not None:
            handed += posting.result()
    check.save()
    for one in handed:
        if one.code is not None:
            warn(f"{one.target.name[:80]}: {one.code}: the relay did not take its order")
            skipped.append({"device": one.target.device, "code": one.code})
    return SignedRings(sum(one.code is None for one in handed), before, skipped)


def _terms(plan: Campaign) -> Terms | None:
    if plan.target_set is None:  # a relay that knows neither rings nor terms
        return None
    return msgspec.structs.replace(plan.plan.terms, target_set=plan.target_set)


def _beginnings(plan: Campaign, now: datetime, opened: int) -> dict[int, datetime]:
    """Return when each ring that may be signed now may begin at the earliest."""
    begins: dict[int, datetime] = {}
    soaked_s = 0
    for ring, each in enumerate(plan.plan.rings):
        # A ring that is open by now has its soaks behind it.
        wait_s = soaked_s if ring > opened else 0
        if wait_s + plan.plan.splay_s + plan.ttl_s <= MAX_ORDER_LIFETIME_S:
            begins[ring] = now + timedelta(seconds=wait_s)
        if ring >= opened:
            soaked_s += each.soak_s
    return begins


class Standing(NamedTuple):
    """How a ring stands by its devices' word, and since when."""

    tally: Tally
    settled_at: datetime | None


def ring_standings(context: Context, plan: Campaign) -> list[Standing]:
    """Count what the devices of each ring signed; nothing that the relay says makes it look better.

    A result counts for the order that this campaign has for its device, and for its script only.
    An order that the relay calls final without its device's signature has not finished; one that it
    calls expired, gone or cancelled could not be reached.

    Raises:
        RefusedError: `campaign-set-changed` when the relay's list is not the frozen set.
    """
    rings = frozen_rings(context, plan)
    check = DeviceCheck(context.trust(), context.home)
    devices: dict[str, VerifiedDevice] = {}
    states = dict.fromkeys(rings, "planned")
    for target in context.relay.pages(segments("campaigns", plan.campaign, "targets"), Target):
        try:
            devices[target.device] = check.check(device_answer(target))
        except FarhandError:
            # Nobody signed for it; it is refused below where the console said so.
            continue
    check.save()
    ended: dict[int, datetime] = {}
    for order in context.relay.pages("/orders", OrderView, campaign=plan.campaign, results="true"):
        if order.device not in rings:
            continue
        device = devices.get(order.device)
        if order.result is not None and device is not None:
            try:
                result = verify_result(
                    order.result,
                    tenant=context.settings.tenant,
                    order=order_id(plan.campaign, device.id),
                    device=device.id,
                    device_key=device.key,
                    script=(plan.script, plan.version, plan.digest),
                )
                at = parse_instant(result.ended_at)
            except FarhandError:
                states[order.device] = "running"  # what nobody signed has not happened
                continue
            states[order.device] = result.state
            ring = rings[order.device]
            ended[ring] = max(at, ended.get(ring, at))
        elif order.state in UNSIGNED_STATES:
            states[order.device] = "expired"
        elif order.state == "refused" and device is None:
            states[order.device] = "refused"
        elif order.state in FINAL_STATES:
            states[order.device] = "running"
    counts: list[dict[str, int]] = [{} for _ in plan.plan.rings]
    for name, state in states.items():
        of_ring = counts[rings[name]]
        of_ring[state] = of_ring.get(state, 0) + 1
    return [Standing(tally(one), ended.get(number)) for number, one in enumerate(counts)]


def check_gate(context: Context, plan: Campaign, ring: int) -> Verdict:
    """Tell whether the ring may begin, by what the devices of all rings before it signed.

    All of them, since a ring may be empty, and would open the next one by itself.
    """
    if ring == 0:
        return Verdict(code="open")
    now = datetime.now(UTC)
    before = ring_standings(context, plan)[:ring]
    for each, standing in zip(plan.plan.rings, before, strict=False):
        verdict = judge_gate(each, standing.tally, settled_at=standing.settled_at, at=now)
        if verdict.code != "open":
            return verdict
    return Verdict(code="open")


def approve_ring(
    context: Context,
    campaign: str,
    ring: int,
    *,
    yes: bool = False,
    agreed: str | None = None,
) -> dict[str, Any]:
    """Say that a manual ring may begin, and sign its orders where they wait for that.

    Raises:
        RefusedError: `campaign-gate` when R2 or R3 is asked for and a ring before has not passed
            its gate by its devices' word; `campaign-changed`, `campaign-set-changed`.
        FarhandError: `campaign-state`, `not-found`.
    """
    path = segments("campaigns", campaign)
    plan = to_sign(context, campaign, yes=yes, agreed=agreed)
    if not 0 < ring < len(plan.plan.rings):
        raise FarhandError("not-found", "there is no such ring that waits for anybody")
    by_results = plan.risk not in AHEAD
    if by_results:
        verdict = check_gate(context, plan, ring)
        if verdict.code != "open":
            raise RefusedError(
                "campaign-gate", f"the rings before have not passed their gates: {verdict.code}"
            )
    signed = 0
    if by_results:
        done = sign_rings(context, plan, {ring}, opened=ring)
        signed = done.taken
        if done.skipped:
            context.relay.post(f"{path}/skip", Campaign, {"skipped": done.skipped}, wait_s=60)
    context.relay.post(f"{path}/rings/{ring}/approve", CampaignReport)
    return {"campaign": campaign, "ring": ring, "signed": signed}


def device_answer(target: Target) -> dict[str, object]:
    """Return a target in the words of a device answer."""
    return {name: getattr(target, name) for name in _PROOF} | {"id": target.device}


class _Signed(NamedTuple):
    order: str
    target: Target
    sealed: bytes


class _Handed(NamedTuple):
    """What became of one signed order at the relay: taken, or not for the reason in `code`."""

    target: Target
    code: str | None


def _in_batches(targets: Iterator[Target]) -> Iterator[list[Target]]:
    while page := list(islice(targets, _BATCH)):
        yield page


def _verified(
    context: Context,
    check: DeviceCheck,
    targets: Iterable[Target],
    skipped: list[dict[str, str]],
) -> list[tuple[Target, VerifiedDevice]]:
    """Return the targets that this console can verify, pinned; adds the others to `skipped`."""
    known = pins(context.home)
    found: list[tuple[Target, VerifiedDevice]] = []
    for target in targets:
        try:
            device = check.check(device_answer(target))
            check_pin(known, device.id, device.key)
            found.append((target, device))
        except FarhandError as error:
            warn(f"{target.name[:80]}: {error.code}: {error.message}")
            skipped.append({"device": target.device, "code": error.code})
    pin_all(context.home, {device.id: device.key for _, device in found})
    return found


def _hand_over(context: Context, path: str, signed: Sequence[_Signed]) -> list[_Handed]:
    """Send signed orders to the relay, in requests of bounded size.

    Raises:
        FarhandError: `relay-answer` when the answer leaves an order out; a refusal of the campaign.
    """
    handed: list[_Handed] = []
    first = 0
    while first < len(signed):
        last, size = first, 0
        while last < len(signed) and (last == first or size < _BATCH_BYTES):
            size += len(signed[last].sealed)
            last += 1
        batch = signed[first:last]
        handed += _post(context, path, batch)
        first = last
    return handed


def _post(context: Context, path: str, batch: Sequence[_Signed]) -> list[_Handed]:
    body = {"items": [{"envelope": one.sealed} for one in batch]}
    try:
        answer = context.relay.post(f"{path}/orders", FilledOrders, body, wait_s=120)
    except FarhandError as error:
        if error.code not in _REFUSED_ONE_BY_ONE:
            raise
        # Not one of them was taken; the others may fare better.
        return [_Handed(one.target, error.code) for one in batch]
    told = [item.order for item in answer.items if item.code is None]
    asked = [one.order for one, item in zip(batch, answer.items, strict=False) if not item.code]
    if len(answer.items) != len(batch) or told != asked:
        raise FarhandError("relay-answer", "the relay did not say what became of every order")
    return [_Handed(one.target, item.code) for one, item in zip(batch, answer.items, strict=True)]
