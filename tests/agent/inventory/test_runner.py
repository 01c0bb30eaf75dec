"""The collector's contract: honest states, bounds, personal data, and the process around it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farhand_agent.inventory import registry, runner
from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.command import inventory
from farhand_agent.inventory.context import Context, Denied, Malformed, Unsupported
from farhand_agent.inventory.registry import PLATFORMS, Section, section, sections
from farhand_agent.inventory.runner import (
    WITHHELD,
    _collect_beside,
    collect_all,
    collect_section,
)
from farhand_agent.inventory.shown import as_text
from farhand_agent.platforms.commands import CommandMissing, CommandTimeout
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import section_hash, validate_section


def made(collect: Callable[[Context], list[dict[str, Any]]], **changes: Any) -> Section:
    fields: dict[str, Any] = {
        "name": "probe",
        "collect": collect,
        "platform": "linux",
        "timeout_s": 5.0,
    } | changes
    return Section(**fields)


def raising(error: Exception) -> Callable[[Context], list[dict[str, Any]]]:
    def collect(context: Context) -> list[dict[str, Any]]:
        raise error

    return collect


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unsupported("no such thing"), "unsupported"),
        (CommandMissing("lsblk"), "unsupported"),
        (Denied("root only"), "denied"),
        (PermissionError(13, "no", "/etc/shadow"), "denied"),
        (CommandTimeout("ip", 10), "timeout"),
        (Malformed("ip"), "error"),
        (ZeroDivisionError("bug"), "error"),
    ],
)
def test_what_goes_wrong_is_a_state_and_never_an_empty_ok(error: Exception, status: str) -> None:
    report = collect_section(made(raising(error)), Context(platform="linux"))
    assert (report.status, report.items) == (status, [])
    assert report.reason
    validate_section(report)
    assert report.hash != section_hash("ok", [])


def test_another_platform_is_unsupported_without_running_anything() -> None:
    report = collect_section(made(raising(AssertionError())), Context(platform="macos"))
    assert report.status == "unsupported"


def test_hostile_values_are_bounded_and_valid() -> None:
    items = [
        {"name": "x" * 10_000_000, "nan": float("nan"), "raw": "a\udcffb", "deep": [[[[[[[1]]]]]]]}
    ]
    report = collect_section(made(lambda _: items), Context(platform="linux"))
    assert report.status == "ok"
    validate_section(report)
    assert len(report.items[0]["name"]) == 8_000
    assert report.items[0]["nan"] is None


def test_too_many_items_is_an_error_and_not_a_cut() -> None:
    report = collect_section(made(lambda _: [{}] * 20_001), Context(platform="linux"))
    assert (report.status, report.items) == ("error", [])


def test_personal_values_are_withheld_and_not_missing() -> None:
    one = made(lambda _: [{"name": "ann", "uid": 7, "serial": None}], personal=("name", "serial"))
    report = collect_section(one, Context(platform="linux"), personal=False)
    assert report.items == [{"name": WITHHELD, "uid": 7, "serial": None}]


def test_remarks_and_refusals_do_not_name_people_either() -> None:
    def collect(context: Context) -> list[dict[str, Any]]:
        context.note("needs root")
        context.note("the home of ann needs root", private=True)
        return []

    whole = collect_section(made(collect), Context(platform="linux"))
    assert whole.reason == "needs root; the home of ann needs root"
    assert collect_section(made(collect), Context(platform="linux"), personal=False).reason == (
        "needs root"
    )
    refused = made(raising(PermissionError(13, "no", "/home/ann/x")))
    report = collect_section(refused, Context(platform="linux"), personal=False)
    assert (report.status, report.reason) == ("denied", "may not read a file")


def test_a_collector_that_hangs_costs_only_its_own_section() -> None:
    release = threading.Event()

    def hang(context: Context) -> list[dict[str, Any]]:
        release.wait(30)
        return []

    wanted = [
        made(hang, name="stuck", timeout_s=0.0),
        made(lambda _: [{"a": 1}], name="quick"),
    ]
    try:
        reports = _collect_beside(wanted, lambda one: Context(platform="linux"), True)
    finally:
        release.set()
    assert reports["stuck"].status == "timeout"
    assert reports["quick"].status == "ok"


def test_unknown_sections_are_named() -> None:
    with pytest.raises(FarhandError) as caught:
        collect_all(["nope"])
    with pytest.raises(FarhandError, match="section-unknown"):
        collect_all(["cpu"], leave_out=["nope"])
    assert caught.value.code == "section-unknown"


def test_a_section_left_out_is_not_collected() -> None:
    assert set(collect_all(["cpu", "os"], leave_out=["os", "updates"])) == {"cpu"}


def test_names_are_taken_once() -> None:
    assert "cpu" in sections()
    with pytest.raises(ValueError, match="taken"):
        section("cpu", platform="linux")
    with pytest.raises(ValueError, match="catalogue"):
        section("nope", platform="linux")
    with pytest.raises(ValueError, match="platform"):
        section("cpu", platform="amiga")


def test_every_name_has_an_answer_on_every_platform() -> None:
    for platform in PLATFORMS:
        assert set(sections(platform)) == set(CATALOGUE)
    nowhere = sections("amiga")["cpu"]
    report = collect_section(nowhere, Context(platform="amiga"))
    assert (report.status, report.reason) == ("unsupported", "not collected on amiga")


def test_an_opt_in_section_is_collected_only_when_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"cpu": made(lambda _: [{"a": 1}], name="cpu", opt_in=True)}
    monkeypatch.setattr(runner, "sections", lambda names: known)
    monkeypatch.setattr(runner, "CATALOGUE", {"cpu": "hardware"})
    assert collect_all()["cpu"].status == "unsupported"
    assert collect_all()["cpu"].reason == "not switched on"
    assert collect_all(["cpu"])["cpu"].status == "ok"
    assert collect_all(["cpu"], switched_on=[])["cpu"].status == "unsupported"
    assert collect_all(switched_on=["cpu"])["cpu"].status == "ok"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_section_lies_in_the_module_named_after_it(platform: str) -> None:
    """Only the modules of wanted sections are imported, so no other module may register one."""
    folder = Path(registry.__file__).parent / "collectors" / platform
    sections(platform)
    for name, where in registry._registered:
        assert where != platform or (folder / f"{name}.py").is_file(), name


def test_the_first_sections_are_there() -> None:
    assert set(sections()) >= {
        "system", "os", "cpu", "memory", "disks", "volumes", "network", "software", "services",
        "users", "updates",
    }  # fmt: skip


def test_the_process_prints_one_json_object_in_the_agreed_shape() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "farhand_agent.inventory", "--sections", "cpu,os", "--json"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    document = json.loads(done.stdout)
    assert document["device"] is None
    assert set(document["sections"]) == {"cpu", "os"}
    for found in document["sections"].values():
        assert set(found) == {"status", "reason", "items", "hash", "collected_at", "duration_ms"}
        assert found["hash"] == section_hash(found["status"], found["items"])


def test_the_process_fails_on_an_unknown_section() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "farhand_agent.inventory", "--section", "nope"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"section-unknown" in done.stderr
    assert done.stdout == b""


def test_tables_are_readable_and_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    import farhand_agent.inventory.command as command

    items: list[dict[str, Any]] = [
        {"name": "\x1b[2Jevil\u202e", "size_bytes": 16 * 1024**3, "empty": None, "on": True},
        {"name": "<script>", "size_bytes": None, "empty": None, "on": False},
    ]
    hostile = collect_section(made(lambda _: items), Context(platform="linux"))
    missing = collect_section(
        made(raising(Unsupported("no \x1b[2J here"))), Context(platform="linux")
    )
    monkeypatch.setattr(
        command, "collect_all", lambda *_, **__: {"probe": hostile, "other": missing}
    )
    shown = CliRunner().invoke(inventory, [])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "\u202e" not in shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    assert lines[:4] == [
        ["PROBE"],
        ["name", "size", "on"],
        ["\\x1b[2Jevil\\u202e", "16.0", "GiB", "yes"],
        ["<script>", "-", "no"],
    ]
    assert "unsupported" in shown.output


def test_one_table_for_each_record_and_one_for_a_single_item() -> None:
    items: list[dict[str, Any]] = [
        {"record": "array", "slots": 2, "speed_mhz": None},
        {"record": "module", "size_bytes": 512, "speed_mhz": 4800},
        {"record": "module", "size_bytes": None, "speed_mhz": None},
    ]
    report = collect_section(made(lambda _: items), Context(platform="linux"))
    text = as_text({"probe": report}, everything=False)
    assert [line.split() for line in text.splitlines()] == [
        ["PROBE"], ["field", "value"], ["slots", "2"], ["size", "speed"],
        ["512", "B", "4800", "MHz"], ["-", "-"],
    ]  # fmt: skip


def test_rows_and_columns_are_bounded_until_a_section_is_named() -> None:
    items = [{f"key{at}": "x" * 40 for at in range(20)} for _ in range(60)]
    report = collect_section(made(lambda _: items), Context(platform="linux"))
    short = as_text({"probe": report}, everything=False).splitlines()
    assert (len(short), short[-1]) == (28, "... 35 more: --section probe")
    assert max(map(len, short)) <= 140
    assert len(as_text({"probe": report}, everything=True).splitlines()) == 62
    empty = collect_section(made(lambda _: []), Context(platform="linux"))
    assert as_text({"probe": empty}, everything=False) == "PROBE\nnothing found"


def test_how_far_it_is_is_said_to_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import farhand_agent.inventory.command as command

    seen: list[tuple[int, int, str]] = []
    collect_all(["hosts_file", "locale"], progress=lambda *one: seen.append(one))
    assert [one[:2] for one in seen] == [(1, 2), (2, 2)]
    assert {one[2] for one in seen} == {"hosts_file", "locale"}
    shown = CliRunner().invoke(command.inventory, ["--section", "locale"])
    assert shown.stderr == ""
