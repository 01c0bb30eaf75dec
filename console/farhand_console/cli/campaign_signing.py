"""Orders of a campaign: verified, signed and handed over, ring by ring.

R0 and R1 are signed for all rings at the start, each ring with the earliest time at which it may
begin; the device refuses it before.  Of R2 and R3 only the first ring is: orders of the next one do
not exist before the ring before has passed its gate by results that its devices signed and this
console verified (`ring_standing`).  What the relay says about a ring counts only where it holds
things up: an order that it calls cancelled is taken as one that could not be reached.

The frozen set goes into every order by its hash.  The console hashes what it read of the relay's
list, and remembers the hash: a set that changes between two rings is not signed for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from farhand_console.cli.base import Context
from farhand_console.home import Home, write_private
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
from farhand_protocol.campaigns import Tally, Verdict, judge_gate, splay_of, tally, target_set
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import parse_instant
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import FINAL_STATES, MAX_ORDER_LIFETIME_S
from farhand_protocol.terms import Terms

__all__ = [
    "approve_ring",
    "check_gate",
    "device_answer",
    "ring_standing",
    "sign_rings",
    "start_campaign",
]

_BATCH = 500
# The relay takes 8 MiB in one request, of which base64 makes a quarter.
_BATCH_BYTES = 4 * 1024 * 1024
# Codes of single orders, which are also the whole answer where every order has one.
_REFUSED_ONE_BY_ONE = ("order-exists", "order-final")
_AHEAD = ("R0", "R1")
# What a target and a device answer have in common.
_PROOF = ("key", "name", "group", "host_name", "enrolment", "token_envelope", "confirmation")


def start_campaign(context: Context, campaign: str) -> dict[str, Any]:
    """Verify every target, sign its order where its ring may be signed now, and start.

    Page after page: while the relay stores one batch of orders, the next one is verified and
    signed.  A target that cannot be verified is left out with a warning, its order is never signed;
    one that the relay does not take is named too.  A start that was cut short goes on where it was.

    Raises:
        FarhandError: `script-changed` when the relay's campaign is not the script it names,
            `no-targets` when no target could be verified.
        RefusedError: `campaign-set-changed`.
    """
    path = segments("campaigns", campaign)
    plan = context.relay.get(path, Campaign)
    rings = range(len(plan.plan.rings)) if plan.risk in _AHEAD else range(1)
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


def sign_rings(context: Context, plan: Campaign, rings: set[int]) -> SignedRings:
    """Sign for every planned target of these rings that can be verified.

    A ring whose orders would last beyond seven days from now is left for later.

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
    begins = _beginnings(plan, now)
    signer = context.signer()
    check = DeviceCheck(trust, context.home)
    handed: list[_Handed] = []
    skipped: list[dict[str, str]] = []
    seen: list[tuple[str, int]] = []
    before = 0
    targets = context.relay.pages(f"{path}/targets", Target, limit=_BATCH)
    with ThreadPoolExecutor(max_workers=1) as pool:
        posting: Future[list[_Handed]] | None = None
        for page in _in_batches(targets):
            seen += [(target.device, target.ring) for target in page]
            mine = [target for target in page if target.ring in rings]
            planned = [target for target in mine if target.state == "planned"]
            before += len(mine) - len(planned)
            due = [target for target in planned if target.ring in begins]
            signed = []
            for target, device in _verified(context, check, due, skipped):
                splay = timedelta(seconds=splay_of(device.id, plan.plan.splay_s))
                order, sealed = sign_order(
                    draft,
                    device,
                    signer,
                    now=now,
                    begins=begins[target.ring] + splay,
                    ttl_s=plan.ttl_s,
                    campaign=plan.campaign,
                    ring=target.ring,
                    order_id=target.order,
                    terms=terms,
                )
                signed.append(_Signed(order, target, sealed))
            if posting is not None:
                handed += posting.result()
            posting = pool.submit(_hand_over, context, path, signed)
        if posting is not None:
            handed += posting.result()
    check.save()
    _check_set(context.home, plan, seen)
    for one in handed:
        if one.code is not None:
            warn(f"{one.target.name[:80]}: {one.code}: the relay did not take its order")
            skipped.append({"device": one.target.device, "code": one.code})
    return SignedRings(sum(one.code is None for one in handed), before, skipped)


def _terms(plan: Campaign) -> Terms | None:
    if plan.target_set is None:  # a relay that knows neither rings nor terms
        return None
    return msgspec.structs.replace(plan.plan.terms, target_set=plan.target_set)


