"""Rings as the console goes through them: nothing that the relay says gets one signed early."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from farhand_console.cli import campaign_watch
from farhand_console.cli.base import Context
from farhand_console.cli.campaign import create_campaign, inverse_of
from farhand_console.cli.campaign_plan import plan_of
from farhand_console.cli.campaign_report import audit_document, to_csv, to_html
from farhand_console.cli.campaign_signing import approve_ring, check_gate, start_campaign
from farhand_console.cli.patch_results import advisories, device_row
from farhand_console.home import Home
from farhand_console.relay.answers import OrderView
from farhand_console.relay.campaign_answers import Campaign, CampaignEvents, CampaignReport, Ring
from farhand_protocol.campaigns import CampaignPlan, RingPlan, splay_of, target_set
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.terms import Terms
from farhand_protocol.trust import Approval
from tests.console.organisation import Organisation, approved_manifest, settings
from tests.console.test_campaign import CAMPAIGN, Fleet, opened_on, result_of

RINGS = [RingPlan(name="canary", count=2, success_percent=100), RingPlan(name="rest")]


class RingedFleet(Fleet):
    """Four devices, two of them canaries, and a relay that says what the test lets it say."""

    def __init__(self, organisation: Organisation, risk: Any = "R2", **plan: Any) -> None:
        super().__init__(organisation, 4)
        trust = organisation.trust
        approvals = trust.policy.approvals | {"R2": Approval(permission="approve:read", count=1)}
        trust.policy = msgspec.structs.replace(trust.policy, approvals=approvals)
        self.manifest = approved_manifest(organisation, expires="2100-01-01T00:00:00Z", risk=risk)
        self.risk = risk
        self.campaign_plan = CampaignPlan(**{"rings": RINGS, **plan})
        self.targets = [
            msgspec.structs.replace(target, ring=number // 2)
            for number, target in enumerate(self.targets)
        ]
        self.open_ring = 0
        self.state = "running"
        self.counts: list[dict[str, int]] = [{}, {}]
        self.posts: list[tuple[str, Any]] = []
        self.frozen = target_set((one.device, one.ring) for one in self.targets)

    def plan(self) -> Campaign:
        return msgspec.structs.replace(
            super().plan(),
            risk=self.risk,
            state=self.state,
            plan=self.campaign_plan,
            target_set=self.frozen,
            open_ring=self.open_ring,
        )

    def get(self, path: str, _kind: Any, **query: Any) -> Any:
        if path.endswith("/report"):
            rings = [Ring(ring=n, counts=self.counts[n], name=RINGS[n].name) for n in (0, 1)]
            return CampaignReport(
                campaign=CAMPAIGN, state=self.state, counts=self.counts[0], rings=rings, causes=[]
            )
        if path.startswith("/orders/"):
            return next(one for one in self.orders if path.endswith(one.order))
        if path.endswith("/events"):
            self.state = "finished"
            return CampaignEvents(items=[], next="x", state="running")
        return super().get(path, _kind, **query)

    def post(self, path: str, _kind: Any, body: Any = None, **_wait: Any) -> Any:
        self.posts.append((path.rpartition(CAMPAIGN)[2], body))
        if path.endswith(("/approve", "/skip")):
            return None
        return super().post(path, _kind, body, **_wait)

    @property
    def signed(self) -> list[int]:
        """Rings of the orders that were posted, in their order."""
        return [order.ring or 0 for batch in self.posted for order in batch]

    def went_well(self, *numbers: int) -> None:
        self.orders = [result_of(self, number) for number in numbers]


@pytest.fixture
def console(home: Home, organisation: Organisation) -> Callable[[Fleet], Context]:
    settings(home)

    return lambda fleet: opened_on(home, organisation, fleet)


Open = Callable[[Fleet], Context]


def test_only_the_first_ring_of_a_change_is_signed_at_the_start(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    assert start_campaign(console(fleet), CAMPAIGN)["signed"] == 2
    assert fleet.signed == [0, 0]
    assert all(
        order.terms is not None and order.terms.target_set == fleet.frozen
        for batch in fleet.posted
        for order in batch
    )


def test_rings_that_only_read_are_signed_ahead_each_with_its_earliest_time(
    console: Open, organisation: Organisation
) -> None:
    rings = [RingPlan(name="canary", count=2, soak_s=3600), RingPlan(name="rest")]
    fleet = RingedFleet(organisation, "R0", rings=rings, splay_s=600)
    start_campaign(console(fleet), CAMPAIGN)
    assert fleet.signed == [0, 0, 1, 1]
    for order in (one for batch in fleet.posted for one in batch):
        early = parse_instant(order.not_before) - parse_instant(order.issued_at)
        wanted = 3600 * (order.ring or 0) + splay_of(order.device, 600) - 60
        assert early == timedelta(seconds=wanted)


def test_no_campaign_is_made_whose_orders_could_not_be_signed(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    given: dict[str, Any] = {"name": None, "pairs": (), "version": None, "ttl_s": 7 * 86_400}
    with pytest.raises(FarhandError) as caught:
        create_campaign(console(fleet), "check.test", "*", plan=CampaignPlan(splay_s=60), **given)
    assert caught.value.code == "order-lifetime"
    with pytest.raises(FarhandError):
        create_campaign(console(fleet), "check.test", " ", **given)
    assert fleet.asked == []


def test_what_would_outlive_seven_days_is_left_for_later(
    console: Open, organisation: Organisation
) -> None:
    rings = [RingPlan(name="canary", count=2, soak_s=7 * 86_400), RingPlan(name="rest")]
    fleet = RingedFleet(organisation, "R0", rings=rings)
    start_campaign(console(fleet), CAMPAIGN)
    assert fleet.signed == [0, 0]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({}, "unfinished"),
        ({"state": "succeeded"}, "unfinished"),
        ({"state": "cancelled"}, "success-too-low"),
        ({"state": "gone"}, "success-too-low"),
        ({"state": "expired"}, "success-too-low"),
        ({"state": "refused"}, "unfinished"),
    ],
)
def test_no_word_of_the_relay_opens_a_gate(
    console: Open, organisation: Organisation, lie: dict[str, Any], code: str
) -> None:
    fleet = RingedFleet(organisation)
    fleet.went_well(0)
    if lie:
        other = fleet.targets[1]
        fleet.orders.append(OrderView(order=other.order, device=other.device, **lie))
    assert check_gate(console(fleet), fleet.plan(), 1).code == code


def test_another_devices_result_opens_no_gate(console: Open, organisation: Organisation) -> None:
    fleet = RingedFleet(organisation)
    fleet.went_well(0, 1)
    assert check_gate(console(fleet), fleet.plan(), 1).code == "open"
    foreign = result_of(fleet, 2)
    other = fleet.targets[1]
    fleet.orders[1] = OrderView(
        order=other.order, device=other.device, state="succeeded", result=foreign.result
    )
    assert check_gate(console(fleet), fleet.plan(), 1).code == "unfinished"
    fleet.orders[1] = result_of(fleet, 1, state="failed", exit_code=1)
    assert check_gate(console(fleet), fleet.plan(), 1).code == "success-too-low"


def test_a_soak_counts_from_the_last_signed_result(
    console: Open, organisation: Organisation
) -> None:
    rings = [RingPlan(name="canary", count=2, soak_s=3600), RingPlan(name="rest")]
    fleet = RingedFleet(organisation, rings=rings)
    now = datetime.now(UTC)
    fleet.orders = [
        result_of(fleet, 0, ended_at=format_instant(now - timedelta(hours=5))),
        result_of(fleet, 1, ended_at=format_instant(now - timedelta(minutes=30))),
    ]
    assert check_gate(console(fleet), fleet.plan(), 1).code == "soaking"
    fleet.orders[1] = result_of(fleet, 1, ended_at=format_instant(now - timedelta(hours=2)))
    assert check_gate(console(fleet), fleet.plan(), 1).code == "open"


def test_a_set_that_changed_is_signed_for_no_more(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    start_campaign(console(fleet), CAMPAIGN)
    extra = RingedFleet(organisation)
    fleet.targets.append(msgspec.structs.replace(extra.targets[3], ring=1))
    with pytest.raises(FarhandError) as caught:
        start_campaign(console(fleet), CAMPAIGN)
    assert caught.value.code == "campaign-set-changed"
    # Nor when the relay hashes its new list by itself: this console remembers the old one.
    fleet.frozen = target_set((one.device, one.ring) for one in fleet.targets)
    with pytest.raises(FarhandError) as caught:
        start_campaign(console(fleet), CAMPAIGN)
    assert caught.value.code == "campaign-set-changed"


def test_a_watch_signs_the_next_ring_when_results_say_so(
    console: Open, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = RingedFleet(organisation)
    fleet.open_ring, fleet.counts = 1, [{"succeeded": 2}, {"planned": 2}]
    fleet.went_well(0)
    campaign_watch.follow(console(fleet), CAMPAIGN)
    assert fleet.signed == [], "the relay says that it is open, its devices do not"
    fleet.state = "running"
    fleet.went_well(0, 1)
    campaign_watch.follow(console(fleet), CAMPAIGN)
    assert fleet.signed == [1, 1]


def test_a_manual_ring_is_signed_by_whoever_approves_it(
    console: Open, organisation: Organisation
) -> None:
    rings = [RINGS[0], RingPlan(name="rest", approval="manual")]
    fleet = RingedFleet(organisation, rings=rings)
    fleet.open_ring, fleet.counts = 1, [{"succeeded": 2}, {"planned": 2}]
    with pytest.raises(FarhandError) as caught:
        approve_ring(console(fleet), CAMPAIGN, 1)
    assert caught.value.code == "campaign-gate"
    assert fleet.posts == []
    fleet.went_well(0, 1)
    campaign_watch.follow(console(fleet), CAMPAIGN)
    assert fleet.signed == [], "a watch does not approve"
    assert approve_ring(console(fleet), CAMPAIGN, 1)["signed"] == 2
    assert fleet.posts[-1][0] == "/rings/1/approve"
    with pytest.raises(FarhandError):
        approve_ring(console(fleet), CAMPAIGN, 0)


def test_a_document_for_an_auditor_escapes_what_devices_say(
    console: Open, organisation: Organisation
) -> None:
    fleet = RingedFleet(organisation)
    fleet.went_well(0, 1)
    fleet.orders[1] = result_of(fleet, 1, state="refused", refusal="<script>alert(1)</script>")
    forged = fleet.targets[2]
    fleet.orders.append(OrderView(order=forged.order, device=forged.device, state="succeeded"))
    document = audit_document(console(fleet), CAMPAIGN)
    assert document["unverified"] == 1
    assert [row["signed"] for row in document["results"]] == [True, True, False]
    assert document["script"]["approved_by"]
    page = to_html(document)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    rows = to_csv([{**document["results"][0], "name": "=cmd()", "refusal": "+1"}]).splitlines()
    assert "'=cmd()" in rows[1]
    assert "'+1" in rows[1]


def test_the_way_back_is_known_for_patches_and_asked_for_otherwise(
    organisation: Organisation,
) -> None:
    plan = RingedFleet(organisation).plan()
    apt = msgspec.structs.replace(plan, script="patch.apt.apply")
    assert inverse_of(apt, None) == ("patch.revert", ("provider=apt",))
    made = msgspec.structs.replace(apt, created_at="2026-11-22T12:00:00.123456Z")
    assert inverse_of(made, None)[1] == ("provider=apt", "since=2026-11-22T12:00:00Z")
    assert inverse_of(plan, "remedy.undo") == ("remedy.undo", ())
    with pytest.raises(FarhandError) as caught:
        inverse_of(plan, None)
    assert caught.value.code == "campaign-no-inverse"


def test_updates_are_counted_by_device_and_by_advisory() -> None:
    updates = [
        {"kind": "security", "advisories": ["DSA-1"], "cves": ["CVE-1", "CVE-2"]},
        {"kind": "bugfix"},
    ]
    listed = msgspec.json.encode({"items": [{"updates": updates, "reboot": {"required": True}}]})
    applied = {"changes": [{}], "failed": ["x"], "reboot": {"required": False}}
    rows = [
        device_row({"device": "d1", "name": "a", "state": "succeeded", "stdout": listed.decode()}),
        device_row({"device": "d2", "name": "b", "state": "succeeded", "stdout": listed.decode()}),
        device_row(
            {
                "device": "d3",
                "name": "c",
                "state": "succeeded",
                "stdout": msgspec.json.encode(applied).decode(),
            }
        ),
        device_row({"device": "d4", "name": "d", "state": "succeeded", "stdout": "[" * 5000}),
    ]
    assert (rows[0]["updates"], rows[0]["security"], rows[0]["reboot"]) == (2, 1, True)
    assert (rows[2]["updates"], rows[2]["failed"], rows[2]["reboot"]) == (1, 1, False)
    assert rows[3]["state"] == "unreadable"
    assert advisories(rows)[0] == {"id": "CVE-1", "count": 2, "devices": ["a", "b"]}


def test_a_plan_is_written_in_words() -> None:
    plan = plan_of(
        rings=[
            "canary: 5; soak 1h; gate disk.space; failed 0",
            "early: 10%; success 90; finished 80%; refused 20%",
            "berlin: tag site-berlin; manual",
            "named: query role:server and not tag:vip",
        ],
        limits=["failed=5", "unreachable=20%"],
        windows=["daily 22:00 for 6h"],
        splay="10m",
        defer_days=2,
        notice="1h",
        reboot="window",
    )
    canary, early, berlin, named, rest = plan.rings
    assert (canary.count, canary.soak_s, canary.gates, canary.limits.failed) == (
        5,
        3600,
        ["disk.space"],
        0,
    )
    assert (early.percent, early.success_percent, early.finished_percent) == (10, 90, 80)
    assert early.limits.refused_percent == 20
    assert (berlin.tag, berlin.approval) == ("site-berlin", "manual")
    assert named.query == "role:server and not tag:vip"
    assert rest == RingPlan(name="rest")
    assert (plan.limits.failed, plan.limits.unreachable_percent, plan.splay_s) == (5, 20, 600)
    assert plan.terms == Terms(
        windows=["daily 22:00 for 6h"], defer_days=2, notice_s=3600, reboot="window"
    )
    assert plan_of() == CampaignPlan()


@pytest.mark.parametrize(
    "given",
    [
        {"rings": ["canary"]},
        {"rings": ["canary:"]},
        {"rings": ["canary: many"]},
        {"rings": ["canary: 5; soak soon"]},
        {"rings": ["canary: 5; fast"]},
        {"rings": ["canary: 5; failed some"]},
        {"rings": ["rest: 5"]},
        {"limits": ["broken=1"]},
        {"limits": ["failed"]},
        {"windows": ["nightly"]},
        {"splay": "soon"},
    ],
)
def test_words_that_say_no_plan_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(FarhandError):
        plan_of(**given)
