"""The service clock: a table of stories, properties, and what a ticket shows of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_server.desk.calendars import ALWAYS, Calendar
from farhand_server.desk.closing import sweep_tickets
from farhand_server.desk.moves import add_message
from farhand_server.desk.service_levels import (
    Happening,
    ServicePolicy,
    ServiceTimer,
    Targets,
    check_policy,
    next_due,
    service_timers,
)
from farhand_server.relay import Relay
from tests.server.desk.people import Desk
from tests.server.relays import ManualClock, SignIn

H = 3600
T0 = datetime(2026, 11, 23, 8, tzinfo=UTC)  # a Monday
OFFICE = Calendar(zone="UTC", week=(((540, 1020),),) * 5 + ((), ()))  # 9 to 17
POLICY = ServicePolicy(
    targets={
        "normal": Targets(first_response_s=H, next_response_s=2 * H, resolution_s=8 * H),
        "urgent": Targets(first_response_s=1800, resolution_s=4 * H),
    }
)


def story(*steps: tuple[float, str, str] | tuple[float, str]) -> list[Happening]:
    """Each step: hours after T0, what, value."""
    told = [Happening(at=T0, what="priority", value="normal"), Happening(at=T0, what="requested")]
    for hours, what, *value in steps:
        told.append(
            Happening(at=T0 + timedelta(hours=hours), what=what, value="".join(value))  # type: ignore[arg-type]
        )
    return told


def timers(
    happened: list[Happening], hours: float, calendar: Calendar = ALWAYS
) -> dict[str, ServiceTimer]:
    now = T0 + timedelta(hours=hours)
    return {one.metric: one for one in service_timers(happened, POLICY, calendar, now=now)}


@pytest.mark.parametrize(
    ("steps", "hours", "states", "spent_h"),
    [
        ([], 0.5, ("running", "idle", "running"), (0.5, 0, 0.5)),
        ([], 2, ("breached", "idle", "running"), (2, 0, 2)),
        ([(0.5, "answered")], 3, ("met", "idle", "running"), (0.5, 0, 3)),
        ([(2, "answered")], 3, ("missed", "idle", "running"), (2, 0, 3)),
        # The next response is owed only after the first, and while the customer's word is last.
        ([(0.2, "asked")], 0.5, ("running", "idle", "running"), (0.5, 0, 0.5)),
        (
            [(0.5, "answered"), (1, "asked"), (2, "asked")],
            2.5,
            ("met", "running", "running"),
            (0.5, 1.5, 2.5),
        ),
        (
            [(0.5, "answered"), (1, "asked"), (2, "answered")],
            9,
            ("met", "met", "breached"),
            (0.5, 1, 9),
        ),
        (
            [(0.5, "answered"), (1, "asked"), (4, "answered"), (5, "asked")],
            6,
            ("met", "running", "running"),
            (0.5, 1, 6),
        ),
        # Waiting for the customer stops the resolution and no answer.
        ([(0.5, "waits", "customer")], 0.7, ("running", "idle", "paused"), (0.7, 0, 0.5)),
        (
            [(0.5, "answered"), (1, "waits", "customer"), (5, "goes-on")],
            6,
            ("met", "idle", "running"),
            (0.5, 0, 2),
        ),
        ([(0.5, "answered"), (1, "waits", "vendor")], 6, ("met", "idle", "running"), (0.5, 0, 6)),
        (
            [(1, "waits", "customer"), (2, "waits", "vendor")],
            5,
            ("breached", "idle", "running"),
            (5, 0, 4),
        ),
        # Resolved, and opened again: it goes on where it was.
        ([(0.5, "answered"), (3, "resolved")], 50, ("met", "idle", "met"), (0.5, 0, 3)),
        (
            [(0.5, "answered"), (3, "resolved"), (10, "reopened")],
            12,
            ("met", "idle", "running"),
            (0.5, 0, 5),
        ),
        ([(0.5, "resolved")], 2, ("met", "idle", "met"), (0.5, 0, 0.5)),
        ([(9, "resolved")], 20, ("missed", "idle", "missed"), (9, 0, 9)),
    ],
)
def test_stories(
    steps: list[Any], hours: float, states: tuple[str, ...], spent_h: tuple[float, ...]
) -> None:
    found = timers(story(*steps), hours)
    assert tuple(one.state for one in found.values()) == states
    assert tuple(one.spent_s / H for one in found.values()) == spent_h


def test_priority_changes_the_target_and_nothing_that_was_counted() -> None:
    told = story((0.5, "answered"), (1, "waits", "customer"), (3, "goes-on"))
    before = timers(told, 4)["resolution"]
    after = timers([*told, *story((4, "priority", "urgent"))[2:]], 4)["resolution"]
    assert (before.spent_s, before.target_s) == (2 * H, 8 * H)
    assert (after.spent_s, after.target_s) == (2 * H, 4 * H)
    # Nothing is promised of next answers to urgent tickets, nor anything to low ones.
    assert set(timers(story((1, "priority", "urgent")), 2)) == {"first-response", "resolution"}
    assert timers(story((1, "priority", "low")), 2) == {}


def test_what_is_put_away_owes_nothing_until_it_comes_back() -> None:
    assert timers(story((1, "put-away")), 2) == {}
    back = timers(story((0.5, "put-away"), (3, "came-back", "open")), 3.25)
    assert [one.state for one in back.values()] == ["running", "idle", "running"]
    assert [one.spent_s / H for one in back.values()] == [0.75, 0, 0.75]
    # As it was: waiting for the customer, or resolved; nothing was answered by putting it away.
    waiting = timers(story((1, "put-away"), (3, "came-back", "waiting customer")), 4)
    assert [one.state for one in waiting.values()] == ["breached", "idle", "paused"]
    done = story((0.5, "answered"), (1, "resolved"), (2, "put-away"), (3, "came-back", "resolved"))
    assert [one.state for one in timers(done, 9).values()] == ["met", "idle", "met"]
    asked = story((0.5, "answered"), (1, "asked"), (2, "put-away"), (3, "came-back", "open"))
    assert timers(asked, 3.5)["next-response"].spent_s == 1.5 * H


def test_what_is_due_at_closing_time_is_due_then_whenever_it_is_asked() -> None:
    """Eight hours from before the desk opens are used up at 17:00 sharp."""
    due = {timers(story(), hours, OFFICE)["resolution"].due_at for hours in (0, 5, 9, 9.5, 20)}
    assert due == {T0 + timedelta(hours=9)}
    assert timers(story(), 9, OFFICE)["resolution"].state == "running"
    assert timers(story(), 9.5, OFFICE)["resolution"].state == "breached"


def test_hours_of_the_desk_count() -> None:
    found = timers(story(), 30, OFFICE)  # Tuesday 14:00
    assert found["resolution"].state == "breached"
    found = timers(story(), 8.5, OFFICE)  # Monday 16:30
    assert (found["resolution"].spent_s, found["resolution"].state) == (7.5 * H, "running")
    assert next_due(list(timers(story(), 0, OFFICE).values())) == T0 + timedelta(hours=2)


_steps = st.lists(
    st.tuples(
        st.integers(1, 300).map(lambda quarter: quarter / 4),
        st.sampled_from(
            ["answered", "asked", "waits", "goes-on", "resolved", "reopened", "priority"]
        ),
    ),
    max_size=12,
).map(lambda steps: sorted(steps, key=lambda step: step[0]))


def _told(steps: list[tuple[float, str]]) -> list[Happening]:
    values = {"waits": "customer", "priority": "urgent"}
    return story(*[(hours, what, values.get(what, "")) for hours, what in steps])


@settings(max_examples=80, deadline=None)
@given(_steps, st.integers(1, 400), st.integers(0, 400), st.sampled_from([ALWAYS, OFFICE]))
def test_time_only_grows_and_stands_still_outside_hours(
    steps: list[tuple[float, str]], quarter: int, later: int, calendar: Calendar
) -> None:
    told = [one for one in _told(steps) if one.at <= T0 + timedelta(hours=quarter / 4)]
    first = timers(told, quarter / 4, calendar)
    second = timers(told, (quarter + later) / 4, calendar)
    assert set(first) == set(second)
    for metric, one in first.items():
        assert one.spent_s <= second[metric].spent_s <= one.spent_s + later * H / 4
        if one.state in ("met", "missed", "paused", "idle"):
            assert second[metric].spent_s == one.spent_s


@settings(max_examples=80, deadline=None)
@given(_steps, st.integers(1, 400), st.sampled_from([ALWAYS, OFFICE]))
def test_what_comes_later_changes_nothing_of_now(
    steps: list[tuple[float, str]], quarter: int, calendar: Calendar
) -> None:
    told = _told(steps)
    known = [one for one in told if one.at <= T0 + timedelta(hours=quarter / 4)]
    assert timers(told, quarter / 4, calendar) == timers(known, quarter / 4, calendar)


@settings(max_examples=60, deadline=None)
@given(_steps, st.integers(1, 400), st.sampled_from([ALWAYS, OFFICE]))
def test_what_is_due_becomes_late_just_then(
    steps: list[tuple[float, str]], quarter: int, calendar: Calendar
) -> None:
    told = [one for one in _told(steps) if one.at <= T0 + timedelta(hours=quarter / 4)]
    for metric, one in timers(told, quarter / 4, calendar).items():
        if one.due_at is None:
            continue
        hours = (one.due_at - T0).total_seconds() / H
        if one.state == "running":
            assert timers(told, hours, calendar)[metric].state == "running"
        # Whenever it is asked, it is due at the same instant.
        for later in (hours + 0.001, hours + 30, hours + 24 * 4):
            if later * 4 >= quarter:
                then = timers(told, later, calendar)[metric]
                assert (then.state, then.due_at) == ("breached", one.due_at)


@pytest.mark.parametrize(
    "policy",
    [
        ServicePolicy(targets={"normal": Targets(resolution_s=5)}),
        ServicePolicy(targets={"normal": Targets(first_response_s=10**9)}),
        ServicePolicy(targets={}, pauses=("rain",)),
        ServicePolicy(targets={"soon": Targets()}),  # type: ignore[dict-item]
    ],
)
def test_a_policy_that_means_nothing_is_refused(policy: ServicePolicy) -> None:
    with pytest.raises(FarhandError, match="service-policy-invalid"):
        check_policy(policy)


async def test_a_ticket_says_what_is_due_and_what_is_late(
    ann: Desk, mia: Desk, web: httpx.AsyncClient, sign_in: SignIn, relay: Relay, clock: ManualClock
) -> None:
    boss = await sign_in("admin", name="boss")

    async def set_(path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        answer = await web.post(f"/api/v1/{path}", headers=boss, json=body)
        assert answer.status_code == status, answer.text
        made: dict[str, Any] = answer.json()
        return made

    hours: dict[str, Any] = {"zone": "UTC", "week": [[[0, 1440]]] * 7}
    assert (await set_("calendars/all", hours))["version"] == 1
    assert (await set_("calendars/all", hours | {"zone": "Europe/Berlin"}))["version"] == 2
    assert (await set_("calendars/all", {"zone": "X", "week": []}, 422))[
        "code"
    ] == "calendar-invalid"
    promise: dict[str, Any] = {
        "calendar": "all",
        "policy": {"targets": {"normal": {"first_response_s": 3600, "resolution_s": 7200}}},
    }
    kept = await set_("service-policies/gold", promise)
    assert (kept["version"], kept["calendar_version"]) == (1, 2)
    await set_("service-policies/gold", promise | {"calendar": "nowhere"}, 404)
    await set_("queues/desk", {"policy": "silver"}, 404)
    await set_("queues/desk", {"policy": "gold"})
    await mia.new("slow")
    # A later promise is not this ticket's.
    looser = {"targets": {"normal": {"first_response_s": 36000}}}
    assert (await set_("service-policies/gold", {"policy": looser}))["version"] == 2
    await sweep_tickets(relay)
    shown = await ann.show("1")
    assert shown["due_at"].startswith(format_instant(clock.now() + timedelta(hours=1))[:19])
    assert [(one["metric"], one["state"]) for one in shown["service"]] == [
        ("first-response", "running"),
        ("resolution", "running"),
    ]
    assert (await mia.show("1"))["service"] == []
    clock.advance(3601)
    await sweep_tickets(relay)
    await sweep_tickets(relay)
    late = (await ann.get(late="true")).json()["items"]
    assert [one["id"] for one in late] == ["1"]
    events = (await ann.get("/1/events")).json()["items"]
    missed = [one["detail"] for one in events if one["kind"] == "service-missed"]
    assert [(one["metric"], one["target_s"]) for one in missed] == [("first-response", 3600)]
    # What a rule says by itself keeps no promise.
    async with relay.db.write() as c:
        said: dict[str, Any] = {"kind": "reply", "body": "thanks", "actor": "rule:thanks"}
        await add_message(c, relay, ref="1", **said)
    assert [one["state"] for one in (await ann.show("1"))["service"]] == ["breached", "running"]
    await ann.post("/1/messages", {"body": "looking"})
    await ann.step("1", "wait", reason="customer")
    await sweep_tickets(relay)
    shown = await ann.show("1")
    assert (shown["due_at"], shown["late"]) == (None, False)
    assert [one["state"] for one in shown["service"]] == ["missed", "paused"]
    clock.advance(20_000)
    await mia.post("/1/messages", {"body": "here"})
    await ann.step("1", "resolve", note="done")
    assert [one["state"] for one in (await ann.show("1"))["service"]] == ["missed", "met"]
    # A miss is noted though somebody wrote before anybody looked.
    await set_("service-policies/gold", promise)
    await mia.new("slow again")
    await sweep_tickets(relay)
    clock.advance(3700)
    await ann.post("/2/messages", {"kind": "note", "body": "oh"})
    await sweep_tickets(relay)
    assert (await ann.kinds("2", "events")).count("service-missed") == 1
    # Together with another ticket and apart again it is what it was.
    await mia.new("third")
    await ann.step("3", "wait", reason="customer")
    await ann.step("3", "merge", into="2")
    assert (await ann.show("3"))["service"] == []
    await ann.step("3", "unmerge")
    apart = (await ann.show("3"))["service"]
    assert [one["state"] for one in apart] == ["running", "paused"]
    listed = (await web.get("/api/v1/service-policies", headers=boss)).json()["items"]
    assert [(one["name"], one["version"]) for one in listed] == [("gold", 3)]
    listed = (await web.get("/api/v1/calendars?limit=1", headers=boss)).json()
    assert ([one["name"] for one in listed["items"]], listed["next"]) == (["all"], None)
    assert (await web.get("/api/v1/calendars/always", headers=boss)).json()["version"] == 0
