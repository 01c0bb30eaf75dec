"""Windows' sections on documents as ConvertTo-Json writes them; none was collected here.

`laptop.json` is a German Windows 11 as an administrator sees it, `server.json` a Server Core whose
answers have every shape that PowerShell is known for: one object for a list, arrays with a count,
times in three forms, signed numbers, texts where objects lay too deep.
"""

from __future__ import annotations

import base64
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.collectors.windows import source, values
from farhand_agent.inventory.collectors.windows.containers import parse_wsl
from farhand_agent.inventory.collectors.windows.os import product_name
from farhand_agent.inventory.collectors.windows.proxy import parse_winhttp
from farhand_agent.inventory.collectors.windows.startup import approved, program
from farhand_agent.inventory.collectors.windows.time import parse_w32tm
from farhand_agent.inventory.registry import PLATFORMS, _registered, sections
from farhand_agent.patches.powershell import powershell
from farhand_agent.platforms.commands import Outcome
from tests.agent.inventory.machines import Machine

HERE = Path(__file__).parent
SID = "S-1-5-21-1004336348-1177238915-682003330-1001"
# They come from the patch providers, which have tests of their own.
ELSEWHERE = {"updates"}


def recorded(name: str) -> dict[str, Any]:
    """Return the parts of one recording."""
    document: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    return document["parts"]  # type: ignore[no-any-return]


def machine(root: Path, parts: dict[str, Any]) -> Machine:
    """Return a Windows that answers with these parts."""
    sections("windows")  # as a run does, which imports all before it asks
    answer = Outcome(0, json.dumps({"parts": parts}).encode("utf-8-sig"), b"")
    return Machine(root, commands={powershell(): answer}, platform="windows")


@pytest.fixture
def laptop(tmp_path: Path) -> Machine:
    return machine(tmp_path, recorded("laptop"))


@pytest.fixture
def server(tmp_path: Path) -> Machine:
    return machine(tmp_path, recorded("server"))


def test_every_section_has_a_collector_and_every_part_of_the_script_a_reader() -> None:
    sections("windows")
    assert {name for name, of in _registered if of == "windows"} == set(CATALOGUE)
    text = resources.files(source.__package__).joinpath(source.SCRIPT).read_text("utf-8")
    assert set(re.findall(r"^Part '(\w+)'", text, re.MULTILINE)) == source._wanted
    assert set(recorded("laptop")) == set(recorded("server")) == source._wanted


def test_the_script_asks_nothing_that_repairs_or_betrays() -> None:
    text = resources.files(source.__package__).joinpath(source.SCRIPT).read_text("utf-8")
    code = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    for banned in ("Win32_Product ", "Win32_Product'", "CommandLine", "Win32_Environment", "netsh"):
        assert banned not in code, banned


def test_a_whole_report_takes_one_powershell(laptop: Machine) -> None:
    reports = {name: laptop.collect(name) for name in CATALOGUE if name not in ELSEWHERE}
    assert len(laptop.ran) == 1
    off = {name: one.reason for name, one in reports.items() if one.status != "ok"}
    assert set(off) == {"logins", "virtual_machines"}
    assert reports["logins"].status == "denied"
    assert reports["virtual_machines"].status == "unsupported"
    # The words of a Windows that speaks German are shown, never read.
    assert "nicht autorisierten" in reports["logins"].reason
    assert "without thermal" in reports["sensors"].reason


def test_a_server_that_says_little_is_honest(server: Machine) -> None:
    reports = {name: server.collect(name) for name in CATALOGUE if name not in ELSEWHERE}
    status = {name: one.status for name, one in reports.items()}
    assert set(status.values()) <= {"ok", "unsupported", "denied", "error"}
    assert status["users"] == "error"
    assert "Domänencontroller" in reports["users"].reason
    assert [name for name, one in status.items() if one == "error"] == ["users"]
    assert status["disk_health"] == status["containers"] == "unsupported"
    assert status["repositories"] == status["power_supplies"] == "unsupported"


