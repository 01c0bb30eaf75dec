"""Checks as a whole: thresholds, running beside each other, parsers, the command around them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import farhand_agent.checks.command as command
from farhand_agent.checks import registry
from farhand_agent.checks.builtin import (
    backup,
    boot,
    clock,
    cpu,
    devices,
    domain,
    drives,
    memory,
    network,
    processes,
    programs,
    services,
    updates,
    wireless,
)
from farhand_agent.checks.builtin.disk import days_until_full
from farhand_agent.checks.builtin.programs import compare_versions
from farhand_agent.checks.builtin.release import SUPPORT_ENDS
from farhand_agent.checks.command import checks
from farhand_agent.checks.finding import CheckResult, Finding, Metric, Thresholds
from farhand_agent.checks.history import History
from farhand_agent.checks.plugins import parse_plugin, plugin_answer, run_plugin
from farhand_agent.checks.registry import Check, CheckContext, unknown
from farhand_agent.checks.runner import run_check, run_checks
from farhand_agent.inventory.context import Malformed
from farhand_agent.patches.provider import PatchList
from farhand_agent.platforms.commands import CommandMissing, CommandTimeout, Outcome
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import SectionReport
from tests.agent.checks.systems import DAY, NOW, Answers, found, report, system

WRAPPERS = Path(command.__file__).parents[2] / "wrappers" / "build.py"


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_wrappers", WRAPPERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def own(check_id: str, function: Any, **changes: Any) -> Check:
    """Return a check that is registered nowhere."""
    fields: dict[str, Any] = {
        "id": check_id, "title": "t", "unit": None, "platforms": ("linux",),
        "plain": {"ok": "Well."}, "limits": {}, "words": {}, "advice": "a", "risk": "R0",
        "remedies": (), "timeout_s": 20.0, "function": function,
    }  # fmt: skip
    return Check(**(fields | changes))


def test_there_are_sixty_checks_and_more() -> None:
    known = registry.checks()
    assert len(known) >= 60
    for check in known.values():
        assert check.advice
        assert check.function.__doc__


def test_thresholds_count_as_reached() -> None:
    rising, falling = Thresholds(85, 95), Thresholds(15, 5, rising=False)
    assert [rising.state(v) for v in (84.9, 85, 95)] == ["ok", "warning", "critical"]
    assert [falling.state(v) for v in (15.1, 15, 5)] == ["ok", "warning", "critical"]


def test_what_follows_from_the_registry_is_made() -> None:
    made = builder().made()
    assert len(made) == 2 * len(registry.checks()) + 1
    stale = [path for path, text in made.items() if path.read_text("utf-8") != text]
    assert not stale, "run `make wrappers`"


def test_this_device_answers_every_check() -> None:
    """On the real device: whatever it lacks, no check breaks; only the network is left alone."""
    sends = {"net.internet", "net.mtu", "net.gateway", "dns.resolve", "net.relay", "net.proxy"}
    slow = {"updates.security", "updates.pending", "updates.refreshed", "reboot.required"}
    context = CheckContext(pause=lambda seconds: None)
    told: list[tuple[int, int]] = []
    wanted = [name for name in registry.checks() if name not in sends | slow]
    results = run_checks(wanted, context=context, progress=lambda done, of: told.append((done, of)))
    assert [result.id for result in results] == wanted
    assert told == [(n + 1, len(wanted)) for n in range(len(wanted))]
    for result in results:
        assert "check failed" not in result.summary, result
        assert "check-" not in result.summary
        assert result.plain.endswith((".", ")."))
        assert 0 < len(result.summary) <= 200
    assert any(result.state == "ok" for result in results)


def test_a_check_that_hangs_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    def hangs(context: CheckContext) -> Finding:
        let_go.wait(60)
        return unknown("late")

    known = {
        "a.hangs": own("a.hangs", hangs, timeout_s=0.2),
        "b.works": own("b.works", lambda context: Finding(state="ok", summary="here")),
    }
    monkeypatch.setattr("farhand_agent.checks.runner.checks", lambda: known)
    results = run_checks(context=system(tmp_path))
    let_go.set()
    assert [(one.state, one.summary) for one in results] == [
        ("unknown", "no answer in 0.2 s"),
        ("ok", "here"),
    ]


def test_a_bug_in_a_check_is_unknown_among_many_and_an_error_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: CheckContext) -> Finding:
        raise ZeroDivisionError

    known = {"a": own("a", broken), "b": own("b", lambda context: unknown("x"))}
    monkeypatch.setattr("farhand_agent.checks.runner.checks", lambda: known)
    context = system(tmp_path)
    results = run_checks(context=context)
    assert "check failed: ZeroDivisionError" in results[0].summary
    assert results[1].summary == "x"
    with pytest.raises(ZeroDivisionError):
        run_check("a", context=context)


def test_what_keeps_a_check_from_looking_is_never_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: dict[str, tuple[Exception, str]] = {
        "missing": (CommandMissing("x"), "unsupported"),
        "timeout": (CommandTimeout("x", 1), "unknown"),
        "denied": (PermissionError(13, "no", "/secret"), "unknown"),
        "other": (FarhandError("collector-malformed", "nonsense"), "unknown"),
    }

    def raising(error: Exception) -> Any:
        def function(context: CheckContext) -> Finding:
            raise error

        return function

    known = {name: own(name, raising(error)) for name, (error, _) in raised.items()}
    monkeypatch.setattr("farhand_agent.checks.runner.checks", lambda: known)
    results = run_checks(context=system(tmp_path))
    assert {one.id: one.state for one in results} == {n: s for n, (_, s) in raised.items()}


def test_another_platform_is_unsupported(tmp_path: Path) -> None:
    context = CheckContext(root=tmp_path, platform="plan9")
    assert {result.state for result in run_checks(context=context)} == {"unsupported"}


def test_what_is_expensive_is_asked_once_for_all_checks(tmp_path: Path) -> None:
    calls: list[str] = []

    def ask() -> list[PatchList]:
        calls.append("patches")
        return [found()]

    def collect(name: str) -> SectionReport:
        calls.append(name)
        return report(name, [])

    context = CheckContext(root=tmp_path, platform="linux", patches=ask, sections=collect)
    ids = ["updates.security", "updates.pending", "updates.refreshed", "disk.smart", "disk.temp"]
    run_checks(ids, context=context)
    assert sorted(calls) == ["disk_health", "patches"]


def test_parameters_are_those_of_one_check(tmp_path: Path) -> None:
    context = system(tmp_path, {"/proc/meminfo": "SwapTotal: 100 kB\nSwapFree: 60 kB\n"})
    changed = {"swap.usage": {"warning_percent": 30}}
    (result,) = run_checks(["swap.usage"], changed, context=context)
    assert result.state == "warning"
    assert result.metrics == (Metric("swap.usage", 40.0, "percent", 30.0, 80.0),)
    assert run_checks(["swap.usage"], context=context)[0].state == "ok"


@pytest.mark.parametrize(
    ("check_id", "parameters"),
    [
        ("dns.resolve", {"name": "-h"}),
        ("dns.resolve", {"name": "a b"}),
        ("dns.resolve", {"name": "x" * 300}),
        ("dns.resolve", {"name": 7}),
        ("dns.resolve", {"host": "x"}),
        ("swap.usage", {"warning_percent": "many"}),
        ("swap.usage", {"warning_percent": True}),
        ("swap.usage", {"warning_bytes": 1}),
        ("swap.usage", {"warning_percent": float("nan")}),
        ("swap.usage", {"critical_percent": float("inf")}),
        ("swap.usage", {"critical_percent": 10**400}),
        ("swap.usage", {"warning_percent": 81}),
        ("swap.usage", {"warning_percent": 50, "critical_percent": 49.5}),
        # Less is worse, and it measures nothing here.
        ("memory.pressure", {"warning_percent": 4, "critical_percent": 5}),
        ("battery.health", {"critical_percent": 81}),
        ("net.ports", {"only": "22;rm"}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    tmp_path: Path, check_id: str, parameters: dict[str, object]
) -> None:
    files = {"/proc/meminfo": "SwapTotal: 100 kB\nSwapFree: 60 kB\n"}
    context = system(tmp_path, files, {"getent": "192.0.2.1 x"}, sections={"listening_ports": []})
    for run in (
        lambda: run_check(check_id, parameters, context=context),
        lambda: run_checks([check_id], {check_id: parameters}, context=context),
    ):
        with pytest.raises(FarhandError) as caught:
            run()
        assert caught.value.code == "check-parameters"


def test_history_is_kept_by_the_hour_and_forgotten_after_nine_days(tmp_path: Path) -> None:
    path = tmp_path / "checks.json"
    history = History(path)
    for minutes in range(0, 180, 20):
        history.add("a", NOW + 60 * minutes, minutes)
    assert [value for _, value in history.samples("a")] == [0, 60, 120]
    history.save()
    again = History(path)
    assert again.samples("a") == history.samples("a")
    again.add("a", NOW + 10 * DAY, 9)
    assert again.samples("a") == [(NOW + 10 * DAY, 9)]
    History(path, read_only=True).save()
    # The clock was set back: what lies in the future says nothing.
    again.add("a", NOW, 1)
    assert again.samples("a") == [(NOW, 1)]
    for number in range(300):
        again.add(f"s{number}", NOW, 1)
    again.save()
    assert len(json.loads(path.read_text())) == 256


@pytest.mark.parametrize("text", ["", "[", "[]", '{"a": 1}', '{"a": [[1], ["x", 2], [1e99, 1]]}'])
def test_a_history_that_cannot_be_read_is_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "checks.json"
    path.write_text(text)
    assert History(path).samples("a") == []


def test_a_history_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    context = system(
        tmp_path,
        {"/proc/vmstat": "oom_kill 0\n", "/proc/stat": f"btime {int(NOW) - DAY}\n"},
        history=History(tmp_path / "missing" / "checks.json"),
    )
    assert run_checks(["oom.kills"], context=context)[0].state == "ok"


def test_a_straight_line_tells_when_a_disk_is_full() -> None:
    steady = [(NOW + hour * 3600.0, 100.0 + hour) for hour in range(48)]
    assert days_until_full(steady, 240) == pytest.approx(10)
    assert days_until_full(steady[:5], 240) is None
    assert days_until_full(steady[:20], 240) is None
    assert days_until_full([(at, 5.0) for at, _ in steady], 240) == float("inf")


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("1.9", "1.10"),
        ("1.0~rc1", "1.0"),
        ("1.0a", "1.0.1"),
        ("3.0.16-1", "3.0.17-0"),
        ("9.9", "1:0.1"),
        ("139.0.1", "140"),
    ],
)
def test_versions_are_compared_by_their_numbers(less: str, more: str) -> None:
    assert compare_versions(less, more) == -1
    assert compare_versions(more, less) == 1
    assert compare_versions(less, less) == 0


def test_a_zero_at_the_end_of_a_version_means_nothing() -> None:
    assert compare_versions("1.0", "1") == 0
    assert compare_versions("2:3.4-1", "2:3.4-9") == 0


def test_the_dates_of_releases_are_dates() -> None:
    for versions in SUPPORT_ENDS.values():
        for text in versions.values():
            assert date.fromisoformat(text).isoformat() == text


def result(check_id: str, state: Any, **changes: Any) -> CheckResult:
    fields: dict[str, Any] = {
        "summary": "s", "plain": "p.", "value": None, "unit": None, "remedy": None,
    }  # fmt: skip
    return CheckResult(id=check_id, state=state, **(fields | changes))


def test_one_result_as_a_plugin() -> None:
    one = result(
        "disk.space", "warning", summary="/ 90 % | full",
        metrics=(Metric("disk.space", 90.5, "percent", 85, 95),),
    )  # fmt: skip
    text, code = plugin_answer([one])
    assert code == 1
    assert text == "DISK.SPACE WARNING - / 90 %   full | 'disk.space'=90.5%;85;95;0;100"


def test_several_results_as_a_plugin() -> None:
    falling = (Metric("memory", 4, "percent", 15, 5, rising=False), Metric("x", 2, "seconds"))
    many = [
        result("a", "ok", metrics=falling), result("b", "unsupported"), result("c", "unknown"),
    ]  # fmt: skip
    text, code = plugin_answer(many)
    assert code == 3
    first, *rest = text.split("\n")
    assert first == "CHECKS UNKNOWN - 1 of 3: c | 'a memory'=4%;15:;5:;0;100 'a x'=2s"
    assert rest == ["[OK] a: s", "[UNSUPPORTED] b: s", "[UNKNOWN] c: s"]
    assert plugin_answer([*many, result("d", "critical"), result("e", "warning")])[1] == 2
    assert plugin_answer([result("a", "ok"), result("b", "unsupported")])[1] == 0
    assert plugin_answer([result("b", "unsupported")])[1] == 3
    assert plugin_answer([])[1] == 3


PLUGIN = (
    "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968 'it''s'=5%;10:;5:\n"
    "long text\nmore | time=0.5s;;;0.0\n"
)


def test_a_foreign_plugin_is_read() -> None:
    said = parse_plugin("check_disk", PLUGIN, 0)
    assert (said.state, said.summary) == ("ok", "DISK OK - free space: / 3326 MB (56%);")
    assert said.metrics == (
        Metric("/", 2643, "megabytes", 5948, 5958),
        Metric("it's", 5, "percent", 10, 5, rising=False),
        Metric("time", 0.5, "seconds"),
    )
    assert parse_plugin("x", "", 127).state == "unknown"
    assert parse_plugin("x", "", -9).summary == "no output, exit code -9"


@pytest.mark.parametrize(("code", "state"), [*enumerate(("ok", "warning", "critical", "unknown"))])
def test_what_we_say_as_a_plugin_is_read_again(code: int, state: str) -> None:
    metrics = (Metric("a", 7, "percent", 5, 9),)
    text, exit_code = plugin_answer([result("a", state, metrics=metrics)])
    assert exit_code == code
    again = parse_plugin("a", text, exit_code)
    assert (again.state, again.metrics) == (state, metrics)


def test_a_foreign_plugin_that_hangs_is_unknown() -> None:
    hangs = Answers({"/p/check_x": CommandTimeout("check_x", 60)})
    assert run_plugin(["/p/check_x", "-w", "5"], runner=hangs).state == "unknown"
    assert hangs.asked == ["/p/check_x -w 5"]
    warns = Answers({"/p/check_x": Outcome(1, b"LOAD WARNING|load=6", b"")})
    assert run_plugin(["/p/check_x"], runner=warns).value == 6


def test_the_process_prints_the_agreed_list_and_exits_0_for_a_finding() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "farhand_agent.checks", "--id", "swap.usage", "--json",
         "--lang", "de"],
        capture_output=True,
        timeout=60,
        check=True,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["next"] is None
    (item,) = document["items"]
    assert set(item) >= {"id", "state", "summary", "plain", "value", "unit", "remedy"}
    assert (item["id"], item["language"]) == ("swap.usage", "de")
    assert done.stderr == b""


def ran(*words: str) -> Any:
    return CliRunner().invoke(checks, words)


def test_usage_errors() -> None:
    assert ran("--id", "nope").exit_code == 2
    assert "check-unknown" in ran("nope").output
    assert ran("nope", "--plugin").exit_code == 3
    own = [f"swap.usage.{one}" for one in ("warning_percent=x", "y=1", "warning_percent=nan")]
    own += [f"swap.usage.{one}" for one in ("critical_percent=1e400", "critical_percent=-1")]
    for bad in ("x", "nope.warning_percent=1", *own):
        shown = ran("swap.usage", "--param", bad)
        assert (shown.exit_code, "check-parameters" in shown.output) == (2, True), bad


def test_who_names_a_check_is_told_in_her_language() -> None:
    shown = ran("swap.usage", "--param", "swap.usage.critical_percent=100", "--lang", "ru")
    assert "swap.usage: " in shown.output
    assert any("а" <= letter <= "я" for letter in shown.output)


def test_parameters_on_the_command_line() -> None:
    words = ["--param", "uptime.warning_days=0", "--param", "uptime.critical_days=1e9"]
    assert "warning" in ran("uptime", *words).output
    assert ran("uptime", "--plugin", *words).exit_code == 1
    listed = {one["id"]: one for one in json.loads(ran("--list", "--json").output)["items"]}
    assert listed["uptime"]["thresholds"]["days"]["critical"] == 90
    assert list(listed["dns.resolve"]["words"]) == ["name"]


def test_the_home_is_only_read_and_never_a_condition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console's home in FARHAND_HOME is no reason not to look; named on purpose it is refused."""
    home = tmp_path / "agent"
    home.mkdir()
    (home / "config.toml").write_text('program = "farhand-agent"\nurl = "http://127.0.0.1:1"\n')
    shown = ran("--home", str(home), "net.relay", "agent.health", "--json")
    states = {one["id"]: one["state"] for one in json.loads(shown.output)["items"]}
    assert states == {"net.relay": "critical", "agent.health": "unknown"}
    assert [path.name for path in home.iterdir()] == ["config.toml"]
    (home / "operator.key").write_text("")
    (home / "config.toml").write_text('program = "farhand"\n')
    monkeypatch.setenv("FARHAND_HOME", str(home))
    (item,) = json.loads(ran("net.relay", "--json").output)["items"]
    assert item["state"] == "unsupported"
    assert ran("--home", str(home), "net.relay").exception is not None


