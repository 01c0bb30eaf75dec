"""What policy asks of a session without a person, beyond the grant itself.

In this order, and the first that fails decides:

    session-hours       outside the hours that policy allows, by this device's own clock and zone
    session-tier        the operator's tier is too low
    session-approvals   too few other operators signed this very grant

An approval is a `GrantApproval`, sealed by an operator of the roster who may `approve:session`, is
not the grant's operator and has not been counted yet: people count, not keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from farhand_agent.config import Home, read_limited
from farhand_protocol.envelopes import (
    MAX_ENVELOPE_BYTES,
    Envelope,
    decode_envelope,
    open_payload,
    signers,
)
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Grant, GrantApproval
from farhand_protocol.hours import is_within
from farhand_protocol.instants import parse_instant
from farhand_protocol.trust import GroupPolicy, Operator, Roster

__all__ = ["MAX_APPROVALS", "check_unattended", "counted_approvals", "local_now", "read_approvals"]

MAX_APPROVALS: Final = 8
_PERMISSION: Final = "approve:session"


def local_now() -> datetime:
    """Return the time by this device's own clock and zone."""
    return datetime.now(UTC).astimezone()


def read_approvals(home: Home, session: str | None) -> tuple[bytes, ...]:
    """Return what other operators sealed for a session's grant, where anybody did."""
    if session is None:
        return ()
    try:
        data = read_limited(home.session_approvals(session), MAX_APPROVALS * MAX_ENVELOPE_BYTES)
    except OSError:
        return ()
    return tuple(data.splitlines())


def check_unattended(
    grant: Grant,
    data: bytes,
    *,
    policy: GroupPolicy,
    operator: Operator,
    roster: Roster,
    approvals: Sequence[bytes],
    now: datetime,
    local_now: datetime | None,
) -> tuple[Envelope, ...]:
    """Check what policy asks.

    Args:
        grant: checked already.
        data: its sealed bytes.
        policy: of this device.
        operator: of the grant, as the roster has her.
        roster: verified.
        approvals: sealed, as they came.
        now: aware.
        local_now: the device's local time; None where the session opened in its hours already.

    Returns:
        The approvals that counted; none where policy asks for none.

    Raises:
        RefusedError: the code of the first check that fails.
    """
    if local_now is not None and not is_within(
        policy.hours, local_now.weekday(), local_now.hour * 60 + local_now.minute
    ):
        raise RefusedError(
            "session-hours",
            "this device lets nobody in by grant alone at this hour",
            hint="its hours: " + "; ".join(policy.hours),
        )
    if operator.tier < policy.tier_min:
        raise RefusedError("session-tier", f"this device asks for tier {policy.tier_min} or above")
    if not policy.approvals:
        return ()
    counted = counted_approvals(grant, data, roster=roster, approvals=approvals, now=now)
    if len(counted) < policy.approvals:
        raise RefusedError(
            "session-approvals",
            f"this device asks for {policy.approvals} approvals, and {len(counted)} count",
        )
    return tuple(counted.values())


def counted_approvals(
    grant: Grant, data: bytes, *, roster: Roster, approvals: Sequence[bytes], now: datetime
) -> dict[str, Envelope]:
    """Return the approvals of this grant that count, by approver; others are left out."""
    digest = hashlib.sha256(data).hexdigest()
    counted: dict[str, Envelope] = {}
    for sealed in approvals[:MAX_APPROVALS]:
        try:
            envelope = decode_envelope(sealed)
            approval = open_payload(envelope, GrantApproval)
            expires = parse_instant(approval.expires)
        except FarhandError:
            continue  # what cannot be read approves nothing
        operator = roster.find(approval.approver)
        is_good = (
            operator is not None
            and approval.approver_key in operator.keys
            and _PERMISSION in operator.permissions
            and operator.name != grant.operator
            and approval.tenant == grant.tenant
            and approval.id == grant.id
            and approval.grant_sha256 == digest
            and now < expires
            and len(envelope.signatures) == 1
            and signers(envelope, [approval.approver_key]) != set()
        )
        if is_good:
            counted[approval.approver] = envelope
    return counted