def test_the_command_names_the_parts_and_survives_policy(laptop: Machine) -> None:
    laptop.items("bios")
    (line,) = laptop.ran
    encoded = line.split(" ")[-1]
    text = base64.b64decode(encoded).decode("utf-16-le")
    assert "[scriptblock]::Create" in text
    assert "'bios'" in text
    assert len(line) < 32_767


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"id": "HRESULT 0x80041010,X", "kind": "MetadataError", "number": 1}, "unsupported"),
        ({"id": "CommandNotFoundException", "kind": "ObjectNotFound"}, "unsupported"),
        ({"id": "HRESULT 0x80041003,X", "kind": "NotSpecified", "number": 1}, "denied"),
        ({"id": "X", "kind": "PermissionDenied", "number": 0}, "denied"),
        ({"id": "X", "kind": "NotSpecified", "number": -2147024891}, "denied"),
        ({"id": "X", "kind": "NotSpecified", "number": 5, "words": "kaputt"}, "error"),
        ("nothing like an error", "error"),
        (None, "error"),
    ],
)
def test_a_part_that_fails_says_why(tmp_path: Path, error: Any, status: str) -> None:
    report = machine(tmp_path, {"licences": {"error": error}}).collect("licences")
    assert report.status == status
    assert report.items == []


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"parts":[]}', b"\xff\xfe{", b"[" * 9_999])
def test_an_answer_that_is_none_is_malformed(tmp_path: Path, answer: bytes) -> None:
    sections("windows")
    broken = Machine(tmp_path, commands={powershell(): Outcome(1, answer, b"")}, platform="windows")
    assert broken.collect("bios").status == "error"
    assert broken.collect("cpu").status == "error"
    assert len(broken.ran) == 1


def test_without_powershell_every_section_is_unsupported(tmp_path: Path) -> None:
    assert Machine(tmp_path, platform="windows").collect("bios").status == "unsupported"


def test_windows_elsewhere_is_not_asked(tmp_path: Path) -> None:
    assert PLATFORMS == ("linux", "windows", "macos")
    linux = Machine(tmp_path, platform="linux")
    linux.collect("bios")
    assert not any("powershell" in line for line in linux.ran)


# --- values ---


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("/Date(1732262400000)/", "2024-11-22T08:00:00Z"),
        ("/Date(1732262400000+0100)/", "2024-11-22T08:00:00Z"),
        ({"value": "/Date(1732262400000)/", "DateTime": "x"}, "2024-11-22T08:00:00Z"),
        ("2024-11-22T09:00:00.1234567+01:00", "2024-11-22T08:00:00Z"),
        ("20241122090000.000000+060", "2024-11-22T08:00:00Z"),
        ("20241322090000.000000+060", None),
        ("/Date(-11644473600000)/", None),
        ("22.11.2024 09:00", None),
        (5, None),
        (None, None),
    ],
)
def test_times(value: object, moment: str | None) -> None:
    assert values.when(value) == moment


def test_numbers_lists_and_texts() -> None:
    assert values.unsigned(-1589474012) == 2705493284
    assert values.unsigned("4294967295") == 2**32 - 1
    assert values.unsigned(2**32) is None
    assert values.unsigned(True) is None
    assert values.many("one") == values.many(["one"]) == values.many({"value": ["one"]}) == ["one"]
    assert values.many("System.String[]") == values.many(None) == []
    assert values.said("@{Name=x; Id=1}") is None
    assert values.binary([1, 2, 255]) == base64.b64decode("AQL/") == values.binary("AQL/")
    assert values.binary("no base64!") == values.binary([256]) == values.binary(None) == b""


# --- the machine ---


def test_system(laptop: Machine, server: Machine) -> None:
    item = laptop.item("system")
    assert (item["manufacturer"], item["model"]) == ("LENOVO", "20Y3S02X00")
    assert item["board_serial"] is None
    assert item["asset_tag"] is None
    assert item["domain"] is None
    assert item["chassis"] == "notebook"
    # HypervisorPresent is true for Windows' own security: this is bare metal.
    assert item["virtualisation"] == "none"
    assert item["machine_id_sha256"] is not None
    assert "2e0b2a4c" not in json.dumps(item)
    other = server.item("system")
    assert (other["domain"], other["virtualisation"]) == ("corp.example", "hyper-v")
    assert other["uuid"] is None
    assert other["serial"] is None
    assert other["bios_date"] == "2023-11-14"


