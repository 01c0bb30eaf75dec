"""Checking a receipt, offline and without the relay.

A receipt is a sealed `grants.Receipt` that embeds the sealed grant of its session, what widened it,
and the grants and approvals of others.  Whoever holds one file can tell: which device key signed
it, whether the console that was there countersigned it, which operator key granted the session,
and that all of them speak of the same session.  What it cannot tell is whom the keys belong to: for
that the caller passes the device key that was pinned at enrolment.  Nothing is read from a disk or
a clock here.

Because envelope and payload are read only in their canonical encoding, and because every signature
in the envelope must be one of the two expected ones, no single byte of a receipt can change
without failing.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, TypeVar

from farhand_protocol.audit import parse_head_mark
from farhand_protocol.envelopes import (
    Envelope,
    Statement,
    decode_envelope,
    encode_envelope,
    open_payload,
    signers,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, GrantApproval, Receipt, Widening
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id

__all__ = ["VerifiedReceipt", "open_grant", "verify_receipt"]

S = TypeVar("S", bound=Statement)


class VerifiedReceipt(NamedTuple):
    """A receipt that holds together.

    `one_sided`: only the device signed; the console was gone or refused.  `pinned`: the device key
    is the one that the caller knew before.
    """

    receipt: Receipt
    one_sided: bool
    pinned: bool


def open_grant(envelope: Envelope) -> Grant:
    """Read a sealed grant and check that the key it names, and no other, signed it.

    Whether that key belongs to an operator is for the caller to decide.

    Raises:
        FarhandError: `envelope-malformed`; `grant-signature` when that key did not sign, or when
            the envelope carries other signatures.
    """
    grant = open_payload(envelope, Grant)
    if len(envelope.signatures) != 1 or not signers(envelope, [grant.operator_key]):
        raise FarhandError("grant-signature", "the key that the grant names did not sign it")
    return grant


def verify_receipt(data: bytes, device_key: bytes | None = None) -> VerifiedReceipt:
    """Check everything that one receipt can show by itself.

    Args:
        data: the stored bytes, one canonical envelope.
        device_key: the device's raw public key, where it is known from elsewhere.

    Returns:
        VerifiedReceipt: the receipt, and who vouches for it.

    Raises:
        FarhandError: `receipt-malformed` when it cannot be read; `receipt-device-key` when it is
            not by that device key; `receipt-signature` when a signature is missing, wrong or
            foreign; `receipt-inconsistent` when receipt and grant speak of different things.
    """
    try:
        envelope = decode_envelope(data)
        receipt = open_payload(envelope, Receipt)
    except FarhandError as error:
        raise FarhandError(
            "receipt-malformed", "this is not a receipt", detail=str(error)
        ) from error
    if device_key is not None and receipt.device_key != device_key:
        raise FarhandError(
            "receipt-device-key",
            "the receipt is by another device key than the one known for this device",
        )
    if len(receipt.device_key) != PUBLIC_KEY_BYTES or device_id(receipt.device_key) != (
        receipt.device
    ):
        raise FarhandError("receipt-inconsistent", "the device key does not give the device id")
    try:
        grant = open_grant(receipt.grant)
    except FarhandError as error:
        raise FarhandError(
            "receipt-signature", "the grant inside is not signed by the key it names"
        ) from error
    consoles = [grant.console_key, *_check_others(receipt, grant)]
    by = signers(envelope, [receipt.device_key, *consoles])
    if receipt.device_key not in by or not len(by) == len(envelope.signatures) <= 2:
        raise FarhandError("receipt-signature", "a signature is missing, wrong or of a stranger")
    _check_consistent(receipt, grant, _opened_later(receipt, grant))
    _check_head(receipt)
    return VerifiedReceipt(receipt, len(by) < 2, device_key is not None)


def _inside(envelope: Envelope, kind: type[S]) -> S:
    """Read a statement that the receipt embeds."""
    try:
        return open_payload(envelope, kind)
    except FarhandError as error:
        raise FarhandError(
            "receipt-malformed", "what the receipt embeds cannot be read", detail=str(error)
        ) from error


def _opened_later(receipt: Receipt, grant: Grant) -> set[str]:
    """Return what the widenings inside added; each must be under a grant inside, by its key.

    The session's operator widens it, and a peer to whom it was handed over.
    """
    keys = {hashlib.sha256(encode_envelope(receipt.grant)).hexdigest(): grant.operator_key}
    for envelope in receipt.joined:
        other = open_grant(envelope)
        if other.mode == "peer":
            keys[hashlib.sha256(encode_envelope(envelope)).hexdigest()] = other.operator_key
    added: set[str] = set()
    for envelope in receipt.widened:
        widening = _inside(envelope, Widening)
        key = keys.get(widening.grant_sha256, grant.operator_key)
        if len(envelope.signatures) != 1 or not signers(envelope, [key]):
            raise FarhandError(
                "receipt-signature", "a widening inside is not signed by the grant's key"
            )
        if widening.session != grant.id or widening.grant_sha256 not in keys:
            raise FarhandError("receipt-inconsistent", "a widening inside is of another session")
        added |= set(widening.scopes)
    return added


def _check_others(receipt: Receipt, grant: Grant) -> list[bytes]:
    """Check that approvals and grants of those who joined are of this session and sealed.

    Returns:
        The console keys of peers: one to whom a session was handed over closes it.
    """
    peers = []
    digest = hashlib.sha256(encode_envelope(receipt.grant)).hexdigest()
    for envelope in receipt.approvals:
        approval = _inside(envelope, GrantApproval)
        if len(envelope.signatures) != 1 or not signers(envelope, [approval.approver_key]):
            raise FarhandError("receipt-signature", "an approval inside is not signed by its key")
        if approval.id != grant.id or approval.grant_sha256 != digest:
            raise FarhandError("receipt-inconsistent", "an approval inside is of another grant")
    for envelope in receipt.joined:
        try:
            other = open_grant(envelope)
        except FarhandError as error:
            raise FarhandError(
                "receipt-signature", "a grant of somebody who joined is not signed by its key"
            ) from error
        if other.joins != grant.id or other.device != grant.device:
            raise FarhandError(
                "receipt-inconsistent", "somebody who joined has a grant of another session"
            )
        if other.console_key == receipt.device_key:
            raise FarhandError("receipt-inconsistent", "a console has the device's key")
        if other.mode == "peer":
            peers.append(other.console_key)
    return peers


def _check_head(receipt: Receipt) -> None:
    if not receipt.audit_head:
        return
    try:
        parse_head_mark(receipt.audit_head)
    except FarhandError as error:
        raise FarhandError(
            "receipt-inconsistent", "the head of the device's log inside cannot be read"
        ) from error


def _check_consistent(receipt: Receipt, grant: Grant, added: set[str]) -> None:
    same = {
        "tenant": receipt.tenant == grant.tenant,
        "session": receipt.session == grant.id,
        "device": receipt.device == grant.device,
        "operator": receipt.operator == grant.operator,
        "organisation": receipt.organisation == grant.organisation,
        "ticket": receipt.ticket == grant.ticket,
        "scopes": set(receipt.scopes) <= {*grant.scopes, *added},
        "keys": receipt.device_key != grant.console_key,
    }
    for field, agrees in same.items():
        if not agrees:
            raise FarhandError(
                "receipt-inconsistent", f"receipt and grant name a different {field}"
            )
