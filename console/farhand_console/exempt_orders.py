"""Orders for a script that too few people approved: made, handed to a second person, signed again.

What they are and who may sign them says `farhand_protocol.exemptions`.  A trial is one signature,
the author's.  An emergency order passes from the first person to the second as a file, because the
relay must not be able to hold it back or to show another one; the second person's console checks
all of it anew, from its own verified trust, before it shows it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from farhand_console.home import Settings
from farhand_console.orders import OrderDraft, parse_parameters
from farhand_console.scripts import check_not_revoked, make_manifest
from farhand_console.trust.devices import VerifiedDevice
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
)
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.exemptions import (
    MAX_EXEMPT_BODY_BYTES,
    CarriedScript,
    carried_script,
    check_exempt_shape,
    exempt_signers,
)
from farhand_protocol.instants import parse_instant
from farhand_protocol.keys import Signer
from farhand_protocol.manifest import Manifest
from farhand_protocol.orders import CLOCK_DIFFERENCE_S, Exemption, Order
from farhand_protocol.trust import GroupPolicy

__all__ = [
    "HalfSigned",
    "check_addressee",
    "check_group",
    "draft_exempt",
    "read_half_signed",
    "sealed_folder",
]

_MAX_FILE_BYTES = 64 * 1024
# The script's own expiry says nothing where nobody approved it; the order lives for an hour.
_MANIFEST_DAYS = 1


class HalfSigned(NamedTuple):
    """An emergency order that one person signed, checked for the second."""

    envelope: Envelope
    order: Order
    exemption: Exemption
    script: CarriedScript
    signed_by: list[str]


def sealed_folder(
    settings: Settings, table: dict[str, Any], body: bytes, author: Signer, *, now: datetime
) -> Envelope:
    """Return the manifest of a script folder, sealed by its author for a day.

    Raises:
        FarhandError: `manifest-invalid`, `schema-invalid`.
    """
    manifest = make_manifest(
        table,
        body,
        tenant=settings.tenant,
        author=settings.account,
        now=now,
        expires=now + timedelta(days=_MANIFEST_DAYS),
    )
    return seal(manifest, author)


def draft_exempt(
    trust: VerifiedTrust,
    envelope: Envelope,
    body: bytes,
    given: dict[str, str],
    *,
    kind: Literal["trial", "break-glass"],
    reason: str,
    operator: str,
    group: str,
    now: datetime,
) -> OrderDraft:
    """Return the draft of an exempt order, after asking what the device will ask.

    Args:
        trust: verified metadata.
        envelope: the manifest, sealed by its author.
        body: the script.
        given: parameters as they were typed.
        kind: trial or break-glass.
        reason: shown at the device and on the relay.
        operator: roster name of the first signer.
        group: the device's.
        now: for the script's expiry.

    Raises:
        RefusedError: `exemption-refused` where signed policy does not let such an order run there,
            `exemption-unsigned` for whoever may not sign it.
        FarhandError: `exemption-invalid` for a script that is too large; as `OrderDraft`.
    """
    if len(body) > MAX_EXEMPT_BODY_BYTES:
        raise FarhandError(
            "exemption-invalid",
            f"the script is larger than {MAX_EXEMPT_BODY_BYTES} bytes, and must be approved",
        )
    check_group(trust.policy.for_group(group), group, kind)
    person = trust.roster.find(operator)
    wanted = ("break-glass",) if kind == "break-glass" else ("author", "order")
    if person is None or not set(wanted) <= set(person.permissions):
        raise RefusedError(
            "exemption-unsigned", f"the roster does not give you {' and '.join(wanted)}"
        )
    exemption = Exemption(kind=kind, manifest=encode_envelope(envelope), body=body, reason=reason)
    manifest = open_payload(envelope, Manifest)
    parameters = parse_parameters(manifest, given)
    return OrderDraft(trust, envelope, parameters, operator=operator, now=now, exemption=exemption)


def check_group(rules: GroupPolicy, group: str, kind: str) -> None:
    """Refuse early what devices of this group refuse.

    Raises:
        RefusedError: `exemption-refused`.
    """
    if kind == "trial" and not rules.lab:
        raise RefusedError(
            "exemption-refused",
            f"devices of group {group} are no lab devices",
            hint=f"an admin runs: farhand trust policy {group} --lab",
        )
    if kind == "break-glass" and not rules.break_glass:
        raise RefusedError(
            "exemption-refused", f"devices of group {group} allow no emergency order"
        )


def read_half_signed(path: Path, trust: VerifiedTrust, *, now: datetime) -> HalfSigned:
    """Read an emergency order that somebody else signed, and check all of it but its signers.

    Raises:
        FarhandError: `order-malformed` for a file that holds no such order, `order-expired`,
            `script-revoked`, `exemption-unsigned` when nobody who may signed it; as
            `check_exempt_shape` and `carried_script`; `exemption-invalid` for one whose time of
            signing is yet to come.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    try:
        envelope = decode_envelope(data[:_MAX_FILE_BYTES])
        order = open_payload(envelope, Order)
    except FarhandError as error:
        raise FarhandError(
            "order-malformed", f"{path} holds no order", detail=str(error)
        ) from error
    exemption = order.exemption
    if exemption is None or exemption.kind != "break-glass":
        raise FarhandError("order-malformed", f"{path} holds no emergency order")
    if order.tenant != trust.roster.tenant:
        raise FarhandError("order-wrong-tenant", "the order is of another organisation")
    check_exempt_shape(order)
    if now < parse_instant(order.issued_at) - timedelta(seconds=CLOCK_DIFFERENCE_S):
        raise FarhandError(
            "exemption-invalid", "the order says that it was signed at a time yet to come"
        )
    if now >= parse_instant(order.expires):
        raise FarhandError("order-expired", "the order has expired; it lives for an hour at most")
    script = carried_script(order, trust.roster)
    check_not_revoked(script.sealed, trust)
    names = exempt_signers(envelope, exemption, trust.roster)
    if order.operator not in names:
        raise FarhandError("exemption-unsigned", "the order is not signed by whom it names")
    return HalfSigned(envelope, order, exemption, script, names)


def check_addressee(order: Order, device: VerifiedDevice) -> None:
    """Compare what the first person saw of the device with what this console verified.

    Raises:
        FarhandError: `order-wrong-device`.
    """
    seen = (order.device, order.host_name, order.group)
    if seen != (device.id, device.host_name, device.group):
        raise FarhandError(
            "order-wrong-device", "the order names the device otherwise than it is known here"
        )