def test_personal_values_can_be_withheld(laptop: Machine) -> None:
    (item,) = laptop.collect("system", personal=False).items
    assert item["serial"] == item["hostname"] == "(withheld)"
    assert item["board_serial"] is None
    people = laptop.collect("users", personal=False).items
    assert {one["sid"] for one in people} == {"(withheld)"}


def test_windows_11_does_not_call_itself_10(laptop: Machine, server: Machine) -> None:
    item = laptop.item("os")
    assert item["pretty_name"] == "Windows 11 Pro 24H2"
    assert (item["build"], item["arch"]) == ("26100.4652", "x86_64")
    assert item["installed_at"] == "2024-11-22T08:00:00Z"
    assert product_name("Windows 10 Pro", 19_045, "Client") == "Windows 10 Pro"
    other = server.item("os")
    assert other["name"] == "Windows Server"
    # InstallDate is unsigned in 32 bits.
    assert other["installed_at"].startswith("2096-")


def test_firmware(laptop: Machine, server: Machine) -> None:
    assert laptop.item("bios") == {
        "vendor": "LENOVO", "version": "N40ET40W (1.22 )", "released_on": "2026-04-11",
        "revision": "1.22", "ec_revision": "1.14", "kind": "uefi",
    }  # fmt: skip
    assert server.item("bios")["kind"] == "bios or none"
    assert server.item("bios")["revision"] is None
    assert laptop.item("firmware_security") == {
        "secure_boot": True, "setup_mode": False, "tpm": True, "tpm_version": "2.0",
        "tpm_description": "STM 1.769", "lockdown": None,
    }  # fmt: skip
    assert server.item("firmware_security")["secure_boot"] is None
    assert server.item("firmware_security")["tpm"] is False
    (supply,) = laptop.items("power_supplies")
    assert (supply["model"], supply["max_power_w"]) == ("DPS-750", 750)


def test_processors_and_memory(laptop: Machine, server: Machine) -> None:
    item = laptop.item("cpu")
    assert (item["cores"], item["threads"], item["microcode"]) == (8, 16, "0x52")
    assert (item["family"], item["model_number"], item["stepping"]) == ("6", "141", "1")
    assert server.item("cpu")["flags"] == ["svm"]
    assert laptop.item("memory")["swap_total_bytes"] == 4864 * 1024**2
    assert server.item("memory")["total_bytes"] == 17179332608
    array, first, second = laptop.items("memory_modules")
    assert (array["slots"], array["max_bytes"]) == (2, 64 * 1024**3)
    assert (first["kind"], first["form"], first["part"]) == ("DDR4", "SODIMM", "M471A2K43EB1-CWE")
    assert (first["serial"], second["serial"]) == ("4A1B2C3D", None)
    assert laptop.item("virtualisation")["guest_of"] is None
    assert laptop.item("virtualisation")["cpu_support"] == "vmx"
    assert server.item("virtualisation")["guest_of"] == "hyper-v"


def test_batteries(laptop: Machine) -> None:
    item = laptop.item("batteries")
    assert (item["chemistry"], item["health_percent"]) == ("LION", 90.0)
    assert (item["serial"], item["cycles"]) == ("481", None)
    (now,) = laptop.items("sensors")
    assert (now["charge_percent"], now["state"]) == (87, "online")


def test_temperatures_are_tenths_of_kelvins(server: Machine) -> None:
    (item,) = server.items("sensors")
    assert item["temperature_celsius"] == pytest.approx(45.0, abs=0.1)
    assert item["critical_celsius"] is None


# --- devices ---


def test_more_than_four_gibibytes_of_video_memory(laptop: Machine, server: Machine) -> None:
    item = laptop.item("gpus")
    assert item["memory_bytes"] == 8 * 1024**3
    assert item["vbios"] == "Version 94.4.3f"
    assert (item["vendor_id"], item["driver"]) == ("10de", "nvldumdx.dll")
    # A signed AdapterRAM without the registry's word.
    assert server.item("gpus")["memory_bytes"] == 2 * 1024**3


