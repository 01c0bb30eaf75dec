"""What policy asks of a session without a person: hours, tier, approvals."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from farhand_agent.session.unattended import MAX_APPROVALS, check_unattended, counted_approvals
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import RefusedError
from farhand_protocol.trust import GroupPolicy, Operator, Roster
from tests.protocol.samples import TENANT, grant, grant_approval, signer

MONDAY_NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 8, 10, tzinfo=UTC)


def _operator(name: str, *permissions: str, tier: int = 1) -> Operator:
    return Operator(
        name=name, keys=[signer(name).public_key], permissions=list(permissions), tier=tier
    )


ROSTER = Roster(
    tenant=TENANT,
    operators=[
        _operator("carol", "session:*@*", "approve:session"),
        _operator("bob", "approve:session"),
        _operator("dave", "approve:session"),
        _operator("eve", "session:*@*"),
    ],
)
GRANT = grant(transcript=None)
SEALED = encode_envelope(seal(GRANT, signer("carol")))


def _approval(name: str = "bob", *, by: str | None = None, **changes: Any) -> bytes:
    fields = {
        "approver": name,
        "approver_key": signer(name).public_key,
        "grant_sha256": hashlib.sha256(SEALED).hexdigest(),
        **changes,
    }
    return encode_envelope(seal(grant_approval(**fields), signer(by or name)))


def _check(policy: GroupPolicy, *approvals: bytes, tier: int = 1, at: Any = MONDAY_NOON) -> int:
    operator = msgspec.structs.replace(ROSTER.operators[0], tier=tier)
    return len(
        check_unattended(
            GRANT, SEALED, policy=policy, operator=operator, roster=ROSTER,
            approvals=approvals, now=NOW, local_now=at,
        )
    )  # fmt: skip


def _refused(policy: GroupPolicy, *approvals: bytes, **given: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        _check(policy, *approvals, **given)
    return caught.value.code


def test_a_policy_that_asks_for_nothing() -> None:
    assert _check(GroupPolicy()) == 0
    assert _check(GroupPolicy(), _approval()) == 0


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (MONDAY_NOON, True),
        (MONDAY_NOON.replace(hour=7, minute=59), False),
        (MONDAY_NOON.replace(hour=8, minute=0), True),
        (MONDAY_NOON.replace(hour=18, minute=0), False),
        (MONDAY_NOON + timedelta(days=5), False),
        (None, True),
    ],
    ids=["noon", "before", "first-minute", "after", "saturday", "opened-before"],
)
def test_hours_are_the_devices_own(at: datetime | None, is_open: bool) -> None:
    policy = GroupPolicy(hours=["mon-fri 08:00-18:00"])
    if is_open:
        assert _check(policy, at=at) == 0
    else:
        assert _refused(policy, at=at) == "session-hours"


def test_a_tier_that_is_too_low() -> None:
    assert _refused(GroupPolicy(tier_min=2)) == "session-tier"
    assert _check(GroupPolicy(tier_min=2), tier=2) == 0


def test_people_count_not_signatures() -> None:
    policy = GroupPolicy(approvals=2)
    assert _refused(policy) == "session-approvals"
    assert _refused(policy, _approval("bob"), _approval("bob")) == "session-approvals"
    assert _check(policy, _approval("bob"), _approval("dave")) == 2


@pytest.mark.parametrize(
    "approval",
    [
        _approval("eve"),
        _approval("carol"),
        _approval("bob", by="eve"),
        _approval("bob", approver_key=signer("dave").public_key, by="dave"),
        _approval("mallory"),
        _approval("bob", grant_sha256="0" * 64),
        _approval("bob", id="s-bbbbbbbbbbbbbbbb"),
        _approval("bob", tenant="t-other"),
        _approval("bob", expires="2026-11-22T08:09:59Z"),
        _approval("bob", expires="tomorrow"),
        encode_envelope(seal(grant_approval(), signer("bob"), signer("eve"))),
        SEALED,
        b"",
        b"\xff{}",
    ],
    ids=[
        "without-the-permission", "the-operator-herself", "signed-by-another", "anothers-key",
        "not-in-the-roster", "another-grant", "another-session", "another-tenant", "expired",
        "no-time", "two-signatures", "no-approval", "nothing", "no-envelope",
    ],
)  # fmt: skip
def test_what_does_not_count(approval: bytes) -> None:
    assert _refused(GroupPolicy(approvals=1), approval) == "session-approvals"


def test_only_so_many_are_looked_at() -> None:
    many = [*[b"{}"] * MAX_APPROVALS, _approval()]
    assert counted_approvals(GRANT, SEALED, roster=ROSTER, approvals=many, now=NOW) == {}
