"""Orders: made and signed here, one per device, and their results verified here.

The relay queues and forwards; it sees an order's text but can make none, and a result counts only
with the signature of the device it is about.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec

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
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.manifest import Manifest, check_approved, manifest_digest
from farhand_protocol.orders import MAX_ORDER_LIFETIME_S, Order, Result
from farhand_protocol.parameters import check_parameters

__all__ = ["OrderDraft", "parse_parameters", "sign_order", "verify_result"]


class OrderDraft:
    """What all orders of one run or campaign share: the approved script and its parameters.

    Args:
        trust: verified metadata.
        envelope: sealed manifest, from the targets.
        parameters: as given; defaults are filled in and the schema checked.
        operator: roster name of the signer.

    Raises:
        FarhandError: approvals or parameters do not hold (codes of the protocol modules),
            `script-revoked`, `script-expired`.
    """

    def __init__(
        self,
        trust: VerifiedTrust,
        envelope: Envelope,
        parameters: dict[str, Any],
        *,
        operator: str,
        now: datetime,
    ) -> None:
        self.manifest = check_approved(envelope, trust.roster, trust.policy)
        self.digest = manifest_digest(envelope)
        self.parameters = check_parameters(self.manifest.parameters, parameters)
        self.operator = operator
        self.targets_version = trust.targets_version
        revoked = {one.subject for one in trust.revocations.revoked if one.kind == "script"}
        if self.digest in revoked or self.manifest.id in revoked:
            raise RefusedError("script-revoked", f"{self.manifest.id} is revoked")
        if self.manifest.expires <= format_instant(now):
            raise RefusedError("script-expired", f"{self.manifest.id} has expired")


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
) -> tuple[str, bytes]:
    """Sign one order and return its id and envelope bytes.

    Args:
        ttl_s: lifetime in seconds, at most seven days.
    """
    if not 1 <= ttl_s <= MAX_ORDER_LIFETIME_S:
        raise FarhandError("order-lifetime", "an order lives at most seven days")
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
        not_before=format_instant(now),
        expires=format_instant(now + timedelta(seconds=ttl_s)),
    )
    return order.id, encode_envelope(seal(order, by))


def verify_result(data: bytes, *, order: str, device: str, device_key: bytes) -> Result:
    """Check a device's signature over its result.

    Raises:
        FarhandError: `result-forged` when it is not this device's word about this order.
    """
    envelope = decode_envelope(data)
    result = open_payload(envelope, Result)
    fits = result.order == order and result.device == device
    if not fits or not signers(envelope, [device_key]):
        raise FarhandError(
            "result-forged", f"the result of {order} is not signed by the device it names"
        )
    return result


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
            raise FarhandError("parameters-invalid", f"parameter {name!r} is not {kind}") from error
    return values
