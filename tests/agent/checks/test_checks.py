"""Checks: thresholds on made-up systems, honest unknowns, and the command around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_agent.checks import registry
from farhand_agent.checks.builtin.clock import parse_chrony, parse_timesync
from farhand_agent.checks.builtin.cpu import parse_loadavg
from farhand_agent.checks.builtin.memory import parse_pressure
from farhand_agent.checks.command import checks
from farhand_agent.checks.registry import CheckContext, CheckResult, Finding, Thresholds
from farhand_agent.checks.runner import run_check, run_checks
from farhand_agent.patches.provider import Kind, PatchList, Reboot, Update
from farhand_agent.platforms.commands import CommandMissing, CommandTimeout, Outcome
from farhand_protocol.errors import FarhandError


class Answers:
    """Answers commands by their first word, optionally with the word after it."""

    def __init__(self, answers: Mapping[str, Outcome | Exception]) -> None:
        self.answers = answers

    def __call__(self, argv: Sequence[str], **_: Any) -> Outcome:
        answer = self.answers.get(" ".join(argv[:2]), self.answers.get(argv[0]))
        if answer is None:
            raise CommandMissing(argv[0])
        if isinstance(answer, Exception):
            raise answer
        return answer


def system(
    tmp_path: Path,
    files: Mapping[str, str] | None = None,
    commands: Mapping[str, Outcome | Exception] | None = None,
    lists: Sequence[PatchList] = (),
    **parameters: object,
) -> CheckContext:
    for name, text in (files or {}).items():
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return CheckContext(
        root=tmp_path,
        runner=Answers(commands or {}),
        parameters=parameters,
        patches=lambda: list(lists),
        platform="linux",
    )


def found(updates: Sequence[Update] = (), **changes: Any) -> PatchList:
    fields: dict[str, Any] = {
        "provider": "apt",
        "status": "ok",
        "updates": tuple(updates),
        "security_labelled": True,
        "refreshed_at": "2026-11-22T00:00:00Z",
        "reboot": Reboot(required=False),
    } | changes
    return PatchList(**fields)


def update(name: str, kind: Kind = "unknown", **changes: Any) -> Update:
    return Update(id=name, name=name, installed="1", available="2", kind=kind, **changes)


def test_this_device_answers_every_check_in_the_agreed_shape() -> None:
    known = registry.checks()
    assert len(known) >= 12
    quick = [name for name in known if not name.startswith(("updates.", "reboot."))]
    for result in run_checks(quick):
        assert result.state in ("ok", "warning", "critical", "unknown", "unsupported")
        assert 0 < len(result.summary) <= 200
        assert result.plain.endswith(".")
        assert "check failed" not in result.summary
        assert (result.value is None) == (result.unit is None) or known[result.id].unit is None


def test_thresholds_count_as_reached() -> None:
    rising, falling = Thresholds(85, 95), Thresholds(15, 5, rising=False)
    assert [rising.state(v) for v in (84.9, 85, 95)] == ["ok", "warning", "critical"]
    assert [falling.state(v) for v in (15.1, 15, 5)] == ["ok", "warning", "critical"]


MOUNT = "1 0 8:1 / / rw - nfs4 server:/x rw\n"


@pytest.mark.parametrize(
    ("used", "state"), [(80, "ok"), (85, "warning"), (94, "warning"), (95, "critical")]
)
def test_disk_space(tmp_path: Path, used: int, state: str) -> None:
    # 100 blocks of 64 MiB; the network mount is asked through a command, so it can be made up.
    stat = Outcome(0, f"{64 * 1024**2} 100 {100 - used} {100 - used} 1000 500\n".encode(), b"")
    context = system(tmp_path, {"/proc/self/mountinfo": MOUNT}, {"stat": stat})
    result = run_check("disk.space", context)
    assert (result.state, result.value, result.unit) == (state, used, "percent")


def test_disk_space_with_plenty_left_is_well_at_any_percentage(tmp_path: Path) -> None:
    stat = Outcome(0, f"{1024**3} 10000 300 300 1000 500\n".encode(), b"")
    context = system(tmp_path, {"/proc/self/mountinfo": MOUNT}, {"stat": stat})
    assert run_check("disk.space", context).state == "ok"


def test_disk_space_of_a_dead_server_is_unknown(tmp_path: Path) -> None:
    context = system(tmp_path, {"/proc/self/mountinfo": MOUNT}, {"stat": CommandTimeout("stat", 5)})
    assert run_check("disk.space", context).state == "unknown"


@pytest.mark.parametrize(("free", "state"), [(500, "ok"), (150, "warning"), (20, "critical")])
def test_disk_inodes(tmp_path: Path, free: int, state: str) -> None:
    stat = Outcome(0, f"4096 100 50 50 1000 {free}\n".encode(), b"")
    context = system(tmp_path, {"/proc/self/mountinfo": MOUNT}, {"stat": stat})
    assert run_check("disk.inodes", context).state == state


def test_a_root_that_turned_read_only_is_critical(tmp_path: Path) -> None:
    line = "1 0 8:1 / / ro - ext4 /dev/sda1 ro\n"
    result = run_check("disk.read-only", system(tmp_path, {"/proc/self/mountinfo": line}))
    assert (result.state, result.value) == ("critical", 1)


@pytest.mark.parametrize(
    ("available", "stalled", "state"),
    [(50, 0, "ok"), (15, 0, "warning"), (4, 0, "critical"), (50, 12.5, "warning")],
)
def test_memory(tmp_path: Path, available: int, stalled: float, state: str) -> None:
    files = {
        "/proc/meminfo": f"MemTotal: 100000 kB\nMemAvailable: {available * 1000} kB\n",
        "/proc/pressure/memory": f"some avg60=0.00\nfull avg10=0.00 avg60={stalled:.2f}\n",
    }
    assert run_check("memory.pressure", system(tmp_path, files)).state == state


@pytest.mark.parametrize(
    ("total", "free", "state"),
    [(0, 0, "ok"), (100, 90, "ok"), (100, 40, "warning"), (100, 5, "critical")],
)  # fmt: skip
def test_swap(tmp_path: Path, total: int, free: int, state: str) -> None:
    text = f"SwapTotal: {total} kB\nSwapFree: {free} kB\n"
    assert run_check("swap.usage", system(tmp_path, {"/proc/meminfo": text})).state == state


@pytest.mark.parametrize(("factor", "state"), [(0.5, "ok"), (2, "warning"), (5, "critical")])
def test_load(tmp_path: Path, factor: float, state: str) -> None:
    load = factor * (os.cpu_count() or 1)
    context = system(tmp_path, {"/proc/loadavg": f"0.00 0.00 {load:.2f} 1/80 99\n"})
    assert run_check("cpu.load", context).state == state


def test_failed_services(tmp_path: Path) -> None:
    assert run_check("services.failed", system(tmp_path)).state == "unsupported"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    unit = {"unit": "bad.service", "load": "loaded", "active": "failed", "sub": "failed"}
    for units, state in (([], "ok"), ([unit], "warning")):
        answer = Outcome(0, json.dumps(units).encode(), b"")
        context = system(tmp_path, commands={"systemctl": answer})
        assert run_check("services.failed", context).state == state
    garbage = system(tmp_path, commands={"systemctl": Outcome(1, b"", b"no bus")})
    assert run_check("services.failed", garbage).state == "unknown"


def test_names(tmp_path: Path) -> None:
    well = {"getent": Outcome(0, b"192.0.2.1 STREAM example.com\n", b"")}
    assert run_check("dns.resolve", system(tmp_path, commands=well)).state == "ok"
    for answer in (Outcome(2, b"", b""), CommandTimeout("getent", 10)):
        result = run_check("dns.resolve", system(tmp_path, commands={"getent": answer}))
        assert (result.state, result.remedy) == ("critical", "remedy.dns.flush")
        assert "none set" in result.summary


@pytest.mark.parametrize("name", ["-h", "a b", "", "x" * 300, 7])
def test_a_name_that_could_be_an_option_is_refused(tmp_path: Path, name: object) -> None:
    with pytest.raises(FarhandError) as caught:
        run_check("dns.resolve", system(tmp_path, name=name))
    assert caught.value.code == "check-parameters"


def test_default_route(tmp_path: Path) -> None:
    route = b'[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]}]'
    for answer, state in ((route, "ok"), (b"[]", "critical"), (b"", "critical")):
        context = system(tmp_path, commands={"ip": Outcome(0, answer, b"")})
        assert run_check("network.default-route", context).state == state


CHRONY = (
    "A29FC87B,162.159.200.123,4,1795308942.1,{},0.0001,0.0002,-20.1,0.0,0.03,0.01,0.001,64.2,{}\n"
)


@pytest.mark.parametrize(
    ("offset", "leap", "state"),
    [
        ("0.000012", "Normal", "ok"),
        ("-2.5", "Normal", "warning"),
        ("31.0", "Normal", "critical"),
        ("0.0", "Not synchronised", "warning"),
    ],
)
def test_clock_by_chrony(tmp_path: Path, offset: str, leap: str, state: str) -> None:
    answer = Outcome(0, CHRONY.format(offset, leap).encode(), b"")
    result = run_check("clock.offset", system(tmp_path, commands={"chronyc": answer}))
    assert (result.state, result.unit) == (state, "seconds")


def test_clock_by_timesyncd(tmp_path: Path) -> None:
    status = b"       Server: 192.0.2.1\n       Offset: -1min 2.5s\n        Delay: 1ms\n"
    commands = {
        "timedatectl show": Outcome(0, b"NTP=yes\nNTPSynchronized=yes\n", b""),
        "timedatectl timesync-status": Outcome(0, status, b""),
    }
    result = run_check("clock.offset", system(tmp_path, commands=commands))
    assert (result.state, result.value) == ("critical", -62.5)


def test_clock_without_anyone_to_ask_is_unknown(tmp_path: Path) -> None:
    assert run_check("clock.offset", system(tmp_path)).state == "unknown"
    no_bus = {"timedatectl": Outcome(1, b"", b"System has not been booted with systemd")}
    assert run_check("clock.offset", system(tmp_path, commands=no_bus)).state == "unknown"


def test_a_time_zone_that_leads_nowhere(tmp_path: Path) -> None:
    context = system(tmp_path, {"/etc/x": ""})
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/No/Where")
    assert run_check("time.zone", context).state == "warning"


@pytest.mark.parametrize(("days", "state"), [(1, "ok"), (40, "warning"), (100, "critical")])
def test_uptime(tmp_path: Path, days: int, state: str) -> None:
    text = f"cpu 1 2 3\nbtime {int(time.time()) - days * 86400}\n"
    assert run_check("uptime", system(tmp_path, {"/proc/stat": text})).state == state


@pytest.mark.parametrize(
    ("lists", "state", "value"),
    [
        ([], "unsupported", None),
        ([found()], "ok", 0),
        ([found([update("a", "bugfix")])], "ok", 0),
        ([found([update("a", "security")])], "critical", 1),
        ([found([update("a", "security", held=True)])], "warning", 1),
        ([found([update("a")], security_labelled=False)], "unknown", None),
        ([found(status="denied", reason="x")], "unknown", None),
        ([found(), found(provider="dnf", security_labelled=False)], "unknown", None),
    ],
)
def test_security_updates_without_labels_are_never_none(
    tmp_path: Path, lists: list[PatchList], state: str, value: float | None
) -> None:
    result = run_check("updates.security", system(tmp_path, lists=lists))
    assert (result.state, result.value) == (state, value)
    assert (result.remedy is not None) == (state == "critical")


def test_pending_updates_leave_out_what_is_held_back(tmp_path: Path) -> None:
    some = [
        update("a"),
        update("b", held=True),
        update("c", phased=True),
        update("d", kept_back=True),
    ]
    result = run_check("updates.pending", system(tmp_path, lists=[found(some)]))
    assert (result.state, result.value, result.remedy) == ("warning", 1, "patch.apt.apply")
    assert run_check("updates.pending", system(tmp_path, lists=[found()])).state == "ok"
    half = [found(), found(provider="dnf", status="error", reason="x")]
    assert run_check("updates.pending", system(tmp_path, lists=half)).state == "unknown"


def test_old_indexes(tmp_path: Path) -> None:
    old = found(refreshed_at="2020-01-01T00:00:00Z")
    assert run_check("updates.refreshed", system(tmp_path, lists=[old])).state == "critical"
    never = found(refreshed_at=None)
    assert run_check("updates.refreshed", system(tmp_path, lists=[never])).state == "unknown"


@pytest.mark.parametrize(
    ("required", "state"), [(True, "warning"), (False, "ok"), (None, "unknown")]
)
def test_reboot(tmp_path: Path, required: bool | None, state: str) -> None:
    lists = [found(reboot=Reboot(required=required, reasons=("kernel",)))]
    assert run_check("reboot.required", system(tmp_path, lists=lists)).state == state


def test_broken_packages(tmp_path: Path) -> None:
    audit = (
        b"The following packages are only half configured, probably due to problems\n"
        b"configuring them the first time.\n libfoo1   the foo library\n\n"
    )
    for output, state in ((b"", "ok"), (audit, "critical")):
        context = system(tmp_path, commands={"dpkg": Outcome(0, output, b"")})
        assert run_check("packages.health", context).state == state
    assert run_check("packages.health", system(tmp_path)).state == "unsupported"


def test_another_platform_is_unsupported(tmp_path: Path) -> None:
    context = CheckContext(root=tmp_path, platform="windows")
    assert {result.state for result in run_checks(None, context)} == {"unsupported"}


def test_patch_providers_are_asked_once_for_all_checks(tmp_path: Path) -> None:
    calls: list[int] = []

    def ask() -> list[PatchList]:
        calls.append(1)
        return [found()]

    context = CheckContext(root=tmp_path, platform="linux", patches=ask)
    run_checks(["updates.security", "updates.pending", "reboot.required"], context)
    assert len(calls) == 1


def test_a_bug_in_a_check_is_unknown_among_many_and_an_error_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: CheckContext) -> Finding:
        raise ZeroDivisionError

    known = registry.checks()
    one = known["uptime"]
    bug = registry.Check(one.id, one.title, one.unit, one.platforms, broken)
    monkeypatch.setitem(registry._registered, "uptime", bug)
    context = system(tmp_path)
    assert run_checks(["uptime"], context)[0].state == "unknown"
    with pytest.raises(ZeroDivisionError):
        run_check("uptime", context)


def test_the_process_prints_the_agreed_list_and_exits_0_for_a_finding() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "farhand_agent.checks", "--id", "disk.space", "--json"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    document = json.loads(done.stdout)
    assert document["next"] is None
    (item,) = document["items"]
    assert set(item) == {"id", "state", "summary", "plain", "value", "unit", "remedy"}
    assert item["id"] == "disk.space"


def test_an_unknown_id_is_a_usage_error() -> None:
    shown = CliRunner().invoke(checks, ["--id", "nope"])
    assert shown.exit_code == 2
    assert "check-unknown" in shown.output


def test_tables_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    import farhand_agent.checks.command as command

    evil = CheckResult("x", "critical", "\x1b[2J", "bad\x9b", None, None, None)
    monkeypatch.setattr(command, "run_checks", lambda ids: [evil])
    shown = CliRunner().invoke(checks, [])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "\x9b" not in shown.output


def test_the_list_of_checks() -> None:
    shown = CliRunner().invoke(checks, ["--list", "--json"])
    ids = [item["id"] for item in json.loads(shown.output)["items"]]
    assert ids == sorted(registry.checks())


@given(st.text(alphabet="0123456789.,-+ usminh:Offsetfull avg60=\n", max_size=150) | st.text())
@settings(deadline=None)
def test_parsers_take_any_text(text: str) -> None:
    parse_chrony(text)
    parse_timesync(text)
    parse_loadavg(text)
    parse_pressure(text)
