"""A release of the agent on its way: handed in, approved by others, known to a real device."""

from __future__ import annotations

import time
from pathlib import Path

from farhand_agent.config import Home
from farhand_agent.trust.verified import Verified, load_verified
from farhand_agent.updates.unpacking import own_platform
from farhand_protocol.releases import release_path
from tests.agent.updates.releases import make_release
from tests.support.stage import AgentHome, Stage


def known_to(agent: AgentHome, path: str) -> Verified:
    """Wait until a device's verified copy names a release."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        trust = load_verified(Home.at(agent.home))
        if trust is not None and path in trust.releases:
            return trust
        time.sleep(0.1)
    raise AssertionError("the device has not heard of the release")


def test_others_approve_a_release_and_devices_hear_of_it(tmp_path: Path) -> None:
    file, platform = tmp_path / "release.pyz", own_platform()
    file.write_bytes(make_release("0.2.0"))
    path = release_path(platform, "0.2.0")
    with Stage() as stage:
        admin, tess = stage.settle(library=False)
        stage.start_relay()
        otto = stage.technician(admin, "otto", "--can", "approve:destructive")
        uma = stage.technician(admin, "uma", "--can", "order,approve:destructive")
        agent = stage.agent("desk")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        add = ["release", "add", str(file), "--platform", platform, "--version"]
        added = admin.json(*add, "0.2.0")
        assert (added["approved_by"], added["needed"]) == ([], 2)
        approve = ["release", "approve", "0.2.0", "--sha256"]
        assert otto.json("release", "approve", "0.2.0", "--file", str(file))["approved_by"] == [
            "otto"
        ]
        signed = uma.json(*approve, added["sha256"])
        assert (signed["approved_by"], signed["published"]) == (["otto", "uma"], False)
        admin.json("release", "publish", "0.2.0")
        (listed,) = tess.json("release", "list")["items"]
        assert (listed["state"], listed["author"]) == ("published", "admin")
        trust = known_to(agent, path)
        assert trust.releases[path].approvers == ["otto", "uma"]