def test_monitors_that_are_plugged_in(laptop: Machine) -> None:
    dell, inner = laptop.items("monitors")
    assert (dell["model"], dell["serial"], dell["made_year"]) == ("DELL U2723QE", "ABC1234", 2023)
    # The override stands in for an EDID that cannot be read; its serial is a filler.
    assert (inner["manufacturer"], inner["model"], inner["serial"]) == ("LEN", "LEN OLED", None)


def test_devices(laptop: Machine, server: Machine) -> None:
    cards = laptop.items("devices_pci")
    assert cards[0]["class_id"] == "030000"
    assert (cards[0]["subsystem_vendor_id"], cards[0]["revision"]) == ("17aa", "a1")
    assert cards[1]["class_id"] == "0c0500"
    usb = {one["product_id"]: one for one in laptop.items("devices_usb")}
    # A serial number only where the device has one; parts and what is unplugged are left out.
    assert set(usb) == {"b6dd", "0407", "0032"}
    assert usb["0407"]["serial"] == "0012345678"
    assert usb["b6dd"]["serial"] is None
    assert usb["b6dd"]["drivers"] == ["usbccgp", "usbvideo"]
    assert server.items("devices_pci") == []
    (adapter,) = laptop.items("bluetooth")
    assert adapter["paired_devices"] == 1
    assert [one["name"] for one in laptop.items("cameras")] == ["Integrated Camera"]
    assert laptop.item("sound")["driver"] == "IntcAzAudAddService"
    assert [one["kind"] for one in laptop.items("inputs")] == ["keyboard", "mouse", "touchpad"]
    assert [one["address"] for one in laptop.items("slots")] == ["0000:01:00.0", None]


def test_broken_drivers_by_number(laptop: Machine) -> None:
    found = {one["problem_code"]: one for one in laptop.items("drivers")}
    assert set(found) == {28, 43}
    assert (found[28]["id"], found[28]["problem"]) == ("8086:43a3", "no driver")
    assert found[43]["problem"] == "reported a fault"


def test_printers(laptop: Machine) -> None:
    office, pdf = laptop.items("printers")
    assert (office["uri"], office["state"]) == ("socket://10.0.0.9:9100", "idle")
    assert (pdf["state"], pdf["accepting"]) == ("offline", False)


# --- storage ---


def test_disks(laptop: Machine, server: Machine) -> None:
    item = laptop.item("disks")
    assert (item["serial"], item["wwn"]) == ("0025_38B5_21A0_9D6C", "eui.002538B521A09D6C")
    assert (item["bus"], item["rotational"], item["partition_table"]) == ("nvme", False, "gpt")
    assert server.item("disks")["size_bytes"] == 136365211648
    health = laptop.item("disk_health")
    assert (health["passed"], health["wear_percent"], health["power_on_h"]) == (True, 3, 4711)
    efi, main = laptop.items("partitions")
    assert (efi["kind"], efi["filesystem"], efi["label"]) == ("EFI system", "FAT32", "SYSTEM")
    assert main["name"] == "C:"
    pool, disk = server.items("logical_volumes")
    assert (pool["free_bytes"], disk["health"]) == (3 * 10**12, "warning")
    assert server.item("raid")["state"] == "degraded"


def test_a_volumes_serial_number_comes_signed(laptop: Machine) -> None:
    volumes = {one["mount"]: one for one in laptop.items("volumes")}
    assert set(volumes) == {"C:", None, "Z:"}
    assert volumes["C:"]["uuid"] == "A142-8D24"
    assert volumes[None]["uuid"] == "1234-5678"
    assert volumes["Z:"]["network"] is True


def test_bitlocker(laptop: Machine) -> None:
    found = {one["mount"]: one for one in laptop.items("disk_encryption")}
    assert (found["C:"]["encrypted"], found["C:"]["cipher"]) == (True, "xts-aes128")
    assert found["C:"]["state"] == "open"
    assert (found["E:"]["encrypted"], found["E:"]["state"]) == (True, "locked")
    assert (found["F:"]["encrypted"], found["F:"]["method"]) == (False, None)
    # Encrypted, and anybody can read it: the key lies beside it.
    assert (found["G:"]["encrypted"], found["G:"]["state"]) == (True, "suspended")


