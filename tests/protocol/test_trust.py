from __future__ import annotations

import json
from typing import Any

import pytest

from farhand_protocol.envelopes import Envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.manifest import (
    SHIPPED_AUTHOR,
    approvers,
    check_approved,
    check_manifest,
    manifest_digest,
)
from farhand_protocol.trust import (
    Approval,
    Floors,
    GroupPolicy,
    Operator,
    Policy,
    Revocation,
    Revocations,
    Roster,
    decode_document,
    encode_document,
    is_permission,
    manifest_path,
    may_open,
    script_path,
)
from tests.protocol.samples import TENANT, manifest, operator, policy, roster, signer

PEOPLE = roster(
    operator("alice", "author", "approve:change"),
    operator("bob", "approve:change", keys=["bob", "bob's other key"]),
    operator("carol", "approve:change", "order"),
    operator("dave", "order"),
)


@pytest.mark.parametrize(
    "document",
    [
        PEOPLE,
        policy(),
        Policy(tenant=TENANT, approvals={}, groups={"shop": GroupPolicy(unattended=True)}),
        Revocations(
            tenant=TENANT,
            revoked=[Revocation(kind="script", subject="a", reason="b", at="2026-11-22T08:00:00Z")],
        ),
        Floors(tenant=TENANT, scripts={"check.disk.space": 3}),
    ],
)
def test_documents_come_back_as_they_were(
    document: Roster | Policy | Revocations | Floors,
) -> None:
    assert decode_document(encode_document(document), type(document)) == document


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"tenant":1,"operators":[]}',
        b'{"tenant":"t","operators":[],"more":1}',
        b"[" * 100_000,
        b'{"tenant":"\xff","operators":[]}',
        b" " * (4 * 1024 * 1024 + 1),
    ],
    ids=lambda data: f"{data[:20]!r}",
)
def test_anything_else_is_no_roster(data: bytes) -> None:
    with pytest.raises(FarhandError, match="trust-malformed"):
        decode_document(data, Roster)


@pytest.mark.parametrize(
    "operators",
    [
        [operator("bob"), operator("bob", keys=["x"])],
        [operator("bob"), operator("carol", keys=["bob"])],
        [operator("bob", keys=["bob", "bob"])],
        [operator(SHIPPED_AUTHOR)],
        [operator("")],
        [operator("b\x1b[2Job")],
        [operator("b" * 65)],
        [Operator(name="bob", keys=[b"short"], permissions=[])],
    ],
)
def test_a_roster_that_contradicts_itself_is_refused(operators: list[Operator]) -> None:
    with pytest.raises(FarhandError, match="trust-malformed"):
        decode_document(encode_document(roster(*operators)), Roster)


@pytest.mark.parametrize("count", [0, -1])
def test_a_policy_that_asks_for_no_approval_is_refused(count: int) -> None:
    lax = Policy(
        tenant=TENANT,
        approvals={"R3": Approval(permission="approve:destructive", count=count)},
        groups={},
    )
    with pytest.raises(FarhandError, match="trust-malformed"):
        decode_document(encode_document(lax), Policy)


@pytest.mark.parametrize(
    "rules",
    [
        {"consent_s": 61},
        {"consent_s": 4},
        {"cool_down_s": -1},
        {"file_bytes_max": -1},
        {"tier_min": 0},
        {"approvals": 10},
        {"recording_days": 0},
        {"hours": ["whenever"]},
        {"probe_to": ["printer.example", "-oProxyCommand=x"]},
        {"schedules": ["whenever"]},
    ],
    ids=str,
)
def test_rules_out_of_bounds_are_refused(rules: dict[str, Any]) -> None:
    odd = Policy(tenant=TENANT, approvals={}, groups={"shop": GroupPolicy(**rules)})
    with pytest.raises(FarhandError, match="trust-malformed"):
        decode_document(encode_document(odd), Policy)


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("https://relay-2.example", True),
        ("https://relay-2.example:8443", True),
        ("http://127.0.0.1:8443", True),
        ("http://relay-2.example", False),
        ("https://relay-2.example/path", False),
        ("https://user@relay-2.example", False),
        ("wss://relay-2.example", False),
    ],
)
def test_a_device_may_be_told_only_of_addresses(origin: str, good: bool) -> None:
    rules = Policy(tenant=TENANT, approvals={}, groups={}, relay_origins=[origin])
    if good:
        assert decode_document(encode_document(rules), Policy) == rules
    else:
        with pytest.raises(FarhandError, match="trust-malformed"):
            decode_document(encode_document(rules), Policy)


def test_people_are_found_by_name_and_by_key() -> None:
    assert PEOPLE.find("bob") is PEOPLE.holder(signer("bob's other key").public_key)
    assert PEOPLE.find("eve") is PEOPLE.holder(signer("eve").public_key) is None
    assert len(PEOPLE.all_keys()) == 5


