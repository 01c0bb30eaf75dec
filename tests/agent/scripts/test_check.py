"""The order check: every refusal, in its order, from an order that would be accepted otherwise."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from farhand_agent.scripts.check import Facts, Plan, check_order
from farhand_agent.trust.verified import TargetEntry, Verified
from farhand_protocol.envelopes import Envelope, decode_envelope, encode_envelope
from farhand_protocol.errors import RefusedError
from farhand_protocol.instants import format_instant
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.trust import Floors, GroupPolicy, manifest_path
from tests.agent.organisation import Organisation, now, signer

DEVICE = "d-aaaaaaaaaaaaaaaaaaaaaaaaaa"
HOST = socket.gethostname()
SCHEMA = {
    "type": "object",
    "properties": {"ttl": {"type": "integer", "minimum": 0, "maximum": 600, "default": 5}},
    "additionalProperties": False,
}


class Case:
    """A device and an order that it would run; tests change one thing."""

    def __init__(self) -> None:
        self.organisation = Organisation()
        self.fields: dict[str, Any] = {}
        self.order_fields: dict[str, Any] = {}
        self.signer: Any = None
        self.by: Any = None
        self.script: Envelope | None = None
        self.trust_fields: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.policy = GroupPolicy()
        self.known: set[str] = set()
        self.at = now()
        self.no_trust = False
        self.body = b"true\n"
        self.change_bytes: Callable[[bytes], bytes] = lambda data: data

    def verified(self) -> Verified:
        org = self.organisation
        values: dict[str, Any] = {
            "format": 1,
            "root_version": 1,
            "targets_version": org.version,
            "snapshot_version": org.version,
            "timestamp_version": org.version,
            "root_expires": format_instant(now() + timedelta(days=300)),
            "targets_expires": format_instant(now() + timedelta(days=30)),
            "snapshot_expires": format_instant(now() + timedelta(days=7)),
            "timestamp_expires": format_instant(now() + timedelta(days=1)),
            "roster": org.roster,
            "policy": org.policy,
            "revocations": org.revocations,
            "floors": org.floors,
            "targets": {
                path: TargetEntry(sha256="", size_bytes=len(body))
                for path, body in org.targets.items()
            },
        }
        return Verified(**values | self.trust_fields)

    def run(self) -> Plan:
        org = self.organisation
        script = self.script or org.add_script(
            self.body, by=self.by, **{"parameters": SCHEMA} | self.fields
        )
        host = self.order_fields.pop("host_name", HOST)
        _, data = org.order(script, DEVICE, host, by=self.signer, **self.order_fields)
        return self.check(data)

    def check(self, data: bytes) -> Plan:
        org = self.organisation
        facts: dict[str, Any] = {
            "tenant": org.tenant,
            "device": DEVICE,
            "host_name": HOST,
            "group": "default",
            "platform": "linux",
            "interpreters": frozenset({"sh", "python"}),
            "is_root": True,
        }
        return check_order(
            self.change_bytes(data),
            trust=None if self.no_trust else self.verified(),
            read_target=org.targets.get,
            facts=Facts(**facts | self.facts),
            policy=self.policy,
            is_known=lambda order: order in self.known,
            now=self.at,
        )


def test_a_good_order_becomes_a_plan() -> None:
    case = Case()
    plan = case.run()
    assert plan.body == b"true\n"
    assert plan.parameters == {"ttl": 5}
    assert plan.order.operator == "bo"


def _text(delta: timedelta) -> str:
    return format_instant(now() + delta)


def order_malformed(case: Case) -> None:
    case.change_bytes = lambda data: data + b" "


def order_id_malformed(case: Case) -> None:
    case.order_fields["id"] = "../../etc/passwd"


def order_wrong_tenant(case: Case) -> None:
    case.facts["tenant"] = "n-other"


def order_wrong_device(case: Case) -> None:
    case.facts["device"] = "d-bbbbbbbbbbbbbbbbbbbbbbbbbb"


def order_wrong_host(case: Case) -> None:
    case.order_fields["host_name"] = "another"


def order_wrong_group(case: Case) -> None:
    case.order_fields["group"] = "kiosks"


def trust_missing(case: Case) -> None:
    case.no_trust = True


def trust_expired(case: Case) -> None:
    case.trust_fields["targets_expires"] = _text(timedelta(seconds=-1))


def root_expired(case: Case) -> None:
    case.trust_fields["root_expires"] = _text(timedelta(seconds=-1))


def trust_behind(case: Case) -> None:
    case.order_fields["targets_version"] = 2


def device_revoked(case: Case) -> None:
    case.organisation.revoke("device", DEVICE)


def order_operator_unknown(case: Case) -> None:
    case.order_fields["operator"] = "mallory"


def order_signature(case: Case) -> None:
    case.signer = signer()


def order_signed_by_another_operator(case: Case) -> None:
    case.signer = case.organisation.second


def order_not_permitted(case: Case) -> None:
    roster = case.organisation.roster
    roster.operators[1].permissions.clear()
    roster.operators[1].permissions.append("author")


def order_replayed(case: Case) -> None:
    case.order_fields["id"] = "o-aaaaaaaaaaaaaaaaaaaa"
    case.known.add("o-aaaaaaaaaaaaaaaaaaaa")


def order_lifetime(case: Case) -> None:
    case.order_fields["expires"] = _text(timedelta(days=8))


def order_backwards(case: Case) -> None:
    case.order_fields |= {"not_before": _text(timedelta(0)), "expires": _text(timedelta(0))}


def order_times_unreadable(case: Case) -> None:
    case.order_fields["issued_at"] = "yesterday"


def order_signed_at_a_time_to_come(case: Case) -> None:
    """Its life is counted from when it says it was signed, so that must be no wish."""
    case.order_fields |= {
        "not_before": _text(timedelta(minutes=-1)),
        "issued_at": _text(timedelta(days=300)),
        "expires": _text(timedelta(days=300)),
    }
    case.at = now() + timedelta(days=29)


def order_early(case: Case) -> None:
    case.order_fields["not_before"] = _text(timedelta(minutes=1))


def order_early_on_a_slow_clock(case: Case) -> None:
    case.at = now() - timedelta(minutes=10)


def order_expired(case: Case) -> None:
    case.at = now() + timedelta(hours=2)


def script_revoked(case: Case) -> None:
    case.organisation.revoke("script", "check.test")


def script_digest_revoked(case: Case) -> None:
    case.script = case.organisation.add_script(case.body)
    case.organisation.revoke("script", manifest_digest(case.script))


def script_unknown(case: Case) -> None:
    case.script = case.organisation.add_script(case.body)
    del case.organisation.targets[manifest_path("check.test", 1)]


def script_body_missing(case: Case) -> None:
    case.script = case.organisation.add_script(case.body)
    for path in [path for path in case.organisation.targets if path.startswith("scripts/")]:
        del case.organisation.targets[path]


def script_changed(case: Case) -> None:
    case.script = case.organisation.add_script(case.body)
    (path,) = (path for path in case.organisation.targets if path.startswith("scripts/"))
    case.organisation.targets[path] = b"rm -rf /\n"


def manifest_replaced(case: Case) -> None:
    case.script = case.organisation.add_script(case.body)
    case.organisation.add_script(b"other\n")


def manifest_of_another_risk(case: Case) -> None:
    case.order_fields["risk"] = "R1"


def manifest_of_another_tenant(case: Case) -> None:
    case.fields["tenant"] = "n-other"


def script_author_unknown(case: Case) -> None:
    case.fields["author"] = "mallory"


def script_author_did_not_sign(case: Case) -> None:
    case.by = (case.organisation.boss, case.organisation.second)


def script_not_approved(case: Case) -> None:
    case.by = (case.organisation.author,)


def script_approved_by_too_few(case: Case) -> None:
    case.by = (case.organisation.author, case.organisation.boss)
    case.fields["risk"] = "R2"


def script_with_a_broken_approval(case: Case) -> None:
    script = case.organisation.add_script(case.body)
    kept = encode_envelope(script).replace(script.signatures[1].keyid.encode(), b"0" * 64)
    case.script = decode_envelope(kept)
    kept_again = decode_envelope(kept.replace(script.signatures[2].keyid.encode(), b"1" * 64))
    case.organisation.targets[manifest_path("check.test", 1)] = encode_envelope(kept_again)


def script_expired(case: Case) -> None:
    case.fields["expires"] = _text(timedelta(seconds=-1))


def script_below_floor(case: Case) -> None:
    org = case.organisation
    org.floors = Floors(tenant=org.tenant, scripts={"check.test": 2})


def trust_stale(case: Case) -> None:
    case.trust_fields["timestamp_expires"] = _text(timedelta(seconds=-1))
    case.fields["risk"] = "R1"


def script_wrong_platform(case: Case) -> None:
    case.fields["platforms"] = ["windows"]


def script_without_interpreter(case: Case) -> None:
    case.fields["interpreter"] = "powershell"


def script_needs_root(case: Case) -> None:
    case.fields["run_as"] = "root"
    case.facts["is_root"] = False


def script_account_unknown(case: Case) -> None:
    case.fields["run_as"] = "user:nobody-of-this-name"


def script_network(case: Case) -> None:
    case.fields["network"] = False
    case.facts["can_cut_network"] = lambda: False


def parameters_invalid(case: Case) -> None:
    case.order_fields["parameters"] = {"ttl": 601}


def parameter_unknown(case: Case) -> None:
    case.order_fields["parameters"] = {"force": True}


def policy_refused(case: Case) -> None:
    case.policy = GroupPolicy(risks=["R1"])


# In the order of the check: of two things wrong, the earlier one is named.
REFUSALS: list[tuple[Callable[[Case], None], str]] = [
    (order_malformed, "order-malformed"),
    (order_id_malformed, "order-malformed"),
    (order_wrong_tenant, "order-wrong-tenant"),
    (order_wrong_device, "order-wrong-device"),
    (order_wrong_host, "order-wrong-host"),
    (order_wrong_group, "order-wrong-group"),
    (trust_missing, "trust-missing"),
    (trust_expired, "trust-expired"),
    (root_expired, "trust-expired"),
    (trust_behind, "trust-behind"),
    (device_revoked, "device-revoked"),
    (order_operator_unknown, "order-operator-unknown"),
    (order_signature, "order-signature"),
    (order_signed_by_another_operator, "order-signature"),
    (order_not_permitted, "order-not-permitted"),
    (order_replayed, "order-replayed"),
    (order_lifetime, "order-lifetime"),
    (order_backwards, "order-lifetime"),
    (order_times_unreadable, "order-lifetime"),
    (order_signed_at_a_time_to_come, "order-lifetime"),
    (order_early, "order-early"),
    (order_early_on_a_slow_clock, "order-early"),
    (order_expired, "order-expired"),
    (script_revoked, "script-revoked"),
    (script_digest_revoked, "script-revoked"),
    (script_unknown, "script-unknown"),
    (script_body_missing, "script-unknown"),
    (script_changed, "script-changed"),
    (manifest_replaced, "script-changed"),
    (manifest_of_another_risk, "script-changed"),
    (manifest_of_another_tenant, "script-changed"),
    (script_author_unknown, "script-author-unknown"),
    (script_author_did_not_sign, "script-author-unknown"),
    (script_not_approved, "script-not-approved"),
    (script_approved_by_too_few, "script-not-approved"),
    (script_with_a_broken_approval, "script-not-approved"),
    (script_expired, "script-expired"),
    (script_below_floor, "script-below-floor"),
    (trust_stale, "trust-stale"),
    (script_wrong_platform, "script-wrong-platform"),
    (script_without_interpreter, "script-wrong-platform"),
    (script_needs_root, "script-needs-root"),
    (script_account_unknown, "script-account-unknown"),
    (script_network, "script-network"),
    (parameters_invalid, "parameters-invalid"),
    (parameter_unknown, "parameters-invalid"),
    (policy_refused, "policy-refused"),
]


@pytest.mark.parametrize(("spoil", "code"), REFUSALS, ids=lambda one: getattr(one, "__name__", ""))
def test_each_refusal_has_its_code(spoil: Callable[[Case], None], code: str) -> None:
    case = Case()
    spoil(case)
    with pytest.raises(RefusedError) as caught:
        case.run()
    assert caught.value.code == code
    assert caught.value.exit_code == 3


def test_an_order_of_a_later_ring_was_signed_long_before_it_begins() -> None:
    case = Case()
    case.order_fields |= {
        "issued_at": _text(timedelta(0)),
        "not_before": _text(timedelta(days=3)),
        "expires": _text(timedelta(days=4)),
    }
    case.at = now() + timedelta(days=3, hours=1)
    assert case.run().body == b"true\n"


CHAIN = [
    order_wrong_device,
    order_wrong_host,
    trust_expired,
    trust_behind,
    order_operator_unknown,
    order_replayed,
    order_expired,
    script_revoked,
    script_expired,
    script_below_floor,
    script_wrong_platform,
    parameters_invalid,
    policy_refused,
]


@pytest.mark.parametrize("earlier", range(len(CHAIN) - 1))
def test_the_earlier_refusal_is_named(earlier: int) -> None:
    case = Case()
    for spoil in CHAIN[earlier:]:
        spoil(case)
    with pytest.raises(RefusedError) as caught:
        case.run()
    assert caught.value.code == dict(REFUSALS)[CHAIN[earlier]]


def test_reading_goes_on_when_only_the_online_part_expired() -> None:
    case = Case()
    case.trust_fields["timestamp_expires"] = _text(timedelta(days=-3))
    case.trust_fields["snapshot_expires"] = _text(timedelta(days=-3))
    assert case.run().manifest.risk == "R0"
