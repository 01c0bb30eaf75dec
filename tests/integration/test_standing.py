"""Schedules of signed policy on a real device: a breach, its ticket, its recovery, and a pack."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from farhand_agent.journal import Journal
from farhand_agent.standing.memory import Memory, line_digest
from farhand_protocol.schedules import parse_schedule
from tests.integration.conftest import House
from tests.support.stage import leave_out_most

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_DEADLINE_S = 120.0
_DAILY = "disk: daily 03:00; checks disk.space warning_percent={warning} critical_percent=101"


def until(ask: Callable[[], Any]) -> Any:
    """Ask until the answer is something."""
    deadline = time.monotonic() + _DEADLINE_S
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never came to be"
    return answer


def sign(house: House, schedule: str) -> None:
    """Give the device's group this one schedule and wait until the device has noted it."""
    house.admin.json("trust", "policy", "office", "--schedule", schedule)
    digest = line_digest(parse_schedule(schedule))
    until(lambda: digest in [mark.line for mark in memory(house).marks.values()])


def memory(house: House) -> Memory:
    with closing(Journal(house.agent.home / "journal.db")) as journal:
        return Memory.load(journal)


def be_away_for_two_days(house: House) -> None:
    """Stop the agent, and let what it dealt with last lie two days back."""
    assert house.agent.process is not None
    house.agent.process.end()
    with closing(Journal(house.agent.home / "journal.db")) as journal:
        kept = Memory.load(journal)
        for mark in kept.marks.values():
            mark.handled = "2026-01-01T00:00:00Z"
        kept.save(journal)
    house.agent.start()


def alerts(house: House, state: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = house.technician.json("alert", "list", "--state", state)["items"]
    return items


def inventory(house: House, section: str) -> list[dict[str, Any]]:
    """Return the items of a section of the device, as soon as it has told them."""

    def ask() -> Any:
        sections = house.technician.json("device", "inventory", "alpha")["sections"]
        return sections.get(section, {}).get("items")

    items: list[dict[str, Any]] = until(ask)
    return items


@pytest.mark.parametrize("house", ["sqlite-local"], indirect=True)
def test_a_schedule_finds_a_breach_that_becomes_a_ticket_and_its_recovery_is_noted(
    house: House,
) -> None:
    leave_out_most(house.agent.home, but=["software"])
    sign(house, _DAILY.format(warning=0))
    assert alerts(house, "all") == []
    be_away_for_two_days(house)
    (alert,) = until(lambda: alerts(house, "live"))
    assert (alert["check"], alert["severity"]) == ("disk.space", "warning")
    assert (alert["device"], alert["ticket"]) == (house.agent.device, "FH-1")
    seen = house.technician.json("alert", "acknowledge", alert["id"], "--note", "looking")
    assert seen["state"] == "acknowledged"
    assert house.technician.json("alert", "show", alert["id"])["acknowledged_by"]

    system = inventory(house, "os")
    packages = inventory(house, "software")
    package = next((one for one in packages if one["name"] == "openssl"), packages[0])["name"]
    for version, found in (("99999", ["alpha"]), ("0", [])):
        query = f'os:{system[0]["id"]} software:"{package}<{version}" check:disk.space=warning'
        listed = house.technician.json("device", "list", query)["items"]
        assert [one["name"] for one in listed] == found

    # What is due runs once: another start finds nothing to do.
    handled = memory(house).marks["disk"].handled
    assert house.agent.process is not None
    house.agent.process.end()
    house.agent.start()
    assert memory(house).marks["disk"].handled == handled
    assert len(memory(house).checks["disk.space"].recent) == 1

    # A technician has the device look once more, by approved checks, from the ticket.
    pack = house.technician.json("ticket", "check", "FH-1", "disk.space", "--pack", "uptime")
    assert {one["id"] for one in pack["items"]} >= {"disk.space"}
    assert all(one["signed"] for one in pack["items"])

    # Somebody there asks for help; it becomes one ticket with the device.
    asked = house.agent.json("help", "no", "sound")["request"]
    calls = until(
        lambda: [
            one
            for one in house.agent.json("help", "--list")["items"]
            if one["request"] == asked and one["state"] == "taken"
        ]
    )
    ticket = house.technician.json("ticket", "show", calls[0]["ticket"])
    assert (ticket["title"], ticket["device"]) == ("no sound", house.agent.device)

    sign(house, _DAILY.format(warning=100.5))
    be_away_for_two_days(house)
    (recovered,) = until(lambda: alerts(house, "recovered"))
    assert recovered["id"] == alert["id"]
    messages = house.technician.json("ticket", "show", "FH-1")["messages"]
    said = [one["body"].split("\n")[0].split(".")[0] for one in messages]
    assert said[0] == "warning: disk"
    assert said[1].startswith("acknowledged by ")
    assert said[2].startswith("Checks on alpha")
    assert said[3] == "recovered: disk"
    kinds = [one["kind"] for one in house.agent.json("log")["items"]]
    assert kinds.count("check-changed") == 2

    # Somebody works on the device: nothing of it reaches the desk.
    until_ = house.technician.json("device", "maintenance", "alpha", "--for", "1h")["until"]
    assert until_ is not None
    assert house.technician.json("device", "maintenance", "alpha")["until"] == until_
    ended = house.technician.json("device", "maintenance", "alpha", "--end")
    assert ended["until"] is None
