"""Whether a device is ready for a change: power, room, other package managers, a restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.patches import power
from farhand_agent.patches.locks import lock_holder
from farhand_agent.patches.power import Power, power_state
from farhand_agent.patches.provider import Plan, ProviderError, Reboot, Update
from farhand_agent.patches.readiness import Limits, Readiness
from farhand_agent.platforms.commands import CommandMissing, Outcome
from farhand_agent.platforms.files import SystemFiles

MIB = 1024 * 1024
DUE = Reboot(required=True, reasons=("kernel 6.2",))
NOT_DUE = Reboot(required=False)


def plan(size_bytes: int = 0, *, restart: bool = False) -> Plan:
    one = Update(
        id="lib", name="lib", installed="1", available="2", size_bytes=size_bytes,
        requires_reboot=restart,
    )  # fmt: skip
    return Plan(provider="apt", updates=(one,))


class Clock:
    """Time that goes on only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def look(root: Path, limits: Limits | None = None, **changes: Any) -> Readiness:
    usual: dict[str, Any] = {
        "files": SystemFiles(root),
        "power": lambda: None,
        "free_bytes": lambda path: 10_000 * MIB,
    }
    return Readiness(limits or Limits(), **(usual | changes))


def codes(found: list[ProviderError]) -> list[str]:
    return [one.code for one in found]


def test_a_device_with_everything_is_ready(tmp_path: Path) -> None:
    look(tmp_path).require(plan(), DUE)
    look(tmp_path, power=lambda: Power(False, 30)).require(plan(), NOT_DUE)
    look(tmp_path, power=lambda: Power(True, 1)).require(plan(), NOT_DUE)
    look(tmp_path, power=lambda: Power(False, None)).require(plan(), NOT_DUE)


def test_each_obstacle_has_its_code_and_the_first_names_the_rest(tmp_path: Path) -> None:
    ready = look(
        tmp_path, Limits(reboot_first=True), power=lambda: Power(False, 29),
        free_bytes=lambda path: 400 * MIB,
    )  # fmt: skip
    with pytest.raises(ProviderError) as caught:
        ready.require(plan(), DUE)
    assert caught.value.code == "patch-on-battery"
    assert "29 %" in caught.value.message
    assert "patch-disk-full: / has 400 MiB left, 500" in (caught.value.hint or "")
    assert "patch-reboot-first: it waits for a restart: kernel 6.2" in (caught.value.hint or "")
    nothing = Limits(battery_percent=0, free_mib=0, boot_free_mib=0, reboot_first=False)
    look(
        tmp_path, nothing, power=lambda: Power(False, 1), free_bytes=lambda path: 0
    ).require(plan(restart=True), DUE)  # fmt: skip


