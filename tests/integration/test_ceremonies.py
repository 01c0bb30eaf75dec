"""The admins' ceremonies with real processes: moves, floors, revocations, keys rotated and lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import AgentHome, ConsoleHome, Stage


class Office:
    """A relay, an admin, a technician, and one device that runs."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.admin, self.tess = stage.settle()
        stage.start_relay()
        self.desk = self.device("desk")

    def device(self, name: str) -> AgentHome:
        """Enrol and start a device."""
        agent = self.stage.agent(name)
        agent.enrol(self.admin.json("token", "create", "--group", "office")["token"])
        agent.start()
        return agent


@pytest.fixture
def office() -> Iterator[Office]:
    """An office of the test's own, for ceremonies that leave nothing as it was."""
    with Stage() as stage:
        yield Office(stage)


def said(agent: AgentHome, words: str) -> str:
    """Wait until the running agent says something that starts so."""
    assert agent.process is not None
    return agent.process.wait_line(f"farhand-agent: {words}")


def test_moves_floors_and_revocations(office: Office) -> None:
    admin, tess, desk = office.admin, office.tess, office.desk
    run = ["run", "check.uptime", "--device"]
    # A move: signed here, taken over there, and the group that orders are checked by.
    moved = admin.json("device", "move", "desk", "servers")
    assert moved == {"device": desk.device, "group": "servers", "before": "office"}
    said(desk, "an admin moved this device from group office to servers")
    listed = tess.json("device", "list", "group:servers")["items"]
    assert [one["id"] for one in listed] == [desk.device]
    assert tess.json(*run, "desk", "--wait")["state"] == "succeeded"
    assert desk.json("status")["group"] == "servers"
    assert desk.json("policy")["group"] == "servers"
    assert tess.refused("device", "move", "desk", "lab", expect=3) == "not-trust-admin"
    assert admin.refused("device", "move", "desk", "No Group", expect=2) == "usage"
    # A confirmation that moves as well.
    made = json.loads(office.stage.server("token", "--group", "lab", "--json").stdout)
    other = office.stage.agent("other")
    other.enrol(made["token"])
    other.start()
    confirmed = admin.json(
        "device", "confirm", "other", "--key", other.device, "--group", "servers"
    )
    assert confirmed["group"] == "servers"
    said(other, "an admin moved this device from group lab to servers")
    assert tess.json(*run, "other", "--wait")["state"] == "succeeded"
    # Enrolling once more than the move does not undo it; a floor stops what runs now.
    raised = admin.run("--json", "trust", "floor", "check.uptime", "2")
    assert b"not published" in raised.stderr
    assert json.loads(raised.stdout)["floor"] == 2
    assert tess.refused(*run, "other", "--wait", expect=3) == "script-below-floor"
    assert admin.refused("trust", "floor", "check.uptime", "1", expect=2) == "floor-falls"
    assert tess.json("trust", "floor", "check.uptime")["floor"] == 2
    # A revoked device: no console signs for it, and it says so itself.
    words = ["trust", "revoke", "--device", "other", "--reason"]
    assert tess.refused(*words, "stolen", expect=3) == "not-trust-admin"
    assert admin.refused(*words, "sto\x1blen", expect=2) == "usage"
    assert admin.json(*words, "stolen from a car")["device"] == other.device
    assert tess.refused(*run, "other", expect=3) == "device-revoked"
    said(other, "the organisation revoked this device's key")
    assert [one["code"] for one in other.json("status")["warnings"]] == ["device-revoked"]
    # People who leave are named on the device.
    admin.json("operator", "remove", "tess")
    said(desk, "tess may not act here any more")


def newcomer(office: Office, name: str) -> ConsoleHome:
    """Sign an admin's account in on a machine with no key."""
    made = office.stage.server("signin", "admin", "--json")
    console = office.stage.console(name)
    console.login(json.loads(made.stdout)["signin_token"])
    return console


def test_keys_are_rotated_lost_and_recovered(office: Office, tmp_path: Path) -> None:
    admin, desk = office.admin, office.desk
    offline = tmp_path / "recovery.key"
    (admin.home / "trust" / "recovery.key").rename(offline)
    # The admin's key, with the old one at hand.
    old_key = admin.home / "operator.key"
    rotated = admin.json("trust", "rotate", "--key", str(tmp_path / "second.key"))
    assert rotated["root_version"] == 2
    assert len(rotated["unapproved"]) >= 10  # the old key's approvals went with it
    assert admin.json("script", "approve", "check.uptime")["published"] is True
    former = newcomer(office, "former")
    (former.home / "operator.key").write_bytes(old_key.read_bytes())
    assert former.refused("trust", "refresh", expect=3) == "not-trust-admin"
    # The recovery key by a new one: the old one opens nothing any more.
    fresh = tmp_path / "recovery-2.key"
    words = ["trust", "rotate", "--recovery"]
    assert admin.refused(*words, str(offline), expect=2) == "usage"
    renewed = admin.json(*words, str(fresh))
    assert renewed["root_version"] == 3
    assert fresh.stat().st_mode & 0o777 == 0o600
    lost = newcomer(office, "lost")
    recover = ["trust", "recover", "--key"]
    assert lost.refused(*recover, str(offline), expect=3) == "not-trust-admin"
    # The admin's machine is gone.  A new one has an account, a key, and the recovery key.
    assert lost.refused("trust", "refresh", expect=3) == "not-trust-admin"
    assert lost.refused(*recover, str(tmp_path / "nothing"), expect=2) == "usage"
    recovered = lost.json(*recover, str(fresh))
    assert recovered["root_version"] == 4
    assert recovered["removed"] == [rotated["fingerprint"]]
    assert admin.refused("trust", "refresh", expect=3) == "not-trust-admin"
    lost.json("trust", "refresh")
    assert lost.refused(*recover, str(fresh), expect=2) == "usage"
    # The device that enrolled under the first root has followed all of it.
    lost.json("device", "move", "desk", "lab")
    said(desk, "an admin moved this device from group office to lab")
    assert lost.json("script", "approve", "check.uptime")["published"] is True
    done = lost.json("run", "check.uptime", "--device", "desk", "--wait")
    assert (done["state"], done["signed"]) == ("succeeded", True)
