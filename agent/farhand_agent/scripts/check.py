"""The order check: may this device run this order, now?  A pure function that fails closed.

It runs in the runner's process, on the sealed order as it came, against verified trust alone; the
relay's word counts for nothing.  The questions are asked in one fixed order, and the first that is
answered wrongly gives the code (each has its test):

    order-malformed  order-wrong-tenant  order-wrong-device  order-wrong-host  order-wrong-group
    trust-missing  trust-expired  trust-behind  device-revoked
    order-operator-unknown  order-signature  order-not-permitted
    exemption-invalid  exemption-unsigned
    order-replayed  order-lifetime  order-early  order-expired  terms-malformed  zone-unknown
    script-revoked  script-unknown  script-changed  script-author-unknown  script-not-approved
    script-expired  script-below-floor  trust-stale
    script-wrong-platform  script-needs-root  script-account-unknown  script-network
    parameters-invalid  policy-refused  exemption-refused

`trust-missing` and `trust-behind` are worth one trust update and one retry; `order-early` does not
use the order up.  Every other refusal is final for that order.  What `detect` and `verify` name is
looked at afterwards (`links`).

An order with an exemption (`farhand_protocol.exemptions`) brings its script along: it is asked for
its signers instead of the script's approvals, and for the policy's word about such orders.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from farhand_agent.scripts.accounts import account_of
from farhand_agent.scripts.holding import check_can_hold
from farhand_agent.scripts.network import can_cut_network
from farhand_agent.trust.verified import Verified
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.exemptions import carried_script, check_exempt_signers, exempt_signers
from farhand_protocol.instants import parse_instant
from farhand_protocol.manifest import Manifest, check_approved, check_manifest, manifest_digest
from farhand_protocol.orders import (
    CLOCK_DIFFERENCE_S,
    MAX_ORDER_LIFETIME_S,
    Exemption,
    Order,
)
from farhand_protocol.parameters import check_parameters
from farhand_protocol.trust import GroupPolicy, Revocation, manifest_path, script_path

__all__ = [
    "PARTS",
    "RETRY_AFTER_UPDATE",
    "Facts",
    "Part",
    "Plan",
    "check_device",
    "check_order",
    "read_order",
    "revocation_of",
]

RETRY_AFTER_UPDATE = frozenset({"trust-missing", "trust-behind"})
_MAX_REASON_CHARS = 200
_ORDER_ID = re.compile(r"o-[a-z2-7]{16,26}\Z")

Platform = Literal["linux", "windows", "macos"]
# What one order may run: its own script, and those that look before and after it (`links`).
Part = Literal["body", "detect", "verify"]
PARTS: tuple[Part, ...] = ("body", "detect", "verify")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the device knows about itself.

    `check_account` raises what `accounts.account_of` raises for a `run_as`; `can_cut_network` tells
    whether a body can be kept from every network.
    """

    tenant: str
    device: str
    host_name: str
    group: str
    platform: Platform
    interpreters: frozenset[str]
    is_root: bool
    check_account: Callable[[str], object] = account_of
    can_cut_network: Callable[[], bool] = can_cut_network


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked order: what to run, with what, and which machines it may look at.

    `people` are those whose signatures stood in for the script's approvals; empty for most orders.
    """

    order: Order
    manifest: Manifest
    body: bytes
    parameters: dict[str, Any]
    probe_to: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    part: Part = "body"


def _refuse(code: str, words: str) -> RefusedError:
    return RefusedError(code, words)


def read_order(data: bytes) -> tuple[Envelope, Order]:
    """Read a sealed order without believing it.

    Raises:
        RefusedError: `order-malformed`.
    """
    try:
        envelope = decode_envelope(data)
        order = open_payload(envelope, Order)
    except FarhandError as error:
        raise RefusedError(
            "order-malformed", "this is not a sealed order", detail=str(error)
        ) from error
    if not _ORDER_ID.match(order.id):
        raise _refuse("order-malformed", "the order's id is not an order id")
    return envelope, order


def check_order(
    data: bytes,
    *,
    trust: Verified | None,
    read_target: Callable[[str], bytes | None],
    facts: Facts,
    policy: GroupPolicy,
    is_known: Callable[[str], bool],
    now: datetime,
) -> Plan:
    """Check a sealed order and return what to run.

    Args:
        data: the order's envelope bytes as the relay sent them.
        trust: the verified copy; None when there is none.
        read_target: gives a verified target by TUF path, None when it is not there.
        facts: about this device.
        policy: what the device allows, the stricter of signed and own.
        is_known: whether an order of this id was accepted or refused before.
        now: the later of the clock and the highest time seen.

    Raises:
        RefusedError: with one of the codes above.
    """
    envelope, order = read_order(data)
    _check_addressee(order, facts)
    trust = _check_trust(order, trust, facts, now)
    _check_operator(order, envelope, trust)
    if is_known(order.id):
        raise _refuse("order-replayed", "this device has had this order before")
    _check_time(order, now)
    check_can_hold(order)
    manifest, body = _check_script(order, trust, read_target, now)
    if trust.is_stale(now) and manifest.risk != "R0":
        raise _refuse(
            "trust-stale", "the relay's trust timestamp has expired; only reading is allowed"
        )
    check_device(manifest, facts)
    parameters = _check_parameters(order, manifest)
    if manifest.risk not in policy.risks:
        raise _refuse("policy-refused", f"this device does not allow scripts of {manifest.risk}")
    people: tuple[str, ...] = ()
    if order.exemption is not None:
        _check_exemption_allowed(order.exemption, policy)
        people = tuple(exempt_signers(envelope, order.exemption, trust.roster))
    return Plan(order, manifest, body, parameters, tuple(policy.probe_to), people)


def _check_exemption_allowed(exemption: Exemption, policy: GroupPolicy) -> None:
    if exemption.kind == "trial" and not policy.lab:
        raise _refuse("exemption-refused", "this is no lab device; only approved scripts run here")
    if exemption.kind == "break-glass" and not policy.break_glass:
        raise _refuse("exemption-refused", "this device allows no emergency order")


def _check_addressee(order: Order, facts: Facts) -> None:
    if order.tenant != facts.tenant:
        raise _refuse("order-wrong-tenant", "the order is for another organisation")
    if order.device != facts.device:
        raise _refuse("order-wrong-device", "the order is for another device")
    if order.host_name != facts.host_name:
        raise _refuse("order-wrong-host", "the order names another host name than this device has")
    if order.group != facts.group:
        raise _refuse("order-wrong-group", "the order names another group than this device is in")


def _check_trust(order: Order, trust: Verified | None, facts: Facts, now: datetime) -> Verified:
    if trust is None:
        raise _refuse("trust-missing", "this device has no verified trust metadata")
    if trust.is_expired(now):
        raise _refuse("trust-expired", "the organisation's signed trust metadata has expired")
    if order.targets_version > trust.targets_version:
        raise _refuse("trust-behind", "the signer saw newer trust metadata than this device has")
    if trust.revokes(facts.device):
        raise _refuse("device-revoked", "this device's key was revoked")
    return trust


def _check_operator(order: Order, envelope: Envelope, trust: Verified) -> None:
    operator = trust.roster.find(order.operator)
    if operator is None:
        raise _refuse("order-operator-unknown", "the order names nobody in the roster")
    if not signers(envelope, operator.keys):
        raise _refuse("order-signature", "the order is not signed by the operator it names")
    if order.exemption is None:
        if "order" not in operator.permissions:
            raise _refuse("order-not-permitted", "the operator may not order scripts")
        return
    try:
        check_exempt_signers(order, envelope, trust.roster)
    except FarhandError as error:
        code = error.code if error.code == "exemption-unsigned" else "exemption-invalid"
        raise RefusedError(code, error.message, detail=error.detail) from error


def _check_time(order: Order, now: datetime) -> None:
    try:
        issued_at = parse_instant(order.issued_at)
        not_before, expires = parse_instant(order.not_before), parse_instant(order.expires)
    except (FarhandError, OverflowError) as error:
        raise _refuse("order-lifetime", "the order's times cannot be read") from error
    if not_before >= expires or (expires - issued_at).total_seconds() > MAX_ORDER_LIFETIME_S:
        raise _refuse("order-lifetime", "the order is valid for longer than seven days, or never")
    # What passes here and has begun was signed no later than now, but for the difference of clocks.
    if (issued_at - not_before).total_seconds() > CLOCK_DIFFERENCE_S:
        raise _refuse("order-lifetime", "the order begins before it was signed")
    if now < not_before:
        raise _refuse("order-early", "the order may not run yet")
    if now >= expires:
        raise _refuse("order-expired", "the order has expired")


def revocation_of(order: Order, trust: Verified) -> Revocation | None:
    """Return what revoked an order's script, this version or all of them; None if nothing did."""
    for one in trust.revocations.revoked:
        if one.kind == "script" and one.subject in (order.digest, order.script):
            return one
    return None


