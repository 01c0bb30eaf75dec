"""Orders for a script that too few people approved: who may sign them, and for how long.

    trial         by the script's author alone, who may order as well; it runs only where signed
                  policy marks the group as `lab`, and nowhere that the device's own policy says no
    break-glass   by two people with the permission `break-glass` (the author may be one of them);
                  it runs where neither policy says no, and device, relay and both logs tell of it

Both carry the script whole (`orders.Exemption`), live for an hour at most, are for one device and
belong to no campaign.  What holds for every order holds for these too: addressee, roster, times,
use once, revocations, floors, platform, parameters, and the risk classes of the policy.  Only the
approvals, and the place among the signed targets, are not asked for.

This module judges signatures and shape.  It knows no policy: the device asks that by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.manifest import Manifest, check_manifest, manifest_digest
from farhand_protocol.orders import CLOCK_DIFFERENCE_S, Exemption, Order
from farhand_protocol.trust import Roster

__all__ = [
    "BREAK_GLASS_PEOPLE",
    "MAX_EXEMPT_BODY_BYTES",
    "MAX_EXEMPT_LIFETIME_S",
    "CarriedScript",
    "carried_script",
    "check_exempt_shape",
    "check_exempt_signers",
    "exempt_signers",
]

MAX_EXEMPT_LIFETIME_S = 3600
# Written twice in base64 it stays well within the largest order that a relay takes.
MAX_EXEMPT_BODY_BYTES = 24 * 1024
MAX_EXEMPT_REASON_CHARS = 200
BREAK_GLASS_PEOPLE = 2


class CarriedScript(NamedTuple):
    """The script inside an exempt order, its manifest read and its body checked against it."""

    sealed: Envelope
    manifest: Manifest
    body: bytes


def exempt_signers(envelope: Envelope, exemption: Exemption, roster: Roster) -> list[str]:
    """Return the names of the people whose valid signatures count for this exemption, sorted.

    People are counted, not keys.
    """
    wanted = "break-glass" if exemption.kind == "break-glass" else "order"
    names = {
        holder.name
        for key in signers(envelope, roster.all_keys())
        if (holder := roster.holder(key)) is not None and wanted in holder.permissions
    }
    return sorted(names)


def check_exempt_signers(order: Order, envelope: Envelope, roster: Roster) -> None:
    """Check that the right people signed an exempt order.

    Args:
        order: with an exemption.
        envelope: the order as it was sealed.
        roster: as whoever checks has verified it.

    Raises:
        FarhandError: as `check_exempt_shape`; `exemption-unsigned` when the people are not the ones
            who may, or too few.
    """
    exemption = check_exempt_shape(order)
    names = exempt_signers(envelope, exemption, roster)
    if exemption.kind == "break-glass":
        if order.operator not in names or len(names) < BREAK_GLASS_PEOPLE:
            raise FarhandError(
                "exemption-unsigned",
                f"{len(names)} of {BREAK_GLASS_PEOPLE} people with `break-glass` signed the order",
            )
        return
    author = open_payload(decode_envelope(exemption.manifest), Manifest).author
    if author != order.operator or order.operator not in names:
        raise FarhandError("exemption-unsigned", "a trial is signed by the script's author")


def check_exempt_shape(order: Order) -> Exemption:
    """Check an exempt order but for its signers and its script, and return its exemption.

    Raises:
        FarhandError: `exemption-invalid` for one that carries none, lives too long, begins before
            it was signed, belongs to a campaign or gives no reason; `time-malformed`.
    """
    exemption = order.exemption
    if exemption is None:
        raise FarhandError("exemption-invalid", "the order carries no script of its own")
    reason = exemption.reason
    if not reason.strip() or len(reason) > MAX_EXEMPT_REASON_CHARS or not reason.isprintable():
        raise FarhandError(
            "exemption-invalid",
            f"a reason has 1 to {MAX_EXEMPT_REASON_CHARS} printable characters",
        )
    if order.campaign is not None or order.ring is not None:
        raise FarhandError("exemption-invalid", "an exempt order belongs to no campaign")
    issued_at = parse_instant(order.issued_at)
    if parse_instant(order.expires) - issued_at > timedelta(seconds=MAX_EXEMPT_LIFETIME_S):
        raise FarhandError("exemption-invalid", "an exempt order lives for an hour at most")
    if issued_at - parse_instant(order.not_before) > timedelta(seconds=CLOCK_DIFFERENCE_S):
        raise FarhandError("exemption-invalid", "the order begins before it was signed")
    return exemption


def carried_script(order: Order, roster: Roster) -> CarriedScript:
    """Return the script that an exempt order carries, signed by its author and as it was ordered.

    Raises:
        FarhandError: `exemption-invalid` for an order without one or a body that is too large;
            `envelope-malformed`, `manifest-invalid`, `script-changed` when the parts do not belong
            together; `script-author-unknown` when the roster does not know the author, or the
            author did not sign.
    """
    exemption = order.exemption
    if exemption is None or len(exemption.body) > MAX_EXEMPT_BODY_BYTES:
        raise FarhandError(
            "exemption-invalid",
            f"an exempt order carries a script of at most {MAX_EXEMPT_BODY_BYTES} bytes",
        )
    sealed = decode_envelope(exemption.manifest)
    manifest = open_payload(sealed, Manifest)
    check_manifest(manifest, exemption.body)
    named = (manifest.tenant, manifest.id, manifest.version, manifest.risk, manifest_digest(sealed))
    if named != (order.tenant, order.script, order.version, order.risk, order.digest):
        raise FarhandError("script-changed", "the order names another script than it carries")
    author = roster.find(manifest.author)
    if author is None or "author" not in author.permissions or not signers(sealed, author.keys):
        raise FarhandError(
            "script-author-unknown", "no author of the roster signed the script in the order"
        )
    return CarriedScript(sealed, manifest, exemption.body)