# --- network ---


def test_network(laptop: Machine, server: Machine) -> None:
    items = laptop.items("network")
    wlan, wire, tunnel = (one for one in items if one["record"] == "interface")
    assert wlan["addresses"] == ["192.168.1.20/24", "fe80::1c2d:3e4f:5a6b:7c8d/64"]
    assert (wlan["temporary_addresses"], wlan["wireless"]) == (1, True)
    assert wlan["mac"] == "a4:c3:f0:aa:bb:cc"
    # A line without a partner says 2^64-1 bits a second.
    assert (wire["speed_mbit_s"], wire["state"]) == (None, "DOWN")
    assert (tunnel["virtual"], tunnel["mac"], tunnel["duplex"]) == (True, None, None)
    (route,) = (one for one in items if one["record"] == "default_route")
    assert (route["gateway"], route["metric"]) == ("192.168.1.1", 35)
    assert [one["destination"] for one in laptop.items("routes")] == ["default", "192.168.1.0/24"]
    (resolver,) = (one for one in items if one["record"] == "resolver")
    assert resolver["servers"] == ["192.168.1.1", "9.9.9.9"]
    assert server.items("network")[0]["mac"] == "00:15:5d:00:00:01"


def test_names_neighbours_and_tunnels(laptop: Machine) -> None:
    assert [one["source"] for one in laptop.items("dns")] == ["adapter", "search list", "NRPT"]
    assert laptop.items("dns")[2]["servers"] == ["10.0.0.2", "10.0.0.3"]
    assert [one["mac"] for one in laptop.items("neighbours")] == ["aa:bb:cc:00:11:22"]
    assert [(one["kind"], one["state"]) for one in laptop.items("vpn")] == [
        ("ikev2", "down"), ("wireguard", "up"),
    ]  # fmt: skip
    assert laptop.items("hosts_file")[1]["names"] == ["intranet", "intranet.corp"]
    wifi = laptop.item("wifi")
    assert (wifi["ssid"], wifi["security"], wifi["rate_mbit_s"]) == ("büro", "wpa2", 1201)


def test_ports_and_databases(laptop: Machine) -> None:
    found = laptop.items("listening_ports")
    assert {(one["address"], one["port"], one["program"]) for one in found} == {
        ("*", 1433, "sqlservr"), ("127.0.0.1", 5939, "svchost"), ("fe80::1", 1900, "svchost"),
    }  # fmt: skip
    assert laptop.item("databases")["listening"] == ["*:1433"]


def test_proxies_without_passwords(laptop: Machine) -> None:
    found = laptop.items("proxy")
    assert [(one["scheme"], one["address"]) for one in found] == [
        ("http", "proxy:8080"), ("https", "proxy:8443"), ("pac", "http://wpad/proxy.pac"),
        ("all", "proxy.corp:3128"),
    ]  # fmt: skip
    assert found[0]["source"] == "settings of ada"
    assert found[3]["exceptions"][0] == "<local>"
    assert parse_winhttp(b"\x28\0\0\0") is None
    assert parse_winhttp(bytes([40, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255])) is None


# --- security ---


def test_product_state_is_three_bytes(laptop: Machine, server: Machine) -> None:
    defender, old, other = laptop.items("antivirus")
    assert (defender["enabled"], defender["up_to_date"], defender["real_time"]) == (True,) * 3
    assert defender["definitions_on"] == "2026-11-21"
    assert (old["enabled"], old["up_to_date"]) == (False, False)
    assert (other["enabled"], other["up_to_date"]) == (True, False)
    # Servers have no security centre: Defender itself is asked.
    assert server.item("antivirus")["name"] == "Microsoft Defender"


