"""Orders: made and signed here, one per device, and their results verified here.

The relay queues and forwards; it sees an order's text but can make none, and a result counts only
with the signature of the device it is about.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec

from farhand_console.scripts import approved, check_not_revoked
from farhand_console.trust.devices import VerifiedDevice
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.keys import Signer
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.orders import (
    FINAL_STATES,
    MAX_ORDER_LIFETIME_S,
    Exemption,
    Order,
    Result,
)
from farhand_protocol.parameters import check_parameters
from farhand_protocol.terms import Terms
from farhand_protocol.trust import Roster

__all__ = [
    "UNSIGNED_STATES",
    "OrderDraft",
    "ordered_by",
    "parse_parameters",
    "sign_order",
    "verify_result",
]

# Ends that the relay may tell of by itself: the device never began.
UNSIGNED_STATES = frozenset({"cancelled", "expired", "gone"})

# A device whose clock is a little behind the console's runs the order at once all the same.
_CLOCK_DIFFERENCE = timedelta(minutes=1)


class OrderDraft:
    """What all orders of one run or campaign share: the approved script and its parameters.

    Args:
        trust: verified metadata.
        envelope: sealed manifest, from the targets.
        parameters: as given; defaults are filled in and the schema checked.
        operator: roster name of the signer.
        exemption: the script itself and why, where it runs without its approvals.

    Raises:
        FarhandError: approvals or parameters do not hold (codes of the protocol modules),
            `script-revoked`, `script-expired`; `script-link` when what `detect` or `verify` names
            cannot be used.
    """

    def __init__(
        self,
        trust: VerifiedTrust,
        envelope: Envelope,
        parameters: dict[str, Any],
        *,
        operator: str,
        now: datetime,
        exemption: Exemption | None = None,
    ) -> None:
        if exemption is None:
            self.manifest = approved(envelope, trust)
        else:
            check_not_revoked(envelope, trust)
            self.manifest = open_payload(envelope, Manifest)
        self.exemption = exemption
        self.digest = manifest_digest(envelope)
        self.parameters = check_parameters(self.manifest.parameters, parameters)
        self.operator = operator
        self.targets_version = trust.targets_version
        if parse_instant(self.manifest.expires) <= now:
            raise RefusedError("script-expired", f"{self.manifest.id} has expired")
        for name in (self.manifest.detect, self.manifest.verify):
            if name is not None:
                _check_link(trust, self.manifest, name, now)


def _check_link(trust: VerifiedTrust, manifest: Manifest, name: str, now: datetime) -> None:
    """Refuse here already what every device would: a link that it could not use."""
    try:
        linked = approved(trust.manifest(name), trust)
    except FarhandError as error:
        raise RefusedError(
            "script-link",
            f"{manifest.id} needs {name}, which cannot be used: {error.message}",
            hint=f"farhand script submit {name}",
        ) from error
    if parse_instant(linked.expires) <= now:
        raise RefusedError("script-link", f"{manifest.id} needs {name}, which has expired")


def sign_order(
    draft: OrderDraft,
    device: VerifiedDevice,
    by: Signer,
    *,
    now: datetime,
    ttl_s: int,
    ticket: str | None = None,
    campaign: str | None = None,
    ring: int | None = None,
    order_id: str | None = None,
    begins: datetime | None = None,
    terms: Terms | None = None,
) -> tuple[str, bytes]:
    """Sign one order and return its id and envelope bytes.

    Args:
        ttl_s: lifetime in seconds from when it begins; it ends within seven days from now.
        begins: not before this; now, unless given.
        terms: of its campaign.
    """
    begins = begins or now
    ends = begins + timedelta(seconds=ttl_s)
    if ttl_s < 1 or (ends - now).total_seconds() > MAX_ORDER_LIFETIME_S:
        raise FarhandError("order-lifetime", "an order lives at most seven days")
    # Clocks differ; an order that lives its whole week has no room for that.
    not_before = max(begins - _CLOCK_DIFFERENCE, ends - timedelta(seconds=MAX_ORDER_LIFETIME_S))
    manifest = draft.manifest
    order = Order(
        tenant=manifest.tenant,
        id=order_id or make_id("o", secrets.token_bytes(16)),
        device=device.id,
        host_name=device.host_name,
        group=device.group,
        script=manifest.id,
        version=manifest.version,
        risk=manifest.risk,
        digest=draft.digest,
        parameters=draft.parameters,
        operator=draft.operator,
        ticket=ticket,
        campaign=campaign,
        ring=ring,
        targets_version=draft.targets_version,
        issued_at=format_instant(now),
        not_before=format_instant(not_before),
        expires=format_instant(ends),
        terms=terms,
        exemption=draft.exemption,
    )
    return order.id, encode_envelope(seal(order, by))


def verify_result(
    data: bytes,
    *,
    tenant: str,
    order: str,
    device: str,
    device_key: bytes,
    script: tuple[str, int, str] | None = None,
) -> Result:
    """Check a device's signature over its result.

    Args:
        script: id, version and digest that it has to be about, where they are known.

    Raises:
        FarhandError: `result-forged` when it is not this device's word about this order.
    """
    try:
        envelope = decode_envelope(data)
        result = open_payload(envelope, Result)
    except FarhandError as error:
        raise FarhandError(
            "result-forged", f"the result of {order} cannot be read", detail=str(error)
        ) from error
    fits = (
        result.order == order
        and result.device == device
        and result.tenant == tenant
        and result.state in FINAL_STATES
        and script in (None, (result.script, result.version, result.digest))
    )
    if not fits or not signers(envelope, [device_key]):
        raise FarhandError(
            "result-forged", f"the result of {order} is not signed by the device it names"
        )
    return result


def ordered_by(data: bytes, roster: Roster) -> tuple[Order, str]:
    """Return an order and the name of the operator who signed it.

    Raises:
        FarhandError: `order-signature` when it is not signed so; codes of `decode_envelope`.
    """
    envelope = decode_envelope(data)
    order = open_payload(envelope, Order)
    operator = roster.find(order.operator)
    if operator is None or not signers(envelope, operator.keys):
        raise FarhandError("order-signature", "the order is not signed by the operator it names")
    return order, operator.name


def parse_parameters(manifest: Manifest, given: dict[str, str]) -> dict[str, Any]:
    """Turn `k=v` words into the types that the manifest's schema names.

    Raises:
        FarhandError: `parameters-invalid`.
    """
    properties = manifest.parameters.get("properties", {})
    values: dict[str, Any] = {}
    for name, text in given.items():
        kind = properties.get(name, {}).get("type", "string")
        try:
            values[name] = text if kind == "string" else msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise FarhandError(
                "parameters-invalid", f"parameter {name[:40]!r} is not of type {kind}"
            ) from error
    return values