def test_a_foreign_plugin_on_the_command_line(tmp_path: Path) -> None:
    plugin = tmp_path / "check_it"
    plugin.write_text('#!/bin/sh\necho "IT CRITICAL - $1 | it=9;5;8"\nexit 2\n')
    plugin.chmod(0o755)
    shown = ran("--run-plugin", str(plugin), "--json", "--", "-x")
    (item,) = json.loads(shown.output)["items"]
    assert (item["state"], item["summary"]) == ("critical", "IT CRITICAL - -x")
    assert ran("--run-plugin", str(plugin), "--plugin").exit_code == 2
    assert ran("--run-plugin", str(tmp_path / "none")).exit_code == 2


def test_tables_are_escaped_and_only_coloured_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evil = result(
        "x",
        "critical",
        summary="\x1b[2J",
        plain="bad\x9b",
        remedy="y\x07",
        risk="R1",
        advice="a\x1b",
    )
    hidden = result("z", "unsupported")
    monkeypatch.setattr(command, "run_checks", lambda *a, **k: [evil, hidden])
    shown = ran()
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "\x9b" not in shown.output
    assert "1 checks do not apply" in shown.output
    assert "unsupported  z" in ran("--all").output
    coloured = CliRunner().invoke(checks, [], color=True).output
    assert coloured.count("\x1b[") == 2