def _beginnings(plan: Campaign, now: datetime) -> dict[int, datetime]:
    """Return when each ring that may be signed now may begin at the earliest."""
    begins: dict[int, datetime] = {}
    soaked_s = 0
    for ring, each in enumerate(plan.plan.rings):
        # A ring that is open by now has its soaks behind it.
        wait_s = soaked_s if ring > plan.open_ring else 0
        if wait_s + plan.plan.splay_s + plan.ttl_s <= MAX_ORDER_LIFETIME_S:
            begins[ring] = now + timedelta(seconds=wait_s)
        if ring >= plan.open_ring:
            soaked_s += each.soak_s
    return begins


def _check_set(home: Home, plan: Campaign, seen: Sequence[tuple[str, int]]) -> None:
    """Demand that the relay's list is what every order says, now as before."""
    if plan.target_set is None:
        return
    file = home.folder / "campaigns" / plan.campaign
    try:
        known = file.read_text().strip()
    except FileNotFoundError:
        known = plan.target_set
    if target_set(seen) != plan.target_set or known != plan.target_set:
        raise RefusedError(
            "campaign-set-changed",
            "the relay's list of targets is not the set that was frozen",
            hint="make the campaign again",
        )
    file.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(file, plan.target_set.encode())


class Standing(NamedTuple):
    """How a ring stands by its devices' word, and since when."""

    tally: Tally
    settled_at: datetime | None


def ring_standing(context: Context, campaign: str, ring: int) -> Standing:
    """Count what the devices of a ring signed; nothing that the relay says makes it look better.

    An order that the relay calls final without its device's signature has not finished; one that it
    calls expired, gone or cancelled could not be reached.
    """
    check = DeviceCheck(context.trust(), context.home)
    devices: dict[str, VerifiedDevice] = {}
    in_ring: dict[str, str] = {}
    path = segments("campaigns", campaign)
    for target in context.relay.pages(f"{path}/targets", Target):
        if target.ring != ring:
            continue
        in_ring[target.device] = "planned"
        try:
            devices[target.device] = check.check(device_answer(target))
        except FarhandError:
            # Nobody signed for it; it is refused below where the console said so.
            continue
    check.save()
    ended: list[datetime] = []
    for order in context.relay.pages("/orders", OrderView, campaign=campaign, results="true"):
        if order.device not in in_ring:
            continue
        device = devices.get(order.device)
        if order.result is not None and device is not None:
            try:
                result = verify_result(
                    order.result,
                    tenant=context.settings.tenant,
                    order=order.order,
                    device=device.id,
                    device_key=device.key,
                )
            except FarhandError:
                in_ring[order.device] = "running"  # what nobody signed has not happened
                continue
            in_ring[order.device] = result.state
            ended.append(parse_instant(result.ended_at))
        elif order.state in UNSIGNED_STATES:
            in_ring[order.device] = "expired"
        elif order.state == "refused" and device is None:
            in_ring[order.device] = "refused"
        elif order.state in FINAL_STATES:
            in_ring[order.device] = "running"
    counts: dict[str, int] = {}
    for state in in_ring.values():
        counts[state] = counts.get(state, 0) + 1
    return Standing(tally(counts), max(ended, default=None))


def check_gate(context: Context, plan: Campaign, ring: int) -> Verdict:
    """Tell whether the ring may begin, by what the devices of the ring before it signed."""
    if ring == 0:
        return Verdict(code="open")
    before = ring_standing(context, plan.campaign, ring - 1)
    return judge_gate(
        plan.plan.rings[ring - 1],
        before.tally,
        settled_at=before.settled_at,
        at=datetime.now(UTC),
    )


def approve_ring(context: Context, campaign: str, ring: int) -> dict[str, Any]:
    """Say that a manual ring may begin, and sign its orders where they wait for that.

    Raises:
        RefusedError: `campaign-gate` when R2 or R3 is asked for and the ring before has not passed
            its gate by its devices' word.
        FarhandError: `campaign-state`, `not-found`.
    """
    path = segments("campaigns", campaign)
    plan = context.relay.get(path, Campaign)
    if not 0 < ring < len(plan.plan.rings):
        raise FarhandError("not-found", "there is no such ring that waits for anybody")
    by_results = plan.risk not in _AHEAD
    if by_results:
        verdict = check_gate(context, plan, ring)
        if verdict.code != "open":
            raise RefusedError(
                "campaign-gate", f"the ring before has not passed its gate: {verdict.code}"
            )
    signed = 0
    if by_results:
        done = sign_rings(context, plan, {ring})
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