def test_firewall_and_hardening(laptop: Machine) -> None:
    assert [one["enabled"] for one in laptop.items("firewall")] == [True, False, None]
    settings = {one["name"]: one["value"] for one in laptop.items("hardening")}
    assert settings["uac.EnableLUA"] == "1"
    assert settings["smb.server.RequireSecuritySignature"] == "0"
    assert settings["smb.client.RequireSecuritySignature"] is None
    assert settings["security_services"] == "credential guard, memory integrity"


def test_what_lets_others_in(laptop: Machine, server: Machine) -> None:
    doors = {one["name"]: one for one in laptop.items("remote_access")}
    assert (doors["rdp"]["enabled"], doors["rdp"]["running"]) == (True, True)
    assert (doors["ssh"]["ports"], doors["ssh"]["password_login"]) == ([2222], False)
    assert "no NLA" in laptop.collect("remote_access").reason
    assert server.items("remote_access")[0]["enabled"] is False
    tools = {one["name"]: one for one in laptop.items("remote_tools")}
    assert tools["AnyDesk"]["running"] is True
    assert tools["TeamViewer"]["version"] == "15.60"
    assert "hides itself" in laptop.collect("remote_tools").reason
    managers = [one["name"] for one in laptop.items("management")]
    assert managers == ["Entra ID", "Intune", "Zabbix agent"]
    assert laptop.items("management")[1]["server"] == "https://enrollment.manage.example/x"


def test_updates_and_starts(laptop: Machine, server: Machine) -> None:
    settings = laptop.item("update_settings")
    assert (settings["reboot_time"], settings["reboots"]) == ("every day 03:00", False)
    assert settings["server"] == "https://wsus.corp:8531"
    assert server.item("update_settings")["installs"] is True
    assert laptop.item("reboot")["reasons"] == [
        "Windows Update wants it", "2 files wait to be replaced",
    ]  # fmt: skip
    assert server.item("reboot") == {"required": False, "reasons": []}


def test_a_start_after_a_crash(laptop: Machine) -> None:
    assert [(one["booted_at"][:10], one["clean"]) for one in laptop.items("boot")] == [
        ("2026-11-20", None), ("2026-11-19", False), ("2026-11-18", True),
    ]  # fmt: skip
    kinds = [(one["kind"], one["signal"]) for one in laptop.items("crashes")]
    assert kinds == [("program", "access violation"), ("kernel", None)]
    first = laptop.items("log_summary")[0]
    assert (first["source"], first["critical"], first["errors"]) == (
        "Service Control Manager", 1, 12,
    )  # fmt: skip


# --- people, and what runs for them ---


def test_administrators_by_identifier(laptop: Machine) -> None:
    people = {one["name"]: one for one in laptop.items("users")}
    assert people["ada"]["administrator"] is True
    assert people["ada"]["home"] == "C:\\Users\\ada"
    assert people["Administrator"]["password"] == "locked"
    assert people["kiosk"]["password"] == "none"
    groups = {one["name"]: one for one in laptop.items("groups")}
    assert groups["Administratoren"]["administrator"] is True
    assert "Benutzer cannot be listed" in laptop.collect("groups").reason
    here = {one["user"]: one for one in laptop.items("sessions")}
    assert set(here) == {"DESK-7\\ada", "CORP\\bob"}
    assert here["DESK-7\\ada"]["since"] == "2026-11-20T06:34:59Z"
    assert here["CORP\\bob"]["remote"] is True


def test_startup_without_arguments(laptop: Machine) -> None:
    found = {one["name"]: one for one in laptop.items("startup")}
    assert "SECRET" not in json.dumps(found)
    assert "hunter2" not in json.dumps(found)
    assert found["Updater"]["program"] == "C:\\Program Files (x86)\\Some Thing\\up.exe"
    assert (found["Updater"]["enabled"], found["Chat"]["enabled"]) == (True, False)
    assert (found["Chat"]["user"], found["Chat"]["scope"]) == ("ada", "user")
    assert found["tool.lnk"]["enabled"] is False
    assert approved(None)
    assert approved("AgAAAAAAAAAAAAAA")
    assert not approved([3, 0])
    assert program('"C:\\a b\\c.exe" --x') == "C:\\a b\\c.exe"
    assert program("rundll32.exe x.dll,Run") == "rundll32.exe"
    assert program("") is None