def _check_script(
    order: Order, trust: Verified, read_target: Callable[[str], bytes | None], now: datetime
) -> tuple[Manifest, bytes]:
    if (revoked := revocation_of(order, trust)) is not None:
        raise _refuse("script-revoked", f"the script was revoked: {_line(revoked.reason)}")
    if order.exemption is not None:
        manifest, body = _carried(order, trust)
    else:
        manifest, body = _published(order, trust, read_target)
    if now >= _instant(manifest.expires):
        raise _refuse("script-expired", "the script's approval has expired")
    if manifest.version < trust.floors.scripts.get(manifest.id, 0):
        raise _refuse("script-below-floor", "a newer version of the script is required")
    return manifest, body


def _line(reason: str) -> str:
    """Return a reason as one printable line; an admin signed it, but it goes to screens."""
    return "".join(c if c.isprintable() else " " for c in reason[:_MAX_REASON_CHARS])


def _carried(order: Order, trust: Verified) -> tuple[Manifest, bytes]:
    try:
        _, manifest, body = carried_script(order, trust.roster)
    except FarhandError as error:
        known = ("script-author-unknown", "exemption-invalid")
        code = error.code if error.code in known else "script-changed"
        raise RefusedError(code, error.message, detail=error.detail) from error
    return manifest, body


