"""Parsers of what other programs print hold to their documented errors, whatever is printed.

Texts are recorded output that is cut, doubled and spoilt by the mutator of this folder; documents
of PowerShell and system_profiler get hostile values in place of their own.  A parser returns or
raises a FarhandError, and what comes out can be sent and shown.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_agent.inventory import (
    container_lists,
    cups_queues,
    defender_health,
    extension_files,
    hosts_lines,
    plists,
    programs,
    smbios,
    sshd_settings,
)
from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.collectors.linux import (
    antivirus,
    boot,
    cpu,
    disk_encryption,
    firewall,
    listening_ports,
    log_summary,
    raid,
    routes,
    services,
    users,
    virtual_machines,
)
from farhand_agent.inventory.collectors.linux import time as linux_time
from farhand_agent.inventory.collectors.macos import (
    crashes,
    directory,
    disks,
    dns,
    management,
    memory,
    neighbours,
    network,
    os,
    processes,
    proxy,
    sessions,
    usage,
    volumes,
    vpn,
)
from farhand_agent.inventory.collectors.macos import listening_ports as mac_ports
from farhand_agent.inventory.collectors.macos import routes as mac_routes
from farhand_agent.inventory.collectors.macos import services as mac_services
from farhand_agent.inventory.collectors.windows import containers as wsl
from farhand_agent.inventory.collectors.windows import proxy as winhttp
from farhand_agent.inventory.collectors.windows import repositories, startup, values
from farhand_agent.inventory.collectors.windows import source as windows
from farhand_agent.inventory.collectors.windows import time as windows_time
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import sections
from farhand_agent.inventory.runner import collect_section
from farhand_agent.inventory.shown import as_text
from farhand_agent.inventory.wtmp import parse_utmp
from farhand_agent.patches.powershell import powershell
from farhand_agent.platforms.commands import Outcome
from farhand_agent.platforms.edid import parse_edid
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import MAX_SECTION_BYTES, canonical_json, validate_section
from tests.agent.inventory.machines import Machine
from tests.agent.inventory.macos import test_macos
from tests.fuzz.mutation import cases

WINDOWS = Path(__file__).parents[1] / "agent/inventory/windows"
_CASES = 250
_TEXTS = 60

Parse = Callable[[Any], object]


def _document(parse: Parse) -> Parse:
    return lambda text: parse(Context.parse_json(text, "a tool"))


def _partitions(text: str) -> object:
    return disks.partitions_of(plists.read_plist(text.encode(), "diskutil"))


# By name: a parser of text, and output that it reads.
TEXT: dict[str, tuple[Parse, str]] = {
    "linux cpuinfo": (cpu.parse_cpuinfo, "processor : 0\nphysical id : 0\nflags : vmx aes\n"),
    "linux passwd": (users.parse_passwd, "ada:x:1000:1000:Ada,,,:/home/ada:/bin/sh\n"),
    "linux shadow": (users.parse_shadow, "ada:$6$x:19000:0:99999:7:::\n"),
    "linux groups": (users.admin_names, "sudo:x:27:ada,bob\n"),
    "linux hosts": (hosts_lines.parse_hosts, "127.0.0.1 localhost # x\n"),
    "linux sockets": (
        listening_ports.parse_ss,
        'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n',
    ),
    "linux journal": (log_summary.parse_journal, '{"PRIORITY":"3","_SYSTEMD_UNIT":"a.service"}\n'),
    "linux printers": (cups_queues.parse_lpstat, str(test_macos.COMMANDS["lpstat"])),
    "linux raid": (
        raid.parse_mdstat,
        "md0 : active raid1 sda1[0] sdb1[1](F)\n      100 blocks super 1.2 [2/1] [U_]\n",
    ),
    "linux storcli": (_document(raid.parse_storcli), '{"Controllers":[{"Response Data":{}}]}'),
    "linux sshd": (sshd_settings.parse_sshd, 'Port 22\nPermitRootLogin "no"\nMatch User x\n'),
    "linux routes": (
        _document(lambda one: routes.parse_routes(one, "inet")),
        '[{"dst":"default","gateway":"10.0.0.1","dev":"eth0","metric":100}]',
    ),
    "linux units": (
        _document(services.parse_units),
        '[{"unit":"a.service","active":"active","sub":"running","description":"A"}]',
    ),
    "linux sysv": (services.parse_sysv, " [ + ]  cron\n [ - ]  ssh\n"),
    "linux nft": (
        _document(firewall.parse_nft),
        '{"nftables":[{"chain":{"type":"filter","hook":"input","policy":"drop"}},{"rule":{}}]}',
    ),
    "linux iptables": (firewall.parse_iptables, "*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACCEPT\n"),
    "linux lsblk": (
        _document(disk_encryption.parse_layers),
        '{"blockdevices":[{"path":"/dev/a","type":"crypt","mountpoint":"/","children":[]}]}',
    ),
    "linux chrony": (
        linux_time.parse_tracking,
        "A,1.2.3.4,2,1.0,0.1,0.1,0.1,1,1,1,1,1,1,Normal\n",
    ),
    "linux timesync": (linux_time.parse_timesync, "Server: 1.2.3.4 (x)\nOffset: -1.5ms\n"),
    "linux docker": (
        container_lists.parse_docker,
        '{"ID":"a","CreatedAt":"2026-11-20 10:11:12 +0000 UTC"}\n',
    ),
    "linux podman": (
        _document(container_lists.parse_podman),
        '[{"Id":"a","Names":["x"],"Created":1}]',
    ),
    "linux mdatp": (_document(defender_health.parse_mdatp), '{"healthy":{"value":true}}'),
    "linux clamav": (antivirus.parse_clamav_header, "ClamAV-VDB:22 Nov 2026 08-00 -0000:27000:x"),
    "linux vboxmanage": (
        lambda text: virtual_machines.parse_vboxmanage(text, text),
        '"vm" {01234567-89ab-cdef-0123-456789abcdef}\n',
    ),
    "linux virsh": (virtual_machines.parse_dominfo, "Name: a\nMax memory: 1024 KiB\nCPU(s): 2\n"),
    "programs": (programs.program_of, "A=b exec '/usr/bin/x y' --z"),
    "chromium": (extension_files.parse_chromium_manifest, '{"name":"a","version":"1"}'),
    "firefox": (
        extension_files.parse_firefox_extensions,
        '{"addons":[{"type":"extension","id":"a","defaultLocale":{"name":"b"}}]}',
    ),
    "editors": (
        extension_files.parse_editor_extensions,
        '[{"identifier":{"id":"a.b"},"version":"1"}]',
    ),
    "windows winget": (repositories.parse_winget_sources, '{"Name":"winget","Arg":"https://x"}\n'),
    "windows clock": (windows_time.parse_w32tm, "a: 0(x)\nb: 4 (y)\n" + "c: 1\n" * 7 + "d: 0,1s"),
    "windows time": (values.when, "/Date(1732262400000)/"),
    "windows dmtf": (values.when, "20241122090000.000000+060"),
    "windows bytes": (values.binary, "AQL/"),
    "windows startup": (startup.program, '"C:\\a b\\c.exe" /x'),
    "macos ifconfig": (network.parse_ifconfig, test_macos.IFCONFIG),
    "macos ports": (network.parse_ports, "Hardware Port: Wi-Fi\nDevice: en0\n"),
    "macos routes": (mac_routes.parse_netstat, test_macos.NETSTAT),
    "macos dns": (dns.parse_scutil_dns, test_macos.DNS),
    "macos proxy": (proxy.parse_scutil_proxy, str(test_macos.COMMANDS["scutil --proxy"])),
    "macos vpn": (vpn.parse_scutil_nc, str(test_macos.COMMANDS["scutil --nc list"])),
    "macos arp": (neighbours.parse_arp, str(test_macos.COMMANDS["arp -an"])),
    "macos lsof": (mac_ports.parse_lsof, str(test_macos.COMMANDS["lsof"])),
    "macos mount": (volumes.parse_mount, str(test_macos.COMMANDS["mount"])),
    "macos df": (volumes.parse_df, str(test_macos.COMMANDS["df -Pk"])),
    "macos vm_stat": (usage.available_bytes, str(test_macos.COMMANDS["vm_stat"])),
    "macos swap": (memory.parse_swapusage, "total = 2048,00M  used = 512.00M"),
    "macos ps": (processes.parse_ps, str(test_macos.COMMANDS["ps -axo"])),
    "macos who": (sessions.parse_who, str(test_macos.COMMANDS["who"])),
    "macos sw_vers": (os.parse_sw_vers, str(test_macos.COMMANDS["sw_vers"])),
    "macos launchctl": (mac_services.parse_launchctl, test_macos.LAUNCHCTL),
    "macos enrolment": (management.parse_enrollment, str(test_macos.COMMANDS["profiles status"])),
    "macos reports": (crashes.parse_name, "Safari-2026-11-20-101112.ips"),
    "macos partitions": (_partitions, test_macos.plist(test_macos.DISKS)),
}
BYTES: dict[str, tuple[Parse, bytes]] = {
    "plist": (lambda data: plists.read_plist(data, "x"), test_macos.plist({"a": [1]}).encode()),
    "directory": (
        directory.parse_records,
        str(test_macos.COMMANDS["dscl -plist . -readall /Users"]).encode(),
    ),
    "powershell": (windows.parse_answer, b'{"parts":{"bios":{"value":[]}}}'),
    "wsl": (wsl.parse_wsl, "Ubuntu\r\n".encode("utf-16")),
    "winhttp": (winhttp.parse_winhttp, b"\x28\0\0\0\0\0\0\0\3\0\0\0\x04\0\0\0a:31\x02\0\0\0*b"),
    "edid": (parse_edid, b"\x00\xff\xff\xff\xff\xff\xff\x00" + bytes(120)),
    "smbios": (lambda data: list(smbios.parse_structures(data)), b"\x01\x04\0\0a\0b\0\0\x7f\x04"),
    "utmp": (lambda data: boot.boots(parse_utmp(data)), bytes(384)),
}  # fmt: skip


def _holds(parse: Parse, case: Any) -> None:
    try:
        told = parse(case)
    except FarhandError:
        return  # as it is documented
    # Whatever it returned can be written down, once the runner has cleaned its texts.
    json.dumps(told, default=str, skipkeys=True)


@pytest.mark.parametrize("name", sorted(TEXT))
def test_text_of_a_tool(name: str) -> None:
    parse, good = TEXT[name]
    assert parse(good) is not None
    for case in itertools.islice(cases([good.encode()], name), _CASES):
        _holds(parse, case.decode("utf-8", "replace"))


@pytest.mark.parametrize("name", sorted(BYTES))
def test_bytes_of_a_tool(name: str) -> None:
    parse, good = BYTES[name]
    for case in itertools.islice(cases([good], name), _CASES):
        _holds(parse, case)


# Terminal escapes, markup, a reversal of writing, a name without end, numbers that no field holds.
HOSTILE: list[Any] = [
    "\x1b]0;owned\x07\x1b[2J\x1b[31m", "<script>alert(1)</script>", "\u202egpj.exe", "\x00", "",
    "x" * 100_000, "\ud800", -1, 0, 2**63, 2**200, -(2**31), 1e308, True, None, [], {}, [[]],
    [None, {}, "a"], {"value": [{"value": []}], "Count": 1}, "/Date(9999999999999999)/",
    "99999999999999.000000+999", "System.Object[]", "@{a=b}", "٣", "0x41", "AAAA",
]  # fmt: skip


def _spoil(value: Any, draw: random.Random) -> Any:
    """Return a document with some of its values, at any depth, replaced."""
    if draw.random() < 0.08:
        return draw.choice(HOSTILE)
    if isinstance(value, dict):
        return {key: _spoil(inner, draw) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spoil(inner, draw) for inner in value]
    return value


def _survives(machine: Machine, name: str) -> None:
    one = sections(machine.platform, [name])[name]
    context = Context(root=machine.root, runner=machine.run, platform=machine.platform)
    try:
        one.collect(context)
    except (FarhandError, PermissionError):
        return
    report = collect_section(one, context)
    validate_section(report)
    shown = as_text({name: report}, everything=False)
    assert not any(ord(letter) < 32 and letter != "\n" for letter in shown), name
    assert "\u202e" not in shown


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("recording", ["laptop", "server"])
def test_hostile_values_on_windows(tmp_path: Path, recording: str, seed: int) -> None:
    sections("windows")
    parts = json.loads((WINDOWS / f"{recording}.json").read_text("utf-8"))["parts"]
    draw = random.Random(f"{recording} {seed}")
    spoilt = {name: _spoil(part, draw) for name, part in parts.items()}
    answer = Outcome(0, json.dumps({"parts": spoilt}).encode(), b"")
    machine = Machine(tmp_path, commands={powershell(): answer}, platform="windows")
    for name in set(CATALOGUE) - {"updates"}:
        _survives(machine, name)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_values_on_macos(tmp_path: Path, seed: int) -> None:
    sections("macos")
    draw = random.Random(seed)
    spoilt = json.dumps(_spoil(json.loads(test_macos.PROFILER), draw))
    commands = {**test_macos.COMMANDS, "system_profiler -json": spoilt}
    machine = Machine(tmp_path, test_macos.FILES, commands, platform="macos")
    for name in set(CATALOGUE) - {"updates"}:
        _survives(machine, name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@settings(max_examples=_TEXTS, deadline=None, derandomize=True, database=None)
@given(JSON)
def test_values_of_any_kind(value: Any) -> None:
    for read in (values.said, values.when, values.date, values.unsigned, values.hexadecimal):
        read(value)
    assert isinstance(values.binary(value), bytes)
    assert all(isinstance(one, str) for one in values.many(value))
    told = windows.Told({"x": {"value": value}, "y": value}, lambda words: None)
    for part in ("x", "y", "z"):
        assert all(isinstance(one, dict) for one in told.also(part))


def test_a_name_of_ten_megabytes_costs_its_own_length_alone(tmp_path: Path) -> None:
    parts = {"culture": {"value": [{"system": "\x1b[2J" * 2_500_000, "timezone": "UTC"}]}}
    answer = Outcome(0, json.dumps({"parts": parts}).encode(), b"")
    machine = Machine(tmp_path, commands={powershell(): answer}, platform="windows")
    report = collect_section(
        sections("windows", ["locale"])["locale"],
        Context(root=tmp_path, runner=machine.run, platform="windows"),
    )
    assert report.status == "ok"
    assert len(report.items[0]["language"]) <= 8_000
    assert len(canonical_json(report.items)) < MAX_SECTION_BYTES // 50
    assert "\x1b" not in as_text({"locale": report}, everything=True)
