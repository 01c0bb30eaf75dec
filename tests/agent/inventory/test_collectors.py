"""Collectors: the real device where it can be compared, and every parser against anything."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.collectors.linux.cpu import parse_cpuinfo
from farhand_agent.inventory.collectors.linux.disks import parse_lsblk
from farhand_agent.inventory.collectors.linux.memory import parse_meminfo
from farhand_agent.inventory.collectors.linux.network import (
    parse_addresses,
    parse_resolv_conf,
    parse_routes,
)
from farhand_agent.inventory.collectors.linux.os import parse_os_release
from farhand_agent.inventory.collectors.linux.services import (
    parse_sysv,
    parse_unit_files,
    parse_units,
)
from farhand_agent.inventory.collectors.linux.software import parse_dpkg, parse_rpm
from farhand_agent.inventory.collectors.linux.usage import boot_time
from farhand_agent.inventory.collectors.linux.users import admin_names, parse_passwd, parse_shadow
from farhand_agent.inventory.collectors.linux.volumes import parse_labels
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.fillers import chassis_name, real_value
from farhand_agent.inventory.registry import sections
from farhand_agent.inventory.runner import collect_all, collect_section
from farhand_agent.patches.provider import PatchList, Reboot, Update
from farhand_agent.platforms.mounts import parse_mountinfo
from farhand_protocol.inventory import STATUSES, SectionReport, validate_section
from tests.agent.inventory.field_tables import unwritten

RECORDED = Path(__file__).parents[1] / "patches/recorded"
FAST = [
    "cpu",
    "disks",
    "memory",
    "network",
    "os",
    "software",
    "system",
    "usage",
    "users",
    "volumes",
]


@pytest.fixture(scope="module")
def reports() -> dict[str, SectionReport]:
    # Patch providers ask package managers for seconds; tests/agent/patches has them.
    opted = [name for name, one in sections().items() if one.opt_in]
    return collect_all(leave_out=["updates"], switched_on=opted)


def test_every_section_of_this_device_is_honest(reports: dict[str, SectionReport]) -> None:
    assert set(reports) == CATALOGUE.keys() - {"updates"}
    for name, one in sections().items():
        if name == "updates":
            continue
        report = reports[name]
        validate_section(report)
        assert report.status in STATUSES - {"error"}, (name, report.reason)
        assert report.status == "ok" or report.reason, name
        assert not unwritten(name, one.personal, report.items), name


def test_no_section_tells_a_command_line_or_an_environment(
    reports: dict[str, SectionReport],
) -> None:
    """This process has both; what it was started with must be nowhere."""
    mark = f"mark-{os.getpid()}"
    words = ["sh", "-c", "echo ready; read line", mark]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"MARK": f"{mark}-env"}
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = collect_all(["processes", "listening_ports", "services", "reboot"])
        child.stdin.close()  # type: ignore[union-attr]
    assert any(item["pid"] == child.pid for item in found["processes"].items)
    assert mark not in json.dumps([one.items for one in found.values()])


def test_updates_are_those_of_the_patch_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    from farhand_agent.inventory import pending_updates

    told = PatchList(
        provider="apt", status="ok", reboot=Reboot(required=True, reasons=("kernel",)),
        updates=(Update(id="x", name="x", installed="1", available="2", kind="security"),),
    )  # fmt: skip
    monkeypatch.setattr(pending_updates, "list_all", lambda: [told])
    (section,) = sections(names=["updates"]).values()
    report = collect_section(section, Context())
    provider, update = report.items
    assert (provider["reboot_required"], update["kind"]) == (True, "security")
    assert not unwritten("updates", section.personal, report.items)


def only(report: SectionReport) -> dict[str, Any]:
    assert report.status == "ok", report.reason
    (item,) = report.items
    return item


def test_every_section_of_this_device_is_ok_and_valid(reports: dict[str, SectionReport]) -> None:
    for name in FAST:
        if name == "disks" and not Path("/usr/bin/lsblk").exists():
            continue
        assert reports[name].status == "ok", (name, reports[name].reason)
        assert reports[name].items
        validate_section(reports[name])


def test_collecting_twice_gives_the_same_hashes(reports: dict[str, SectionReport]) -> None:
    again = collect_all(["cpu", "memory", "os", "software", "system", "users", "volumes"])
    assert {name: again[name].hash for name in again} == {n: reports[n].hash for n in again}


def test_memory_and_cpu_agree_with_psutil(reports: dict[str, SectionReport]) -> None:
    assert only(reports["memory"])["total_bytes"] == psutil.virtual_memory().total
    assert sum(item["threads"] for item in reports["cpu"].items) == psutil.cpu_count()


def test_os_agrees_with_python(reports: dict[str, SectionReport]) -> None:
    item = only(reports["os"])
    release = platform.freedesktop_os_release()
    assert item["id"] == release["ID"]
    assert item["pretty_name"] == release["PRETTY_NAME"]
    assert item["kernel"] == os.uname().release


@pytest.mark.needs("dpkg-query")
def test_software_agrees_with_dpkg_query(reports: dict[str, SectionReport]) -> None:
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status} ${Package} ${Version} ${Architecture}\n"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = {tuple(line.split()[1:]) for line in lines if line.startswith("installed ")}
    items = [item for item in reports["software"].items if item["source"] == "dpkg"]
    assert {(i["name"], i["version"], i["arch"]) for i in items} == expected
    bash = next(item for item in items if item["name"] == "bash")
    assert bash["installed_at"].endswith("Z")
    assert bash["size_bytes"] > 1_000_000


def test_volumes_agree_with_psutil(reports: dict[str, SectionReport]) -> None:
    root = next(item for item in reports["volumes"].items if item["mount"] == "/")
    assert root["total_bytes"] == psutil.disk_usage("/").total
    assert all(item["filesystem"] not in ("proc", "tmpfs") for item in reports["volumes"].items)


def test_interfaces_agree_with_psutil(reports: dict[str, SectionReport]) -> None:
    found = {i["name"]: i for i in reports["network"].items if i["record"] == "interface"}
    assert set(found) == set(psutil.net_if_addrs()) | set(psutil.net_if_stats())
    assert "127.0.0.1/8" in found["lo"]["addresses"]


def test_users_have_no_full_names_and_no_hashes(reports: dict[str, SectionReport]) -> None:
    root = next(item for item in reports["users"].items if item["uid"] == 0)
    assert root["administrator"]
    assert set(root) == {
        "name", "uid", "gid", "home", "shell", "interactive", "administrator", "password",
        "password_changed_on",
    }  # fmt: skip


def test_rpm_lines_as_recorded() -> None:
    items = parse_rpm((RECORDED / "dnf-4.14-rpmqa.txt").read_text())
    held = next(item for item in items if item["name"] == "fhheld")
    assert (held["source"], held["version"], held["arch"]) == ("rpm", "3:1.0-1", "noarch")
    assert held["vendor"] == "Example Vendor"
    assert next(i for i in items if i["name"] == "fhlib")["version"] == "1.0-1"


def test_units_of_systemd() -> None:
    # Written by hand, in the form of `systemctl --output=json` (systemd 252 has these keys).
    units = (
        '[{"unit":"cron.service","load":"loaded","active":"active","sub":"running",'
        '"description":"Regular background program processing daemon"},'
        '{"unit":"apparmor.service","load":"not-found","active":"inactive","sub":"dead",'
        '"description":"apparmor.service"},'
        '{"unit":"bad.service","load":"loaded","active":"failed","sub":"failed",'
        '"description":"Bad"}]'
    )
    items = parse_units(json.loads(units))
    assert [(item["name"], item["state"]) for item in items] == [
        ("cron", "running"),
        ("bad", "failed"),
    ]
    starts = parse_unit_files(
        [{"unit_file": "cron.service", "state": "enabled", "preset": "enabled"}]
    )
    assert starts == {"cron": "enabled"}


def test_sysv_services() -> None:
    text = " [ + ]  cron\n [ - ]  dbus\n [ ? ]  hwclock.sh\nnoise\n"
    assert [(i["name"], i["state"]) for i in parse_sysv(text)] == [
        ("cron", "running"),
        ("dbus", "stopped"),
        ("hwclock.sh", "unknown"),
    ]


@pytest.mark.parametrize(
    "filler",
    ["To Be Filled By O.E.M.", "Default string", "None", "0", " ", "00000000", "FFFF-FFFF"],
)
def test_firmware_fillers_say_nothing(filler: str) -> None:
    assert real_value(filler) is None
    assert real_value("PF2ABCDE") == "PF2ABCDE"


def test_chassis_types_ignore_the_lock_bit() -> None:
    assert chassis_name(0x80 | 9) == "laptop"
    assert chassis_name(None) is None


def test_old_lsblk_writes_truth_as_text() -> None:
    disk = {"name": "sda", "type": "disk", "size": "500107862016", "rota": "1", "rm": "0"}
    (item,) = parse_lsblk({"blockdevices": [disk, disk | {"name": "loop0"}]})
    assert (item["size_bytes"], item["rotational"], item["removable"]) == (
        500107862016,
        True,
        False,
    )


def test_temporary_addresses_are_only_counted() -> None:
    link = {
        "ifname": "eth0",
        "addr_info": [
            {"local": "fd00::1", "prefixlen": 64},
            {"local": "fd00::2", "prefixlen": 64, "temporary": True},
        ],
    }
    (item,) = parse_addresses([link])
    assert item["addresses"] == ["fd00::1/64"]
    assert item["temporary_addresses"] == 1


def test_shadow_tells_states_and_keeps_no_hash() -> None:
    states = parse_shadow("a:$y$x:19000:0:99999:7:::\nb:!:1:0:9:7:::\nc::::::::\n")
    assert states == {
        "a": ("set", "2022-01-08"),
        "b": ("locked", "1970-01-02"),
        "c": ("none", None),
    }


def test_administrators_by_group() -> None:
    assert admin_names("sudo:x:27:ann,bob\nusers:x:100:eve\n") == ({"ann", "bob"}, {27})


def test_mounts_with_blanks_and_read_only() -> None:
    line = r"36 35 98:0 / /mnt/my\040disk ro,noatime shared:1 - ext3 /dev/sdb1 rw"
    (mount,) = parse_mountinfo(line)
    assert (mount.target, mount.filesystem, mount.read_only) == ("/mnt/my disk", "ext3", True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["blockdevices", "name", "type", "size", "ifname", "addr_info", "local", "unit",
                 "load", "unit_file", "state", "path", "dst", "metric"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize(
    "parse",
    [
        parse_lsblk, parse_addresses, lambda v: parse_routes(v, "inet"), parse_units,
        parse_unit_files, parse_labels,
    ],
)  # fmt: skip
@given(value=json_values)
@settings(deadline=None, max_examples=60)
def test_parsers_of_json_raise_only_what_they_say(
    parse: Callable[[Any], object], value: Any
) -> None:
    try:
        parse(value)
    except Malformed:
        return


@pytest.mark.parametrize(
    "parse",
    [
        parse_cpuinfo, parse_meminfo, parse_os_release, parse_sysv, parse_dpkg, parse_rpm,
        parse_passwd, parse_shadow, admin_names, parse_resolv_conf, parse_mountinfo, boot_time,
    ],
)  # fmt: skip
@given(text=st.text(alphabet="processor :\t\n0123456789kB=\"'[]+-/x.", max_size=200) | st.text())
@settings(deadline=None, max_examples=60)
def test_parsers_of_text_raise_only_what_they_say(
    parse: Callable[[str], object], text: str
) -> None:
    try:
        parse(text)
    except Malformed:
        return
