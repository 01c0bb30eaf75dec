"""What somebody asked for is what is signed, whatever a relay makes of the campaign afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from farhand_console.cli import campaign_watch
from farhand_console.cli.campaign import again, create_campaign
from farhand_console.cli.campaign_report import audit_document, to_html
from farhand_console.cli.campaign_request import asked_for, order_id, show_request
from farhand_console.cli.campaign_signing import approve_ring, check_gate, start_campaign
from farhand_console.home import Home
from farhand_console.orders import OrderDraft, sign_order
from farhand_protocol.campaigns import CampaignPlan, RingPlan, target_set
from farhand_protocol.deprecations import Deprecations
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.orders import MAX_ORDER_LIFETIME_S
from farhand_protocol.terms import Terms
from tests.console.organisation import TENANT, Organisation
from tests.console.test_campaign import CAMPAIGN, Open, result_of
from tests.console.test_campaign_gates import RINGS, RingedFleet, console

__all__ = ["console"]


def refused(code: str, function: Any, *words: Any, **more: Any) -> None:
    with pytest.raises(FarhandError) as caught:
        function(*words, **more)
    assert caught.value.code == code


LIES: list[dict[str, Any]] = [
    {"script": "check.other"},
    {"version": 2},
    {"digest": "0" * 64},
    {"parameters": {"count": 4, "mode": "fast"}},
    {"ttl_s": 7200},
    {"risk": "R0"},
    {"campaign": "c-bbbbbbbbbbbbbbbb"},
    {"campaign": "/tmp/elsewhere"},
    {"plan": CampaignPlan(rings=RINGS, terms=Terms(reboot="prompt"))},
    {"plan": CampaignPlan(rings=[msgspec.structs.replace(RINGS[0], success_percent=0), RINGS[1]])},
    {"plan": CampaignPlan(rings=[RINGS[1]])},
]


@pytest.mark.parametrize("lie", LIES)
def test_a_campaign_that_changed_is_not_signed_for(
    console: Open, organisation: Organisation, lie: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = RingedFleet(organisation)
    fleet.open_ring, fleet.counts = 1, [{"succeeded": 2}, {"planned": 2}]
    fleet.went_well(0, 1)
    context = console(fleet)
    told = msgspec.structs.replace(fleet.plan(), **lie)
    monkeypatch.setattr(fleet, "plan", lambda: told)
    refused("campaign-changed", start_campaign, context, CAMPAIGN)
    refused("campaign-changed", approve_ring, context, CAMPAIGN, 1)
    refused("campaign-changed", campaign_watch.follow, context, CAMPAIGN)
    assert fleet.posts == []


def test_a_manual_ring_does_not_become_another_one(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation, rings=[RINGS[0], RingPlan(name="rest", approval="manual")])
    fleet.open_ring, fleet.counts = 1, [{"succeeded": 2}, {"planned": 2}]
    fleet.went_well(0, 1)
    context = console(fleet)
    fleet.campaign_plan = CampaignPlan(rings=RINGS)
    refused("campaign-changed", campaign_watch.follow, context, CAMPAIGN)


def test_a_campaign_of_another_console_is_shown_and_agreed_to(
    console: Open, organisation: Organisation, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = RingedFleet(organisation)
    context = console(fleet)
    (home.folder / "campaigns" / f"{CAMPAIGN}.json").unlink()
    refused("usage", start_campaign, context, CAMPAIGN)
    words = capsys.readouterr().err
    for shown in ("check.test version 1, R2", '"count":3', "canary", fleet.frozen):
        assert shown in words
    assert fleet.posts == []
    assert start_campaign(context, CAMPAIGN, yes=True)["signed"] == 2
    assert start_campaign(context, CAMPAIGN)["signed"] == 2, "it is remembered"
    refused("usage", asked_for, context, "../../config")
    (home.folder / "campaigns" / f"{CAMPAIGN}.json").write_bytes(b"{")
    refused("home-unreadable", start_campaign, context, CAMPAIGN)


def test_what_was_read_of_another_consoles_campaign_is_what_is_signed(
    console: Open, organisation: Organisation, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = RingedFleet(organisation)
    context, honest = console(fleet), fleet.plan()
    kept = home.folder / "campaigns" / f"{CAMPAIGN}.json"
    kept.unlink()
    read = show_request(context, CAMPAIGN)
    said = dict(read["shown"])
    assert len(said) == len(read["shown"]), "each line has a name of its own"
    assert said["script"] == "check.test version 1, R2"
    assert said["devices"] == f"4, set {fleet.frozen}"
    assert "reboot " in said["terms"]
    assert 'name "canary", ' in said["ring 0"]
    assert "success_percent 100" in said["ring 0"]
    assert not kept.exists(), "to look is not to agree"
    seen = {"agreed": read["sha256"]}
    lies = [lie for lie in LIES if "risk" not in lie] + [{"target_set": None}, {"target_set": "0"}]
    for lie in lies:
        told = msgspec.structs.replace(honest, **lie)
        monkeypatch.setattr(fleet, "plan", lambda told=told: told)
        for act in ((start_campaign,), (approve_ring, 1), (campaign_watch.follow,)):
            with pytest.raises(FarhandError) as caught:
                act[0](context, CAMPAIGN, *act[1:], **seen)
            assert caught.value.code in ("campaign-changed", "campaign-set-changed"), lie
        assert not kept.exists()
    assert fleet.posts == []
    monkeypatch.setattr(fleet, "plan", lambda: honest)
    assert start_campaign(context, CAMPAIGN, **seen)["signed"] == 2
    assert show_request(context, CAMPAIGN)["made_here"] is True
    refused("campaign-changed", start_campaign, context, CAMPAIGN, agreed="0" * 64)


class Making(RingedFleet):
    """A relay that makes the campaign that it is asked for."""

    def post(self, path: str, _kind: Any, body: Any = None, **_wait: Any) -> Any:
        if path == "/campaigns":
            return self.plan()
        return super().post(path, _kind, body, **_wait)


def test_who_repeats_what_nobody_read_has_agreed_to_nothing(
    console: Open, organisation: Organisation, home: Home
) -> None:
    fleet = Making(organisation)
    context = console(fleet)
    organisation.trust.deprecations = Deprecations(tenant=TENANT, deprecated=[])
    kept = home.folder / "campaigns" / f"{CAMPAIGN}.json"
    again(context, asked_for(context, CAMPAIGN, unread=True), use="retry")
    assert start_campaign(context, CAMPAIGN)["signed"] == 2, "asked for on this console"
    fleet.posts.clear()
    kept.unlink()
    again(context, asked_for(context, CAMPAIGN, unread=True), use="retry")
    assert not kept.exists()
    refused("usage", start_campaign, context, CAMPAIGN)
    assert all(path != f"/campaigns/{CAMPAIGN}/start" for path, _ in fleet.posts)


def test_what_is_remembered_is_what_was_typed(
    console: Open, organisation: Organisation, home: Home
) -> None:
    fleet = Making(organisation)
    context = console(fleet)
    (home.folder / "campaigns" / f"{CAMPAIGN}.json").unlink()
    organisation.trust.deprecations = Deprecations(tenant=TENANT, deprecated=[])
    given: dict[str, Any] = {
        "name": None,
        "pairs": ("count=3", "mode=fast"),
        "version": 1,
        "ttl_s": 3600,
    }

    def make(rings: list[RingPlan] = RINGS, **more: Any) -> None:
        plan = CampaignPlan(rings=rings, **more)
        create_campaign(context, "check.test", "*", plan=plan, **given)

    make()
    assert start_campaign(context, CAMPAIGN)["signed"] == 2
    make([RingPlan(name="canary", count=1), RINGS[1]])
    refused("campaign-changed", start_campaign, context, CAMPAIGN)
    for zero in ("success_percent", "finished_percent"):
        refused("plan-malformed", make, [msgspec.structs.replace(RINGS[0], **{zero: 0}), RINGS[1]])
    refused("terms-malformed", make, terms=Terms(defer_days=1))


def test_the_set_is_checked_before_anything_is_handed_over(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    start_campaign(console(fleet), CAMPAIGN)
    posted = len(fleet.posted)
    fleet.targets = [msgspec.structs.replace(one, ring=0) for one in fleet.targets]
    refused("campaign-set-changed", start_campaign, console(fleet), CAMPAIGN)
    fleet.frozen = target_set((one.device, one.ring) for one in fleet.targets)
    refused("campaign-set-changed", start_campaign, console(fleet), CAMPAIGN)
    assert len(fleet.posted) == posted


def test_a_count_takes_the_devices_that_it_takes_everywhere(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    for rings in ((1, 1, 0, 0), (0, 0, 0, 1), (0, 1, 1, 1), (0, 0, 1, 2)):
        fleet.targets = [
            msgspec.structs.replace(one, ring=ring)
            for one, ring in zip(fleet.targets, rings, strict=True)
        ]
        fleet.frozen = target_set((one.device, one.ring) for one in fleet.targets)
        context = console(fleet)
        kept = context.home.folder / "campaigns" / f"{CAMPAIGN}.json"
        kept.unlink()
        refused("campaign-set-changed", start_campaign, context, CAMPAIGN, yes=True)
        assert fleet.posted == []


def test_devices_that_are_left_out_open_no_gate(console: Open, organisation: Organisation) -> None:
    fleet = RingedFleet(organisation)
    context, plan = console(fleet), fleet.plan()
    fleet.went_well(0)
    everybody = fleet.targets
    for left in (everybody[2:], [everybody[0], *everybody[2:]]):
        fleet.targets = left
        refused("campaign-set-changed", check_gate, context, plan, 1)


def test_an_empty_ring_opens_nothing_by_itself(console: Open, organisation: Organisation) -> None:
    rings = [RINGS[0], RingPlan(name="berlin", tag="berlin"), RingPlan(name="rest")]
    fleet = RingedFleet(organisation, rings=rings)
    fleet.targets = [msgspec.structs.replace(one, ring=one.ring * 2) for one in fleet.targets]
    fleet.frozen = target_set((one.device, one.ring) for one in fleet.targets)
    fleet.went_well(0)
    assert check_gate(console(fleet), fleet.plan(), 2).code == "unfinished"
    fleet.went_well(0, 1)
    assert check_gate(console(fleet), fleet.plan(), 2).code == "open"


@pytest.mark.parametrize(
    "changes",
    [{"order": "o-" + "b" * 16}, {"script": "check.other"}, {"version": 2}, {"digest": "0" * 64}],
)
def test_results_of_other_orders_open_no_gate(
    console: Open, organisation: Organisation, changes: dict[str, Any]
) -> None:
    fleet = RingedFleet(organisation)
    fleet.went_well(0, 1)
    fleet.orders[1] = result_of(fleet, 1, **changes)
    assert check_gate(console(fleet), fleet.plan(), 1).code == "unfinished"
    assert check_gate(console(fleet), fleet.plan(), 0).code == "open"


def test_rings_ahead_have_the_rest_of_the_week(console: Open, organisation: Organisation) -> None:
    rings = [RingPlan(name="canary", count=2, soak_s=3600), RingPlan(name="rest")]
    fleet = RingedFleet(organisation, "R0", rings=rings)
    fleet.open_ring = 1  # nothing that the relay says lets a ring begin sooner
    start_campaign(console(fleet), CAMPAIGN)
    week = timedelta(seconds=MAX_ORDER_LIFETIME_S)
    for order in (one for batch in fleet.posted for one in batch):
        begins, ends = parse_instant(order.not_before), parse_instant(order.expires)
        issued = parse_instant(order.issued_at)
        assert ends - issued == (week if order.ring else timedelta(hours=1))
        assert begins - issued == timedelta(seconds=3600 * (order.ring or 0) - 60)


def test_who_does_not_stay_is_told_why_it_stands_still(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    fleet.state = "paused"
    refused("campaign-paused", campaign_watch.follow, console(fleet), CAMPAIGN, stay=False)
    campaign_watch.follow(console(fleet), CAMPAIGN)


def sealed_order(organisation: Organisation, fleet: RingedFleet, **changes: Any) -> bytes:
    """Seal the order of the first device, as its operator does."""
    now = parse_instant("2026-11-22T12:00:00Z")
    draft = OrderDraft(
        organisation.trust,
        fleet.manifest,
        {"count": 3, "mode": "fast"},
        operator="tess",
        now=now,
    )
    target = fleet.targets[0]
    device: Any = msgspec.defstruct("Device", ["id", "host_name", "group"])(
        target.device, target.host_name, target.group
    )
    _, sealed = sign_order(
        draft,
        device,
        organisation.technician,
        now=now,
        ttl_s=3600,
        campaign=CAMPAIGN,
        ring=0,
        order_id=order_id(CAMPAIGN, target.device),
    )
    order = fleet.order(sealed)
    key = changes.pop("by", organisation.technician)
    return encode_envelope(seal(msgspec.structs.replace(order, **changes), key))


def test_an_auditor_reads_who_signed_and_not_who_the_relay_names(
    console: Open, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = RingedFleet(organisation)
    order = msgspec.structs.replace(result_of(fleet, 0), operator="mallory")

    def row(**changes: Any) -> dict[str, Any]:
        fleet.orders = [msgspec.structs.replace(order, **changes)]
        document = audit_document(console(fleet), CAMPAIGN)
        assert "mallory" not in to_html(document)
        found: dict[str, Any] = document["results"][0]
        return found

    assert (row()["signed"], row()["operator"]) == (True, None)
    assert row(envelope=sealed_order(organisation, fleet))["operator"] == "tess"
    lies: list[dict[str, Any]] = [
        {"by": organisation.admin},
        {"operator": "nobody"},
        {"campaign": "c-bbbbbbbbbbbbbbbb"},
        {"ring": 1},
        {"script": "check.other"},
    ]
    for lie in lies:
        assert row(envelope=sealed_order(organisation, fleet, **lie))["operator"] is None
    other = result_of(fleet, 0, script="check.other")
    assert row(result=other.result)["signed"] is False
    # An order that is nobody's in this campaign, with a result that its device did sign.
    elsewhere = result_of(fleet, 0, order="o-" + "b" * 16)
    assert row(order="o-" + "b" * 16, result=elsewhere.result)["signed"] is False
    document = audit_document(console(fleet), CAMPAIGN)
    assert {"created_by", "counts", "causes", "rings"} <= set(document["relays_word"])
    told = msgspec.structs.replace(fleet.plan(), campaign="c-bbbbbbbbbbbbbbbb")
    monkeypatch.setattr(fleet, "plan", lambda: told)
    refused("campaign-changed", audit_document, console(fleet), CAMPAIGN)
