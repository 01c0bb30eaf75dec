"""Rings, gates and limits as arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.campaigns import (
    CampaignPlan,
    Limits,
    RingPlan,
    check_plan,
    judge_gate,
    ring_count,
    splay_of,
    stable_rank,
    tally,
    target_set,
    tripped,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.terms import Terms, check_terms

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_states_are_counted_apart() -> None:
    found = tally(
        {
            "planned": 1, "eligible": 1, "offered": 1, "accepted": 1, "running": 1,
            "succeeded": 2, "no_change": 1, "failed": 1, "timeout": 1, "interrupted": 1,
            "refused": 2, "expired": 1, "gone": 1, "cancelled": 4,
        }
    )  # fmt: skip
    assert (found.well, found.failed, found.refused, found.unreachable) == (3, 3, 2, 2)
    assert (found.targets, found.cancelled, found.finished) == (19, 4, 10)


@pytest.mark.parametrize(
    ("limits", "counts", "code"),
    [
        ({"failed": 2}, {"failed": 2, "planned": 9}, None),
        ({"failed": 2}, {"failed": 3, "planned": 9}, "too-many-failed"),
        ({"failed": 0}, {"refused": 3, "expired": 3}, None),
        ({"refused": 0}, {"refused": 1}, "too-many-refused"),
        ({"unreachable": 1}, {"expired": 1, "gone": 1}, "too-many-unreachable"),
        ({"failed_percent": 20}, {"failed": 2, "succeeded": 2, "planned": 1}, None),
        ({"failed_percent": 20}, {"failed": 2, "succeeded": 3, "planned": 1}, "too-many-failed"),
        ({"failed_percent": 40}, {"failed": 2, "succeeded": 3}, None),
        # All have ended, the last one too: now it is asked, however few they are.
        ({"failed_percent": 20}, {"failed": 1, "succeeded": 1}, "too-many-failed"),
        ({"failed_percent": 20}, {"failed": 1, "cancelled": 1}, "too-many-failed"),
    ],
)
def test_limits_trip_where_they_say(
    limits: dict[str, Any], counts: dict[str, int], code: str | None
) -> None:
    assert tripped(Limits(**limits), tally(counts)) == code


def test_after_somebody_said_go_on_only_what_is_new_counts() -> None:
    limits, before = Limits(failed=1), tally({"failed": 2, "planned": 8})
    assert tripped(limits, before) == "too-many-failed"
    assert tripped(limits, tally({"failed": 3, "planned": 7}), before) is None
    assert tripped(limits, tally({"failed": 4, "planned": 6}), before) == "too-many-failed"


def test_a_gate_waits_soaks_opens_or_says_no() -> None:
    ring = RingPlan(name="canary", count=10, soak_s=60, success_percent=90, finished_percent=50)
    few = tally({"succeeded": 4, "planned": 6})
    assert judge_gate(ring, few, settled_at=None, at=NOW).code == "unfinished"
    enough = tally({"succeeded": 5, "planned": 5})
    assert judge_gate(ring, enough, settled_at=None, at=NOW).code == "unfinished"
    verdict = judge_gate(ring, enough, settled_at=NOW, at=NOW + timedelta(seconds=59))
    assert (verdict.code, verdict.until) == ("soaking", NOW + timedelta(seconds=60))
    late = NOW + timedelta(seconds=60)
    assert judge_gate(ring, enough, settled_at=NOW, at=late).code == "open"
    bad = tally({"succeeded": 8, "failed": 2})
    assert judge_gate(ring, bad, settled_at=NOW, at=late).code == "success-too-low"
    # Who cannot be reached has not gone well, and holds the rest up.
    away = tally({"succeeded": 8, "expired": 2})
    assert judge_gate(ring, away, settled_at=NOW, at=late).code == "success-too-low"
    assert judge_gate(ring, tally({}), settled_at=None, at=late).code == "open"


@given(st.text(max_size=40), st.integers(1, 86_400))
def test_splay_is_stable_and_within(device: str, splay_s: int) -> None:
    assert 0 <= splay_of(device, splay_s) < splay_s
    assert splay_of(device, splay_s) == splay_of(device, splay_s)


def test_splay_spreads_and_ranks_do_not_depend_on_the_campaign() -> None:
    devices = [f"d-{n}" for n in range(1000)]
    halves = [splay_of(device, 600) < 300 for device in devices]
    assert 400 < sum(halves) < 600
    assert stable_rank("d-1") == stable_rank("d-1") != stable_rank("d-2")
    assert ring_count(RingPlan(name="a", percent=1), 150) == 2
    assert ring_count(RingPlan(name="a", tag="x"), 150) is None


def test_the_hash_of_a_set_names_every_device_and_its_ring() -> None:
    one = target_set([("d-1", 0), ("d-2", 1)])
    assert one == target_set([("d-2", 1), ("d-1", 0)])
    assert one != target_set([("d-1", 1), ("d-2", 0)])
    assert one != target_set([("d-1", 0)])


ALL = RingPlan(name="all")


@pytest.mark.parametrize(
    "plan",
    [
        {"rings": []},
        {"rings": [RingPlan(name="a", count=1)]},
        {"rings": [ALL, ALL]},
        {"rings": [RingPlan(name="a", count=1, tag="x"), ALL]},
        {"rings": [RingPlan(name="A", count=1), ALL]},
        {"rings": [RingPlan(name="all", approval="manual")]},
        {"rings": [RingPlan(name="a", count=1, approval="manual"), ALL]},
        {"rings": [RingPlan(name="a", count=0), ALL]},
        {"rings": [RingPlan(name="a", percent=101), ALL]},
        {"rings": [RingPlan(name="a", percent=float("nan")), ALL]},
        {"rings": [RingPlan(name="a", count=1, soak_s=-1), ALL]},
        {"rings": [RingPlan(name="a", count=1, gates=["No Check"]), ALL]},
        {"limits": Limits(failed=-1)},
        {"limits": Limits(min_finished=0)},
        {"domain": "group"},
        {"per_domain": 1},
        {"domain": "colour", "per_domain": 1},
        {"max_in_flight": 0},
        {"splay_s": 90_000},
        {"lease_s": 1},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(FarhandError) as caught:
        check_plan(CampaignPlan(**plan))
    assert caught.value.code == "plan-malformed"


@pytest.mark.parametrize(
    "terms",
    [
        {"windows": ["whenever"]},
        {"defer_days": 8},
        {"notice_s": -1},
        {"reboot": "window"},
        {"target_set": "abc"},
    ],
)
def test_terms_that_cannot_be_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(FarhandError) as caught:
        check_terms(Terms(**terms))
    assert caught.value.code == "terms-malformed"


def test_a_whole_plan_goes_through_json_and_back() -> None:
    plan = CampaignPlan(
        rings=[
            RingPlan(name="canary", tag="canary", soak_s=3600),
            RingPlan(name="all", approval="manual"),
        ],
        limits=Limits(failed=3, unreachable_percent=20),
        domain="tag:site-",
        per_domain=1,
        terms=Terms(windows=["daily 22:00 for 6h"], defer_days=3, reboot="window"),
    )
    check_plan(plan)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=CampaignPlan) == plan


def test_a_ring_by_query_has_no_number_and_no_splay_is_no_wait() -> None:
    assert ring_count(RingPlan(name="all", query="*"), 7) is None
    assert ring_count(RingPlan(name="few", count=3), 7) == 3
    assert splay_of("d-aaaaaaaaaaaaaaaa", 0) == 0
