"""What fails is told as failed: silence of a broken tool is never "there is none"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from farhand_agent.checks.context import CheckContext
from farhand_agent.inventory.collectors.linux.os import parse_os_release
from farhand_agent.inventory.context import CommandFailed, Context
from farhand_agent.inventory.shown import cell
from farhand_agent.platforms.commands import CommandOverflow, Outcome
from farhand_protocol.errors import FarhandError
from tests.agent.inventory.machines import FOLDER, Link, Machine

DPKG_LINE = b"bash\t5.2\tamd64\tinstall\tinstalled\t100\tbash\t5.2\n"
RPM_LINE = b"bash\t0:5.2-1\tx86_64\t1\t1\tvendor\tbash.src.rpm\n"
POSTGRES: dict[str, str | bytes | Link] = {"/proc/7/comm": "postgres\n"}
FAILS = Outcome(2, b"", b"broken\n")
GARBAGE = "\x00\x01 nothing that anybody prints\n"

# By section: a machine on which its only source is the command.
ALONE: dict[str, tuple[dict[str, str | bytes | Link], dict[str, str | Outcome]]] = {
    "routes": ({}, {"ip": FAILS}),
    "listening_ports": ({}, {"ss": FAILS}),
    "databases": (POSTGRES, {"ss": FAILS}),
    "management": ({"/proc": FOLDER}, {"dpkg-query": FAILS}),
    "neighbours": ({}, {"ip": FAILS}),
    "firewall": ({}, {"firewall-cmd": FAILS}),
    "vpn": ({}, {"ip": "[]", "nmcli": FAILS}),
    "repositories": ({}, {"flatpak": FAILS}),
    "network": ({}, {"ip": FAILS}),
    "virtual_machines": ({}, {"virsh": FAILS}),
    "printers": ({}, {"lpstat": Outcome(1, b"", b"broken\n")}),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_failing_command_is_an_error(tmp_path: Path, name: str) -> None:
    files, commands = ALONE[name]
    report = Machine(tmp_path, files, commands).collect(name)
    assert report.status == "error", report
    assert "command-failed" in report.reason


@pytest.mark.parametrize(
    ("name", "files", "program"),
    [
        ("users", {}, "getent"),
        ("groups", {}, "getent"),
        ("listening_ports", {}, "ss"),
        ("databases", POSTGRES, "ss"),
        ("databases", {"/proc": FOLDER}, "dpkg-query"),
        ("management", {"/proc": FOLDER}, "rpm"),
    ],
)
def test_output_of_which_nothing_can_be_read_is_an_error(
    tmp_path: Path, name: str, files: dict[str, str | bytes | Link], program: str
) -> None:
    report = Machine(tmp_path, files, {program: GARBAGE}).collect(name)
    assert report.status == "error", report
    assert "collector-malformed" in report.reason


@pytest.mark.parametrize("name", ["users", "groups"])
def test_where_getent_fails_the_local_file_answers(tmp_path: Path, name: str) -> None:
    files: dict[str, str | bytes | Link] = {
        "/etc/passwd": "ada:x:7:7::/home/ada:/bin/sh\n", "/etc/group": "ada:x:7:\n",
    }  # fmt: skip
    report = Machine(tmp_path, files, {"getent": FAILS}).collect(name)
    assert (report.status, [one["name"] for one in report.items]) == ("ok", ["ada"])
    assert "local file only" in report.reason


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({}, {"dpkg-query": Outcome(2, b"", b"parsing file: end of file\n")} | {"rpm": ""}),
        ({}, {"dpkg-query": Outcome(2, DPKG_LINE, b"parsing file: end of file\n")}),
        ({}, {"dpkg-query": Outcome(1, DPKG_LINE, b"")}),
        ({"/var/lib/dpkg/info/bash.list": ""}, {"dpkg-query": Outcome(1, b"", b"")}),
        ({}, {"dpkg-query": DPKG_LINE.decode(), "rpm": Outcome(1, RPM_LINE, b"error: rpmdb\n")}),
        ({"/var/lib/rpm/rpmdb.sqlite": ""}, {"rpm": Outcome(1, b"", b"error: rpmdb\n")}),
        ({}, {"dpkg-query": DPKG_LINE.decode(), "flatpak": Outcome(-9, b"", b"")}),
        ({}, {"dpkg-query": DPKG_LINE.decode(), "flatpak": GARBAGE}),
        ({"/lib/apk/db/installed": "P:a\nV:1\n\nP:b\nV:"}, {}),
        ({"/lib/apk/db/installed": "P:a\nV:1\n\nP:b\n"}, {}),
        ({"/var/lib/pacman/local/a-1/desc": "%NAME%\na\n"}, {}),
    ],
)
def test_packages_of_a_broken_source_are_not_gone(
    tmp_path: Path, files: dict[str, str | bytes | Link], commands: dict[str, str | Outcome]
) -> None:
    report = Machine(tmp_path, files, commands).collect("software")
    assert (report.status, report.items) == ("error", []), report


def test_an_empty_database_of_another_package_manager_is_harmless(tmp_path: Path) -> None:
    commands: dict[str, str | Outcome] = {
        "dpkg-query": Outcome(1, b"", b"no packages\n"),
        "rpm": RPM_LINE.decode(),
    }
    (item,) = Machine(tmp_path, {}, commands).items("software")
    assert item["source"] == "rpm"


def test_codes_that_are_answers_stay_answers(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {"/proc": FOLDER},
        {
            "dpkg-query": Outcome(1, b"puppet\t8.1\tinstalled\n", b"no packages found\n"),
            "rpm": Outcome(40, b"package chef is not installed\n", b""),
            "firewall-cmd": Outcome(252, b"", b"not running\n"),
            "ip": Outcome(2, b"", b"Error: ipv4: FIB table does not exist.\n"),
            "lpstat": Outcome(1, b"", b"lpstat: No destinations added.\n"),
        },
    )
    assert [one["name"] for one in machine.items("management")] == ["Puppet agent"]
    assert machine.item("firewall")["enabled"] is False
    assert machine.items("routes") == machine.items("printers") == []


def test_a_command_that_told_an_empty_list_and_failed_told_nothing(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, {}, {"lsblk": Outcome(1, b"[]", b""), "old": Outcome(1, b"[1]", b"")}
    )
    context = Context(root=tmp_path, runner=machine.run, platform="linux")
    with pytest.raises(CommandFailed):
        context.run_json(["lsblk"])
    assert context.run_json(["old"]) == [1]


def test_a_long_line_of_os_release_is_left_out() -> None:
    # Read whole it would take shlex longer than a test may take.
    text = "A=" + "x" * 4_000_000 + "\nNAME=Kept\n"
    assert parse_os_release('NAME="Kept"\nB="' + "\\\\" * 100_000 + '"\n') == {"NAME": "Kept"}
    assert parse_os_release("A=" + "x" * 5_000 + "\nNAME=Kept\n") == {"NAME": "Kept"}
    assert parse_os_release(text) == {}


def test_an_mtu_is_shown_as_the_number_it_is_known_by() -> None:
    assert cell("mtu_bytes", 65_536) == "65536 B"
    assert cell("size_bytes", 65_536) == "64.0 KiB"


def test_an_absurd_line_does_not_hide_the_accounts_around_it(tmp_path: Path) -> None:
    absurd = "x" * 10_000_000
    passwd = f"ada:x:7:7::/:/bin/sh\nbob:x:8:8:{absurd}:/:/bin/sh\neve:x:9:9::/:/bin/sh\n"
    machine = Machine(tmp_path, {"/etc/passwd": passwd, "/etc/group": "ada:x:7:\n"})

    def overflow(argv: Sequence[str], **_: object) -> Outcome:
        raise CommandOverflow(argv[0], 8)

    machine.run = overflow  # type: ignore[method-assign]
    report = machine.collect("users")
    assert [one["name"] for one in report.items] == ["ada", "eve"]
    assert "a line of /etc/passwd is too long to be read" in report.reason


def test_a_check_of_a_section_that_failed_does_not_know(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {}, {"ss": FAILS})
    context = CheckContext(root=tmp_path, runner=machine.run, platform="linux")
    with pytest.raises(FarhandError, match="ss ended with 2"):
        context.section("listening_ports")
