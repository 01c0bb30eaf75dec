"""Whether a grant opens a session on this device.  Pure: facts go in, terms or a code come out.

The checks stand in this fixed order, and the first that fails decides (fail closed):

    grant-malformed          not a sealed grant, or fields out of bounds
    grant-wrong-session      another session than the one the relay set up
    grant-wrong-tenant, grant-wrong-device, grant-wrong-host, grant-wrong-group
    trust-missing, trust-expired, trust-behind, device-revoked         (enrolled devices only)
    grant-operator-unknown   the roster does not name that operator with that key (enrolled only)
    grant-signature          not signed by the key it names, or by others as well
    grant-transcript         not over this pairing, or over one where there is none
    grant-name-mismatch      the relay told another name than the grant does (guest only)
    grant-expired, grant-early
    grant-reused             there was a session of this id before
    grant-not-permitted      the roster does not let the operator open one of the scopes here
    policy-refused           this device allows no such session
    session-hours, session-tier, session-approvals     (without a code: unattended.py)
    scope-empty              nothing is left of what was asked for
    recording-impossible     it must be recorded, and there is no audit key to seal it to

On a guest device the signature only ties grant, transcript and receipt together: the operator's
name is what the relay says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from farhand_agent.policy import SERVED_SCOPES
from farhand_agent.session.recording.plan import RecordingPlan, plan_recording
from farhand_agent.session.unattended import check_unattended
from farhand_agent.trust.verified import Verified
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import MAX_GRANT_MINUTES, Grant
from farhand_protocol.instants import parse_instant
from farhand_protocol.receipts import open_grant
from farhand_protocol.trust import SCOPES, GroupPolicy, may_open

__all__ = [
    "SERVED_SCOPES",
    "Agreed",
    "Facts",
    "check_grant",
    "check_place",
    "check_signer",
    "check_time",
    "read_grant",
]

MAX_CLOCK_DIFFERENCE: Final = timedelta(minutes=5)
MAX_LIFETIME: Final = timedelta(hours=24)
MAX_TEXT_CHARS: Final = 500
MAX_FORWARD: Final = 32


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the device knows by itself.

    `session`, `transcript`, `relay_operator` and `relay_ticket` are None where there was no
    pairing; `was_seen` tells whether the journal knows the session id.  `approvals` came with a
    grant without a code; `local_now` is None for a session that was opened before.
    """

    device: str
    tenant: str
    host_name: str
    group: str
    guest: bool
    trust: Verified | None
    policy: GroupPolicy
    offered: tuple[str, ...]
    offered_minutes: int
    session: str | None
    transcript: bytes | None
    relay_operator: str | None
    now: datetime
    was_seen: bool
    approvals: tuple[bytes, ...] = ()
    local_now: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What a grant comes to on this device, before anybody is asked.

    `approvals` are those of other operators that policy asked for.
    """

    grant: Grant
    scopes: tuple[str, ...]
    minutes: int
    forward_to: frozenset[str]
    recording: RecordingPlan | None = None
    approvals: tuple[Envelope, ...] = ()


def check_grant(data: bytes, facts: Facts) -> Agreed:
    """Check a sealed grant.

    Args:
        data: the envelope's canonical bytes.
        facts: of this device and this pairing.

    Raises:
        FarhandError: the code of the first check that fails.
    """
    grant = read_grant(data)
    check_place(grant, facts)
    if not facts.guest:
        check_signer(grant, facts)
    open_grant(decode_envelope(data))
    if grant.transcript != facts.transcript:
        raise _no("grant-transcript", "the grant was not signed over this pairing")
    if facts.guest and grant.operator != facts.relay_operator:
        raise _no("grant-name-mismatch", "the grant names somebody else than the relay does")
    check_time(grant, facts)
    if facts.was_seen:
        raise _no("grant-reused", "there was a session of this grant before")
    return _agree(grant, data, facts)


def _no(code: str, words: str) -> RefusedError:
    return RefusedError(code, words)


def read_grant(data: bytes) -> Grant:
    """Return what a sealed grant says, its fields within bounds; raises `grant-malformed`."""
    try:
        grant = open_payload(decode_envelope(data), Grant)
        times = [parse_instant(at) for at in (grant.issued_at, grant.not_before, grant.expires)]
    except FarhandError as error:
        raise FarhandError(
            "grant-malformed", "the grant cannot be read", detail=str(error)
        ) from error
    texts = (grant.operator, grant.organisation, grant.ticket, grant.reason)
    sound = (
        1 <= grant.minutes <= MAX_GRANT_MINUTES
        and len(grant.console_key) == 32
        and len(grant.operator_key) == 32
        and all(len(text) <= MAX_TEXT_CHARS for text in texts)
        and grant.operator != ""
        and len(grant.scopes) == len(set(grant.scopes))
        and set(grant.scopes) <= set(SCOPES)
        and len(grant.forward) <= MAX_FORWARD
        and all(len(one) <= MAX_TEXT_CHARS for one in grant.forward)
        and timedelta(0) < times[2] - times[1] <= MAX_LIFETIME
    )
    if not sound:
        raise FarhandError("grant-malformed", "the grant's fields are out of bounds")
    return grant


def check_place(grant: Grant, facts: Facts) -> None:
    """Check that a grant is for this device; raises one of the codes of that line above."""
    if facts.session is not None and grant.id != facts.session:
        raise _no("grant-wrong-session", "the grant is for another session")
    if not facts.guest and grant.tenant != facts.tenant:
        raise _no("grant-wrong-tenant", "the grant is of another organisation")
    if grant.device != facts.device:
        raise _no("grant-wrong-device", "the grant is for another device")
    if grant.host_name != facts.host_name and not (facts.guest and grant.host_name == ""):
        raise _no("grant-wrong-host", "the grant names another host name than this device has")
    if grant.group != facts.group:
        raise _no("grant-wrong-group", "the grant names another group than this device is in")


def check_signer(grant: Grant, facts: Facts) -> None:
    """Check that the roster names operator and key; raises one of the codes of those lines."""
    trust = facts.trust
    if trust is None:
        raise _no("trust-missing", "this device has no verified trust metadata yet")
    if trust.is_expired(facts.now):
        raise _no("trust-expired", "this device's trust metadata has expired")
    if trust.targets_version < grant.targets_version:
        raise _no("trust-behind", "the grant's signer knew newer trust metadata than this device")
    if trust.revokes(facts.device):
        raise _no("device-revoked", "the organisation revoked this device's key")
    operator = trust.roster.find(grant.operator)
    if operator is None or grant.operator_key not in operator.keys:
        raise _no("grant-operator-unknown", "the roster does not name this operator and key")


def check_time(grant: Grant, facts: Facts) -> None:
    """Check that a grant holds now; raises `grant-expired`, `grant-early`."""
    if facts.now >= parse_instant(grant.expires):
        raise _no("grant-expired", "the grant has expired")
    if facts.now < parse_instant(grant.not_before) - MAX_CLOCK_DIFFERENCE:
        raise _no("grant-early", "the grant is not valid yet by this device's clock")


def _agree(grant: Grant, data: bytes, facts: Facts) -> Agreed:
    policy = facts.policy
    roster = facts.trust.roster if facts.trust and not facts.guest else None
    operator = roster.find(grant.operator) if roster else None
    if not facts.guest:
        for scope in grant.scopes:
            if operator is None or not may_open(operator, scope, facts.group):
                raise _no(
                    "grant-not-permitted", f"the roster does not permit {scope!r} on this device"
                )
    by_code = facts.transcript is not None
    if not (policy.attended if by_code else policy.unattended):
        raise _no("policy-refused", "this device allows no such session")
    approvals: tuple[Envelope, ...] = ()
    if not by_code:
        if operator is None or roster is None:
            raise _no("policy-refused", "a device of no organisation opens nothing by grant alone")
        approvals = check_unattended(
            grant, data, policy=policy, operator=operator, roster=roster,
            approvals=facts.approvals, now=facts.now, local_now=facts.local_now,
        )  # fmt: skip
    forward_to = frozenset(one.lower() for one in grant.forward) & frozenset(
        one.lower() for one in policy.forward_to
    )
    scopes = tuple(
        scope
        for scope in SERVED_SCOPES
        if scope in grant.scopes
        and scope in facts.offered
        and scope in policy.scopes
        and (scope != "forward" or forward_to)
    )
    if not scopes:
        raise _no("scope-empty", "nothing of what was asked for is allowed on this device")
    return Agreed(
        grant=grant,
        scopes=scopes,
        minutes=min(grant.minutes, facts.offered_minutes, policy.minutes_max),
        forward_to=forward_to if "forward" in scopes else frozenset(),
        recording=plan_recording(policy, grant, guest=facts.guest),
        approvals=approvals,
    )