def test_services_and_tasks(laptop: Machine) -> None:
    found = {one["name"]: one for one in laptop.items("services")}
    assert (found["Broken"]["state"], found["Broken"]["start"]) == ("failed", "delayed")
    assert found["wuauserv"]["state"] == "stopped"
    defrag, backup, new = laptop.items("scheduled_tasks")
    assert defrag["name"] == "\\Microsoft\\Windows\\Defrag\\ScheduledDefrag"
    assert (backup["schedule"], backup["enabled"]) == ("daily, logon", False)
    assert backup["last_result"] == 0x800710E0
    assert (new["last_result"], new["program"], new["schedule"]) == (None, None, "other")


def test_software_as_the_settings_show_it(laptop: Machine) -> None:
    found = {one["name"]: one for one in laptop.items("software")}
    assert set(found) == {
        "7-Zip 24.08 (x64)",
        "Old Tool",
        "User App",
        "Microsoft.WindowsCalculator",
    }
    assert found["7-Zip 24.08 (x64)"]["size_bytes"] == 5700 * 1024
    assert found["7-Zip 24.08 (x64)"]["installed_at"] == "2026-01-02T00:00:00Z"
    # A date in somebody's own order is none.
    assert found["Old Tool"]["installed_at"] is None
    assert found["Old Tool"]["arch"] == "x86"
    assert found["Microsoft.WindowsCalculator"]["vendor"] == "Microsoft Corporation"


def test_licences_and_sources(laptop: Machine) -> None:
    licence = laptop.item("licences")
    assert (licence["kind"], licence["state"], licence["key_tail"]) == ("oem", "licensed", "3V66T")
    assert licence["expires_on"] is None
    urls = [one["url"] for one in laptop.items("repositories")]
    assert urls == ["https://cdn.winget.example/cache", "https://packages.corp/api/v2/"]


def test_wsl_prints_utf_16(laptop: Machine, server: Machine) -> None:
    docker, ubuntu, debian = laptop.items("containers")
    assert docker["created_at"] == "2026-11-20T10:11:12Z"
    assert (ubuntu["state"], debian["state"]) == ("running", "stopped")
    for text in ("Débian\r\n", "* Débian\r\n"):
        assert parse_wsl(text.encode("utf-16-le")) == {"Débian"}
        assert parse_wsl(text.encode("utf-16")) == {"Débian"}
        assert parse_wsl(text.encode()) == {"Débian"}
    assert server.item("virtual_machines")["state"] == "running"


def test_the_clock_in_german(laptop: Machine, server: Machine) -> None:
    item = laptop.item("time")
    assert (item["synchronised"], item["stratum"], item["offset_ms"]) == (True, 4, 12.5)
    assert item["source"] == "w32time: time.windows.com, ntp.corp"
    assert item["rtc_local"] is True
    assert parse_w32tm("Der Dienst wurde nicht gestartet. (0x80070426)") == {}
    assert parse_w32tm("Leap Indicator: 3(not synchronized)\nStratum: 0 (unspecified)")[
        "synchronised"
    ] is False  # fmt: skip
    assert (server.item("time")["ntp"], server.item("time")["synchronised"]) == (False, False)


def test_extensions_and_libraries(laptop: Machine) -> None:
    names = [one["name"] for one in laptop.items("browser_extensions")]
    assert names == ["uBlock", "Add"]
    assert "edge of ada" in laptop.collect("browser_extensions").reason
    assert laptop.item("editor_extensions")["publisher"] == "ms-python"
    assert [one["name"] for one in laptop.items("language_packages")] == [
        "requests", "npm", "ripgrep",
    ]  # fmt: skip


def test_usage(laptop: Machine) -> None:
    system, *volumes = laptop.items("usage")
    assert system["booted_at"] == "2026-11-20T06:30:00Z"
    assert system["swap_free_bytes"] == (4864 - 120) * 1024**2
    assert volumes[0]["used_percent"] == pytest.approx(50.0)
    assert laptop.item("locale")["keyboard_layout"] == "00000407"
