"""Checks on a Windows laptop and server as the inventory's recordings have them: the keys fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_agent.checks.context import CheckContext
from farhand_agent.checks.registry import checks
from farhand_agent.checks.runner import run_checks
from tests.agent.checks.systems import NOW, Answers, found
from tests.agent.inventory.windows.test_windows import machine, recorded

# They open connections of their own.
SENDS = {"net.internet", "net.proxy", "net.relay"}


# What each of them says; what neither says is `unsupported` or `unknown`.
LAPTOP = {
    "ok": {
        "audio.video", "battery.health", "cert.root", "clock.offset", "disk.smart", "disk.space",
        "disk.temp", "memory.pressure", "net.ipconf", "net.link", "net.vpn",
        "network.default-route", "sec.av", "sec.disk-encryption", "sec.mac", "sec.secureboot-tpm",
        "swap.usage", "updates.pending", "updates.refreshed", "updates.security", "uptime",
    },
    "warning": {
        "crash.apps", "dev.driver-errors", "net.ports", "power.events", "reboot.required",
        "sec.firewall", "sec.sshd-rdp",
    },
    "critical": {"os.eol", "print.queue", "sec.admins"},
}  # fmt: skip
SERVER = {"ok": {"os.eol", "uptime", "sec.av"}, "critical": {"raid.state", "memory.pressure"}}


@pytest.mark.parametrize(("name", "expected"), [("laptop", LAPTOP), ("server", SERVER)])
def test_a_recorded_windows_is_judged(
    name: str, expected: dict[str, set[str]], tmp_path: Path
) -> None:
    made = machine(tmp_path, recorded(name))
    context = CheckContext(
        root=tmp_path,
        runner=Answers({}),
        platform="windows",
        patches=lambda: [found(provider="windows-update")],
        sections=made.collect,
        now=lambda: NOW,
    )
    wanted = [one.id for one in checks().values() if "windows" in one.platforms]
    results = run_checks([one for one in wanted if one not in SENDS], context=context)
    assert not [one.summary for one in results if "check failed" in one.summary]
    for state, ids in expected.items():
        said = {one.id for one in results if one.state == state}
        assert said == ids if name == "laptop" else said >= ids
