"""A campaign over real devices: rings signed one by one, a breaker, a killed relay, a retry."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from farhand_agent.journal import Journal
from farhand_console.relay import segments
from farhand_console.relay.campaign_answers import Campaign, CampaignEvents
from tests.integration.conftest import House
from tests.integration.test_fleet import opened, write_script
from tests.support.stage import AgentHome, ConsoleHome

pytestmark = pytest.mark.slow

_LOOKS = 200


def wait_until(console: ConsoleHome, campaign: str, state: str, *, ring: int = 0) -> Campaign:
    """Go along with a campaign's events until it is in this state, with this ring open."""
    with opened(console) as context:
        path, cursor = segments("campaigns", campaign), None
        for _ in range(_LOOKS):
            found = context.relay.get(path, Campaign)
            if found.state == state and found.open_ring == ring:
                return found
            events = context.relay.get(
                f"{path}/events", CampaignEvents, cursor=cursor, wait=10, wait_s=30
            )
            cursor = events.next
    raise AssertionError(f"the campaign is {found.state}, ring {found.open_ring} is open")


def in_journals(agents: list[AgentHome], script: str) -> Counter[str]:
    """Count what the devices themselves wrote down about a script's orders, by state."""
    states: Counter[str] = Counter()
    for agent in agents:
        journal = Journal(agent.home / "journal.db", read_only=True)
        try:
            states.update(
                row[0] for row in journal._rows("SELECT state FROM orders WHERE script = ?", script)
            )
        finally:
            journal.close()
    return states


# On one pair only: what differs between stores is tested below, on both (tests/server/fleet).
@pytest.mark.parametrize("house", ["sqlite-local"], indirect=True)
@pytest.mark.timeout(300)
def test_rings_breaker_kill_resume_and_retry(house: House, tmp_path: Path) -> None:
    tess, admin = house.technician, house.admin
    rob = house.stage.technician(admin, "rob")
    bad = tmp_path / "bad"
    folder = write_script(tmp_path / "script", "test.ringed", f"test ! -e '{bad}'\n")
    manifest = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(manifest.replace('risk = "R0"', 'risk = "R2"'))
    tess.json("script", "submit", str(folder))
    for approver in (rob, admin):
        approver.json("script", "approve", "test.ringed", "--yes")
    admin.json("script", "publish", "test.ringed")
    agents = [house.agent, *(house.add_agent(name) for name in ("beta", "gamma"))]
    words = ["--script", "test.ringed", "--query", "group:office", "--ring", "canary: 1"]
    made = tess.json("campaign", "create", *words, "--max-in-flight", "1", "--limit", "failed=0")
    campaign = made["campaign"]
    shown = tess.json("campaign", "preview", campaign)
    assert [(one["name"], one["targets"]) for one in shown["rings"]] == [("canary", 1), ("rest", 2)]

    # The first ring alone is signed; when it went well the next is open, and still has no orders.
    assert tess.json("campaign", "start", campaign)["signed"] == 1
    found = wait_until(tess, campaign, "running", ring=1)
    assert found.counts == {"planned": 2, "succeeded": 1}
    assert in_journals(agents, "test.ringed") == {"succeeded": 1}

    # The relay dies; a console that is started then signs the ring once it is back.
    bad.touch()
    assert house.stage.relay is not None
    house.stage.relay.end(signal.SIGKILL)
    house.stage.start_relay()
    watch = tess.start("campaign", "watch", campaign)
    found = wait_until(tess, campaign, "paused", ring=1)
    assert (found.reason, found.counts) == (
        "too-many-failed",
        {"eligible": 1, "failed": 1, "succeeded": 1},
    )
    assert in_journals(agents, "test.ringed") == {"succeeded": 1, "failed": 1}

    # Somebody looked; the watch goes on by itself to the end.
    bad.unlink()
    tess.json("campaign", "resume", campaign)
    report = watch.next_json(timeout_s=120)
    watch.end()
    assert (report["state"], report["counts"]) == ("finished", {"failed": 1, "succeeded": 2})
    assert report["unverified"] == 0
    assert in_journals(agents, "test.ringed") == report["counts"]

    again = tess.json("campaign", "retry", campaign)
    assert again["targets"] == 1
    report = tess.json("campaign", "start", again["campaign"], "--wait")
    assert (report["state"], report["counts"]) == ("finished", {"succeeded": 1})

    document = json.loads(tess.run("campaign", "report", campaign, "--format", "json").stdout)
    assert sorted(document["script"]["approved_by"]) == ["admin", "rob"]
    assert [row["signed"] for row in document["results"]] == [True] * 3
    assert {row["operator"] for row in document["results"]} == {"tess"}
    assert document["target_set"] == found.target_set