def test_what_comes_in_counts_and_boot_only_where_a_restart_follows(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()

    def free(path: Path) -> int:
        return (63 if path.name == "boot" else 600) * MIB

    ready = look(tmp_path, free_bytes=free)
    assert codes(ready.obstacles(plan(), NOT_DUE)) == []
    (large,) = ready.obstacles(plan(size_bytes=200 * MIB), NOT_DUE)
    assert large.message == "/ has 600 MiB left, 700 MiB are asked for"
    (boot,) = ready.obstacles(plan(restart=True), NOT_DUE)
    assert boot.message == "/boot has 63 MiB left, 64 MiB are asked for"


@pytest.mark.parametrize(
    "given", [{"free_mib": -1}, {"free_mib": True}, {"reboot_first": 1}, {"battery_percent": "3"}]
)
def test_a_limit_of_another_kind_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        Limits.from_parameters(given)
    assert caught.value.code == "patch-parameters"
    assert Limits.from_parameters({"ids": "x", "lock_wait_s": 7}) == Limits(lock_wait_s=7)


_HOLD = (
    "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX);"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def dpkg_at_work(tmp_path: Path) -> Iterator[int]:
    folder = tmp_path / "var/lib/dpkg"
    folder.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _HOLD, folder / "lock-frontend"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.stdin.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="locks of Linux")
def test_another_package_manager_is_waited_for_and_then_named(
    tmp_path: Path, dpkg_at_work: int
) -> None:
    clock = Clock()
    ready = look(tmp_path, Limits(lock_wait_s=20), now=clock, pause=clock.pause)
    with pytest.raises(ProviderError) as caught:
        ready.require(plan(), NOT_DUE)
    assert (caught.value.code, caught.value.retryable) == ("patch-locked", True)
    assert f"process {dpkg_at_work}" in caught.value.message
    assert clock.now == 20


def test_a_lock_that_goes_away_is_no_obstacle(tmp_path: Path) -> None:
    mark = tmp_path / "var/lib/pacman/db.lck"
    mark.parent.mkdir(parents=True)
    mark.touch()
    clock = Clock()

    def pause(seconds: float) -> None:
        clock.pause(seconds)
        if clock.now == 3:
            mark.unlink()

    look(tmp_path, now=clock, pause=pause).require(plan(), NOT_DUE)
    assert clock.now == 3


def test_a_number_of_a_process_that_is_gone_locks_nothing(tmp_path: Path) -> None:
    for name, text in (("run/zypp.pid", "4711\n"), ("proc/4712/comm", "dnf\n")):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert lock_holder(SystemFiles(tmp_path)) is None
    (tmp_path / "run/yum.pid").write_text("4712\n")
    assert lock_holder(SystemFiles(tmp_path)) == "dnf (process 4712, /run/yum.pid)"


def supplies(root: Path, *found: dict[str, str]) -> Power | None:
    for number, values in enumerate(found):
        folder = root / f"sys/class/power_supply/S{number}"
        folder.mkdir(parents=True)
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n")
    return power_state(files=SystemFiles(root), platform="linux")


BATTERY = {"type": "Battery", "status": "Discharging", "capacity": "42", "present": "1"}


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ([], None),
        ([{"type": "Mains", "online": "1"}], None),
        ([BATTERY], Power(False, 42)),
        ([BATTERY, {"type": "Mains", "online": "0"}], Power(False, 42)),
        ([BATTERY, {"type": "USB", "online": "1"}], Power(True, 42)),
        ([BATTERY | {"status": "Full"}], Power(True, 42)),
        ([BATTERY | {"scope": "Device"}], None),
        ([BATTERY | {"present": "0"}], None),
        ([BATTERY | {"capacity": "?"}], Power(False, None)),
        ([BATTERY, BATTERY | {"capacity": "77"}], Power(False, 77)),
    ],
)
def test_linux_tells_its_power(
    tmp_path: Path, found: list[dict[str, str]], answer: Power | None
) -> None:
    assert supplies(tmp_path, *found) == answer


_PMSET = (
    "Now drawing from '{0}'\n -InternalBattery-0 (id=4063331)\t{1}%; discharging; 3:11 remaining "
    "present: true\n"
)


@pytest.mark.parametrize(
    ("platform", "text", "answer"),
    [
        ("macos", _PMSET.format("Battery Power", 85), Power(False, 85)),
        ("macos", _PMSET.format("AC Power", 100), Power(True, 100)),
        ("macos", "Now drawing from 'AC Power'\n", None),
        ("macos", "", None),
        ("windows", "1 55\r\n", Power(False, 55)),
        ("windows", "2 100\r\n1 9\r\n", Power(False, 100)),
        ("windows", "2 100\r\n", Power(True, 100)),
        ("windows", "", None),
        ("windows", "Get-CimInstance : \n", None),
    ],
)
def test_other_systems_tell_theirs(platform: str, text: str, answer: Power | None) -> None:
    def runner(argv: object, **_: object) -> Outcome:
        return Outcome(0, text.encode(), b"")

    assert power_state(runner=runner, platform=platform) == answer


def test_whoever_cannot_tell_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(argv: object, **_: object) -> Outcome:
        raise CommandMissing("pmset")

    assert power_state(runner=missing, platform="macos") is None
    monkeypatch.setattr(power, "platform_name", lambda: "plan9")
    assert power_state() is None
