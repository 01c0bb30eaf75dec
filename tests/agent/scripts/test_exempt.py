"""Orders that carry an unapproved script: what the device asks of a trial and of an emergency."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from farhand_agent.alarms import alarms
from farhand_agent.journal import Journal
from farhand_agent.scripts.check import Plan
from farhand_agent.scripts.exempt_notice import tell_exempt
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import RefusedError
from farhand_protocol.exemptions import MAX_EXEMPT_BODY_BYTES
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import Exemption, Order
from farhand_protocol.trust import Floors, GroupPolicy, Operator
from tests.agent.organisation import now, signer
from tests.agent.scripts.test_check import DEVICE, HOST, Case


class Exempt(Case):
    """A lab device and an order that carries its script; tests change one thing."""

    def __init__(self, kind: Literal["trial", "break-glass"]) -> None:
        super().__init__()
        self.kind = kind
        org = self.organisation
        self.dee, self.eve = signer(), signer()
        for name, key in (("dee", self.dee), ("eve", self.eve)):
            person = Operator(name=name, keys=[key.public_key], permissions=["break-glass"])
            org.roster.operators.append(person)
        self.policy = GroupPolicy(lab=True)
        self.operator = "ada" if kind == "trial" else "dee"
        self.signed_by: list[SeedSigner] = [org.author] if kind == "trial" else [self.dee, self.eve]
        self.manifest_by: list[SeedSigner] = [org.author]
        self.exemption: dict[str, Any] = {}

    def run(self) -> Plan:
        org = self.organisation
        sealed = seal(org.manifest(self.body, **self.fields), *self.manifest_by)
        manifest = org.manifest(self.body, **self.fields)
        values: dict[str, Any] = {
            "kind": self.kind,
            "manifest": encode_envelope(sealed),
            "body": self.body,
            "reason": "the queue is stuck",
        }
        fields: dict[str, Any] = {
            "tenant": org.tenant,
            "id": "o-" + "a" * 20,
            "device": DEVICE,
            "host_name": HOST,
            "group": org.group,
            "script": manifest.id,
            "version": manifest.version,
            "risk": manifest.risk,
            "digest": manifest_digest(sealed),
            "parameters": {},
            "operator": self.operator,
            "ticket": None,
            "campaign": None,
            "ring": None,
            "targets_version": org.version,
            "issued_at": format_instant(now()),
            "not_before": format_instant(now() - timedelta(minutes=1)),
            "expires": format_instant(now() + timedelta(minutes=30)),
            "exemption": Exemption(**values | self.exemption),
        } | self.order_fields
        order = Order(**fields)
        data = encode_envelope(seal(order, *self.signed_by))
        return self.check(data)


@pytest.fixture(params=["trial", "break-glass"])
def case(request: pytest.FixtureRequest) -> Exempt:
    return Exempt(request.param)


def refused(case: Exempt, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        case.run()
    assert caught.value.code == code


def test_an_unapproved_script_runs_by_the_right_signatures(case: Exempt) -> None:
    plan = case.run()
    assert plan.body == b"true\n"
    assert plan.people == (("ada",) if case.kind == "trial" else ("dee", "eve"))


def test_neither_runs_where_policy_says_no(case: Exempt) -> None:
    for policy in (GroupPolicy(lab=True, break_glass=False), GroupPolicy(lab=False)):
        case.policy = policy
        wanted = policy.lab if case.kind == "trial" else policy.break_glass
        if wanted:
            case.run()
        else:
            refused(case, "exemption-refused")


def lives_for_two_hours(case: Exempt) -> None:
    case.order_fields["expires"] = format_instant(now() + timedelta(hours=2))


def says_that_it_was_signed_later(case: Exempt) -> None:
    case.order_fields |= {
        "issued_at": format_instant(now() + timedelta(days=20)),
        "expires": format_instant(now() + timedelta(days=20, minutes=30)),
    }
    case.at = now() + timedelta(days=19)


def belongs_to_a_campaign(case: Exempt) -> None:
    case.order_fields |= {"campaign": "c-1", "ring": 0}


def gives_no_reason(case: Exempt) -> None:
    case.exemption["reason"] = " "


def steers_a_terminal(case: Exempt) -> None:
    case.exemption["reason"] = "\x1b[2J"


def is_too_large(case: Exempt) -> None:
    case.body = b"#" * (MAX_EXEMPT_BODY_BYTES + 1)


def carries_another_body(case: Exempt) -> None:
    case.exemption["body"] = b"evil\n"


def says_a_lower_risk(case: Exempt) -> None:
    case.fields["risk"] = "R3"
    case.order_fields["risk"] = "R0"


def has_no_author_of_ours(case: Exempt) -> None:
    case.manifest_by = [signer()]


def is_revoked(case: Exempt) -> None:
    case.organisation.revoke("script", "check.test")


def is_below_the_floor(case: Exempt) -> None:
    case.organisation.floors = Floors(tenant=case.organisation.tenant, scripts={"check.test": 2})


def changes_under_stale_trust(case: Exempt) -> None:
    case.fields["risk"] = "R1"
    case.trust_fields["timestamp_expires"] = format_instant(now() - timedelta(seconds=1))


def is_of_a_class_that_policy_leaves_out(case: Exempt) -> None:
    case.policy = msgspec.structs.replace(case.policy, risks=["R1"])


def was_here_before(case: Exempt) -> None:
    case.known.add("o-" + "a" * 20)


def is_signed_by_a_stranger(case: Exempt) -> None:
    case.signed_by = [signer(), signer()]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lives_for_two_hours, "exemption-invalid"),
        (says_that_it_was_signed_later, "exemption-invalid"),
        (belongs_to_a_campaign, "exemption-invalid"),
        (gives_no_reason, "exemption-invalid"),
        (steers_a_terminal, "exemption-invalid"),
        (is_too_large, "exemption-invalid"),
        (carries_another_body, "script-changed"),
        (says_a_lower_risk, "script-changed"),
        (is_revoked, "script-revoked"),
        (is_below_the_floor, "script-below-floor"),
        (changes_under_stale_trust, "trust-stale"),
        (is_of_a_class_that_policy_leaves_out, "policy-refused"),
        (was_here_before, "order-replayed"),
        (is_signed_by_a_stranger, "order-signature"),
        (has_no_author_of_ours, "script-author-unknown"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_holds_for_every_order_holds_for_these(
    case: Exempt, spoil: Callable[[Exempt], None], code: str
) -> None:
    spoil(case)
    refused(case, code)


def test_one_person_is_not_two_and_keys_are_not_people() -> None:
    case = Exempt("break-glass")
    case.signed_by = [case.dee]
    refused(case, "exemption-unsigned")
    # A second key of the same person, and one of somebody without the permission, count nothing.
    second = signer()
    case.organisation.roster.operators[-2].keys.append(second.public_key)
    case.signed_by = [case.dee, second, case.organisation.boss]
    refused(case, "exemption-unsigned")
    case.signed_by = [case.dee, second, case.eve]
    assert case.run().people == ("dee", "eve")


def test_the_author_may_be_one_of_the_two_and_never_both() -> None:
    case = Exempt("break-glass")
    ada = case.organisation.roster.operators[0]
    ada.permissions.append("break-glass")
    case.operator, case.signed_by = "ada", [case.organisation.author]
    refused(case, "exemption-unsigned")
    case.signed_by.append(case.eve)
    assert case.run().people == ("ada", "eve")


def test_a_trial_is_the_authors_own() -> None:
    case = Exempt("trial")
    case.operator, case.signed_by = "bo", [case.organisation.boss]
    refused(case, "exemption-unsigned")
    # Nor do two people with every permission make a trial of somebody else's draft.
    case.signed_by = [case.organisation.boss, case.organisation.second]
    refused(case, "exemption-unsigned")
    case = Exempt("trial")
    case.organisation.roster.operators[0].permissions.remove("order")
    refused(case, "exemption-unsigned")


def test_a_revocation_is_refused_with_its_reason() -> None:
    case = Exempt("trial")
    case.organisation.revoke("script", "check.test")
    with pytest.raises(RefusedError, match="the script was revoked: test"):
        case.run()


def test_an_emergency_is_journalled_said_and_stays_in_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path / "journal.db", create=True)
    try:
        tell_exempt(journal, Exempt("trial").run())
        assert alarms(journal) == []
        plan = Exempt("break-glass").run()
        tell_exempt(journal, plan)
        (alarm,) = alarms(journal)
        assert alarm["code"] == "break-glass"
        kinds = [one.kind for one in journal.log_records()]
        assert kinds == ["trial-order", "break-glass-order", "break-glass"]
        said = capsys.readouterr().err
        assert "emergency order of dee and eve: check.test runs without approval" in said
        assert "the queue is stuck" in said
    finally:
        journal.close()