def _published(
    order: Order, trust: Verified, read_target: Callable[[str], bytes | None]
) -> tuple[Manifest, bytes]:
    sealed = _target(read_target, manifest_path(order.script, order.version))
    if sealed is None:
        raise _refuse("script-unknown", "the organisation has not published this script version")
    try:
        envelope = decode_envelope(sealed)
        if manifest_digest(envelope) != order.digest:
            raise _refuse("script-changed", "the published script is not the one that was ordered")
        manifest = open_payload(envelope, Manifest)
        body = _target(read_target, script_path(manifest.sha256))
        if body is None:
            raise _refuse("script-unknown", "the script's body is not among the signed targets")
        check_manifest(manifest, body)
        named = (manifest.tenant, manifest.id, manifest.version, manifest.risk)
        if named != (order.tenant, order.script, order.version, order.risk):
            raise _refuse("script-changed", "the manifest is of another script, version or risk")
        check_approved(envelope, trust.roster, trust.policy)
    except RefusedError:
        raise
    except FarhandError as error:
        known = ("script-author-unknown", "script-not-approved")
        code = error.code if error.code in known else "script-changed"
        raise RefusedError(code, error.message, detail=error.detail) from error
    return manifest, body


def _target(read_target: Callable[[str], bytes | None], path: str) -> bytes | None:
    try:
        return read_target(path)
    except FarhandError as error:
        raise RefusedError("script-changed", error.message, detail=error.detail) from error


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except (FarhandError, OverflowError) as error:
        raise _refuse("script-expired", "the script's expiry cannot be read") from error


def check_device(manifest: Manifest, facts: Facts) -> None:
    """Check that a script is for this device, and that the device can run it as it wants to be run.

    Raises:
        RefusedError: `script-wrong-platform`, `script-needs-root`, `script-account-unknown`,
            `script-network`.
    """
    if facts.platform not in manifest.platforms or manifest.interpreter not in facts.interpreters:
        raise _refuse("script-wrong-platform", "the script is not for this kind of device")
    if manifest.run_as == "root" and not facts.is_root:
        raise _refuse("script-needs-root", "the script needs root, and the agent is not")
    facts.check_account(manifest.run_as)
    if not manifest.network and not facts.can_cut_network():
        raise _refuse("script-network", "the script runs without a network only")


def _check_parameters(order: Order, manifest: Manifest) -> dict[str, Any]:
    try:
        return check_parameters(manifest.parameters, order.parameters)
    except FarhandError as error:
        raise RefusedError("parameters-invalid", error.message, detail=error.detail) from error