def test_a_group_has_its_rules_or_the_fallback_or_the_defaults() -> None:
    own, other = GroupPolicy(minutes_max=1), GroupPolicy(minutes_max=2)
    rules = Policy(tenant=TENANT, approvals={}, groups={"shop": own, "*": other})
    assert rules.for_group("shop") is own
    assert rules.for_group("office") is other
    assert policy().for_group("office") == GroupPolicy()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("order", True),
        ("approve:destructive", True),
        ("session:view@shop", True),
        ("session:*@*", True),
        ("session:view", False),
        ("session:fly@shop", False),
        ("session:view@Shop", False),
        ("session:view@shop\n", False),
        ("root", False),
    ],
)
def test_permissions(text: str, known: bool) -> None:
    assert is_permission(text) is known


def test_sessions_are_opened_by_scope_and_group() -> None:
    assert may_open(operator("a", "session:view@shop"), "view", "shop")
    assert may_open(operator("a", "session:*@shop"), "files", "shop")
    assert may_open(operator("a", "session:view@*"), "view", "office")
    assert not may_open(operator("a", "session:view@shop"), "view", "office")
    assert not may_open(operator("a", "session:view@shop"), "files", "shop")
    assert not may_open(operator("a", "order"), "view", "shop")


def test_target_paths() -> None:
    assert manifest_path("check.disk.space", 2) == "manifests/check.disk.space/2.json"
    assert script_path("ab") == "scripts/ab"


# Manifests.


def sealed(*names: str, **changes: object) -> Envelope:
    return seal(manifest(**changes), *(signer(name) for name in names))


def test_an_approved_manifest_is_returned() -> None:
    envelope = sealed("alice", "bob", "carol")
    assert check_approved(envelope, PEOPLE, policy()) == manifest()
    assert len(manifest_digest(envelope)) == 64


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["alice", "bob"], "script-not-approved"),
        (["alice", "bob", "bob's other key"], "script-not-approved"),
        (["alice", "bob", "dave"], "script-not-approved"),
        (["alice", "bob", "eve"], "script-not-approved"),
        (["bob", "carol"], "script-author-unknown"),
    ],
)
def test_people_are_counted_not_keys_and_the_author_never(names: list[str], code: str) -> None:
    with pytest.raises(FarhandError, match=code):
        check_approved(sealed(*names), PEOPLE, policy())


@pytest.mark.parametrize("author", ["dave", "eve"])
def test_an_author_stands_in_the_roster_as_one(author: str) -> None:
    with pytest.raises(FarhandError, match="script-author-unknown"):
        check_approved(sealed(author, "bob", "carol", author=author), PEOPLE, policy())


def test_shipped_scripts_need_approvals_but_no_author() -> None:
    check_approved(sealed("bob", "carol", author=SHIPPED_AUTHOR), PEOPLE, policy())
    with pytest.raises(FarhandError, match="script-not-approved"):
        check_approved(sealed("bob", author=SHIPPED_AUTHOR), PEOPLE, policy())


def test_a_risk_without_a_rule_is_never_approved() -> None:
    bare = Policy(tenant=TENANT, approvals={}, groups={})
    with pytest.raises(FarhandError, match="script-not-approved"):
        check_approved(sealed("alice", "bob", "carol"), PEOPLE, bare)


def test_a_key_under_two_names_does_not_make_the_author_an_approver() -> None:
    # Such a roster is refused when it is read; counting holds without that, too.
    people = roster(
        operator("alias", "approve:change", keys=["alice"]), operator("alice", "author")
    )
    assert approvers(sealed("alice"), manifest(), people, "approve:change") == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "Check"),
        ("id", "a..b"),
        ("id", "a/b"),
        ("id", "a\n"),
        ("id", "a" * 101),
        ("version", 0),
        ("version", 2**31),
        ("title", ""),
        ("title", "x" * 201),
        ("description", "x" * 10_001),
        ("sha256", "AB" * 32),
        ("sha256", "ab" * 32 + "\n"),
        ("size_bytes", 0),
        ("size_bytes", 512 * 1024 + 1),
        ("author", ""),
        ("platforms", []),
        ("timeout_s", 0),
        ("timeout_s", 86_401),
        ("max_output_bytes", 1023),
        ("detect", "../roster"),
        ("verify", ""),
        ("created_at", "yesterday"),
        ("expires", "2027-11-22"),
        ("parameters", {"type": "object"}),
    ],
)
def test_a_manifest_keeps_to_its_bounds(field: str, value: object) -> None:
    with pytest.raises(FarhandError, match="manifest-invalid") as caught:
        check_manifest(manifest(**{field: value}))
    assert field in caught.value.message


def test_a_changed_script_is_noticed() -> None:
    check_manifest(manifest(), b"print('hello')\n")
    for body in (b"print('hallo')\n", b"print('hello')\n ", b""):
        with pytest.raises(FarhandError, match="script-changed"):
            check_manifest(manifest(), body)


def test_the_vector_payload_is_plain_json() -> None:
    assert json.loads(seal(manifest()).payload)["verify"] == "check.greeting"