def test_the_list_of_checks() -> None:
    items = json.loads(ran("--list", "--json").output)["items"]
    assert [item["id"] for item in items] == sorted(registry.checks())
    assert len(ran("--list").output.splitlines()) == len(items) + 1


PARSERS: list[Callable[[str], object]] = [
    backup.parse_latest_backup,
    boot.parse_analyze,
    clock.parse_chrony,
    clock.parse_timesync,
    cpu.parse_loadavg,
    devices.parse_jobs,
    devices.parse_nvidia,
    domain.parse_realms,
    drives.parse_diskstats,
    memory.parse_pressure,
    network.parse_ping,
    lambda text: processes.parse_stat(text, 100),
    lambda text: programs.compare_versions(text, text[::-1]),
    services.parse_show,
    updates.last_apt_upgrade,
    wireless.parse_handshakes,
    lambda text: parse_plugin("x", text, 0),
]
WORDS = st.sampled_from(
    ["Offset: ", "full avg60=", "= 1.2/", "5 packets transmitted, ", "Sun Nov 22 07:00:00 2026",
     "reboot   system boot ", "NRestarts=", "| 'a'=5%;1:;", "Office-12  a  1  ", "1min 2.5s",
     "2026-11-20-101500", "Upgrade: a\nEnd-Date: ", "9" * 25, "\t", "\n", "\n\n", "(x) R ", "1,2,"]
)  # fmt: skip


@given(st.lists(WORDS | st.text(max_size=10), max_size=12).map("".join))
@settings(deadline=None, max_examples=60)
def test_parsers_take_any_text(text: str) -> None:
    for parse in PARSERS:
        with contextlib.suppress(Malformed):
            parse(text)
