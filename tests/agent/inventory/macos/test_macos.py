"""macOS' sections on output in the form that its tools are documented to print; none ran here."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.collectors.macos.crashes import parse_name
from farhand_agent.inventory.collectors.macos.firewall import parse_state
from farhand_agent.inventory.collectors.macos.firmware_security import sip_state
from farhand_agent.inventory.collectors.macos.memory_modules import module_items
from farhand_agent.inventory.collectors.macos.monitors import maker
from farhand_agent.inventory.collectors.macos.network import parse_ifconfig
from farhand_agent.inventory.collectors.macos.scheduled_tasks import schedule
from farhand_agent.inventory.collectors.macos.source import size_bytes
from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.registry import _registered, sections
from farhand_agent.platforms.commands import Outcome
from tests.agent.inventory.machines import FOLDER, Link, Machine

PROFILER = (Path(__file__).parent / "profiler.json").read_text("utf-8")
# No source that says it without guessing, and the providers' own.
NONE_HERE = {
    "databases", "drivers", "language_packages", "log_summary", "logins", "modems", "ports",
    "reboot", "virtual_machines",
}  # fmt: skip


def plist(document: Any) -> str:
    """Return a property list as XML."""
    return plistlib.dumps(document).decode()


DISKS = {
    "WholeDisks": ["disk0", "disk3", "../etc"],
    "AllDisksAndPartitions": [
        {
            "DeviceIdentifier": "disk0",
            "Partitions": [
                {"DeviceIdentifier": "disk0s1", "Content": "Apple_APFS_ISC", "Size": 524288000},
                {"DeviceIdentifier": "disk0s2", "Content": "Apple_APFS", "Size": 494384795648},
            ],
        }
    ],
}
APFS = {
    "Containers": [
        {
            "ContainerReference": "disk3", "CapacityCeiling": 494384795648,
            "CapacityFree": 200000000000, "APFSContainerUUID": "C-1",
            "Volumes": [
                {"Name": "Data", "DeviceIdentifier": "disk3s5", "FileVault": True, "Locked": False,
                 "CapacityInUse": 280000000000, "APFSVolumeUUID": "V-1"},
                {"Name": "Backup", "DeviceIdentifier": "disk3s7", "FileVault": True,
                 "Locked": True},
                {"Name": "Preboot", "DeviceIdentifier": "disk3s2", "FileVault": False},
            ],
        }
    ]
}  # fmt: skip
IFCONFIG = """lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether a4:83:e7:00:11:22
\tinet6 fe80::1c3f:1%en0 prefixlen 64 secured scopeid 0x6
\tinet6 2001:db8::5 prefixlen 64 autoconf temporary
\tinet 192.168.1.30 netmask 0xffffff00 broadcast 192.168.1.255
\tstatus: active
"""
NETSTAT = """Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            192.168.1.1        UGScg                 en0
127                127.0.0.1          UCS                   lo0
192.168.1          link#6             UCS                   en0      !
192.168.1.1        0:1c:42:0:0:9      UHLWIir               en0   1178
Internet6:
Destination        Gateway            Flags               Netif Expire
default            fe80::1%utun0      UGcIg               utun0
"""
DNS = """DNS configuration

resolver #1
  search domain[0] : corp.example
  nameserver[0] : 192.168.1.1
  nameserver[1] : 9.9.9.9
  if_index : 6 (en0)

resolver #2
  domain   : local
  options  : mdns

DNS configuration (for scoped queries)

resolver #1
  nameserver[0] : 192.168.1.1
"""
LAUNCHCTL = "PID\tStatus\tLabel\n312\t0\tcom.openssh.sshd\n-\t78\tcom.example.broken\n-\t0\tcom.x\n"
SYSCTL = """kern.hv_vmm_present: 0
kern.hv_support: 1
kern.osrelease: 25.1.0
kern.version: Darwin Kernel Version 25.1.0
kern.boottime: { sec = 1763620200, usec = 5 } Thu Nov 20 07:30:00 2025
hw.machine: arm64
hw.physicalcpu: 11
hw.logicalcpu: 11
hw.memsize: 19327352832
vm.swapusage: total = 2048,00M  used = 512,00M  free = 1536,00M  (encrypted)
vm.loadavg: { 1,52 1,60 1,71 }
machdep.cpu.brand_string: Apple M3 Pro
"""
COMMANDS: dict[str, str | Outcome] = {
    "system_profiler -json": PROFILER,
    "sysctl": SYSCTL,
    "sw_vers": "ProductName:\t\tmacOS\nProductVersion:\t\t26.1\nProductVersionExtra:\t(a)\n"
    "BuildVersion:\t\t25B78\n",
    "scutil --get": Outcome(1, b"", b"HostName: not set"),
    "scutil --get LocalHostName": "adas-mac\n",
    "scutil --dns": DNS,
    "scutil --proxy": "<dictionary> {\n  ExceptionsList : <array> {\n    0 : *.local\n  }\n"
    "  HTTPEnable : 1\n  HTTPPort : 3128\n  HTTPProxy : user:pw@proxy\n  HTTPSEnable : 0\n"
    "  HTTPSProxy : old\n}\n",
    "scutil --nc list": "Available network connection services in the current set (*=enabled):\n"
    '* (Connected)      1A2B3C4D-0000 VPN (com.wireguard.macos) "Office" '
    "[VPN:com.wireguard.macos]\n",
    "diskutil list -plist": plist(DISKS),
    "diskutil info -plist disk0": plist(
        {"DeviceIdentifier": "disk0", "MediaName": "APPLE SSD AP0512Z", "TotalSize": 500277792768,
         "SolidState": True, "BusProtocol": "Apple Fabric", "SMARTStatus": "Verified",
         "WritableMedia": True, "Content": "GUID_partition_scheme", "DeviceBlockSize": 4096}
    ),
    "diskutil info -plist disk3": plist({"VirtualOrPhysical": "Virtual"}),
    "diskutil apfs list -plist": plist(APFS),
    "diskutil appleRAID list -plist": plist({"AppleRAIDSets": []}),
    "mount": "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
    "devfs on /dev (devfs, local, nobrowse)\n"
    "//ada:pw@files/share on /Volumes/share (smbfs, nodev, nosuid, mounted by ada)\n"
    "/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)\n",
    "df -Pk": "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
    "/dev/disk3s1s1 482797652 10000000 195312500 5% /\n"
    "/dev/disk3s5 482797652 273437500 195312500 59% /System/Volumes/Data\n",
    "vm_stat": "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
    "Pages free:      100000.\nPages inactive:   50000.\nPages active:    400000.\n",
    "ifconfig -a": IFCONFIG,
    "networksetup -listallhardwareports": "\nHardware Port: Wi-Fi\nDevice: en0\nAddress: x\n",
    "netstat -rn": NETSTAT,
    "arp -an": "? (192.168.1.1) at 0:1c:42:0:0:9 on en0 ifscope [ethernet]\n"
    "? (192.168.1.9) at (incomplete) on en0 ifscope [ethernet]\n"
    "? (224.0.0.251) at 1:0:5e:0:0:fb on en0 ifscope permanent [ethernet]\n",
    "lsof": "p312\ncsshd\nLroot\nf3\nPTCP\nn*:22\nf4\nPTCP\nn[::1]:631\nf5\nPTCP\n"
    "n10.0.0.1:22->10.0.0.2:5000\n",
    "lpstat": "printer Buero is idle.  enabled since x\ndevice for Buero: ipp://a:b@10.0.0.9/ipp\n",
    "/usr/libexec/ApplicationFirewall/socketfilterfw": "Firewall is enabled. (State = 1)\n",
    "csrutil status": "System Integrity Protection status: enabled.\n",
    "spctl --status": "assessments enabled\n",
    "security find-certificate": "",
    "dscl -plist . -readall /Users": plist(
        [
            {"dsAttrTypeStandard:RecordName": ["ada"], "dsAttrTypeStandard:UniqueID": ["501"],
             "dsAttrTypeStandard:UserShell": ["/bin/zsh"],
             "dsAttrTypeStandard:NFSHomeDirectory": ["/Users/ada"]},
            {"dsAttrTypeStandard:RecordName": ["_www"], "dsAttrTypeStandard:UniqueID": ["70"],
             "dsAttrTypeStandard:UserShell": ["/usr/bin/false"]},
        ]
    ),
    "dscl -plist . -readall /Groups": plist(
        [{"dsAttrTypeStandard:RecordName": ["admin"],
          "dsAttrTypeStandard:PrimaryGroupID": ["80"],
          "dsAttrTypeStandard:GroupMembership": ["root", "ada"]}]
    ),
    "who": "ada              console      Nov 20 07:31 \nada  ttys001  Nov 20 08:00  (10.0.0.7)\n",
    "launchctl list": LAUNCHCTL,
    "ps -axo": "    1     0 root Ss   12345 launchd\n  501     1 ada  S+  20000 Some App\n",
    "systemsetup -getusingnetworktime": "Network Time: On\n",
    "systemsetup -getnetworktimeserver": "Network Time Server: time.apple.com\n",
    "profiles status": "Enrolled via DEP: Yes\nMDM enrollment: Yes (User Approved)\n"
    "MDM server: https://mdm.corp/checkin?token=1\n",
}  # fmt: skip
JOB = {
    "Label": "com.example.backup", "RunAtLoad": True,
    "ProgramArguments": ["/usr/local/bin/backup", "--password", "hunter2"],
    "StartCalendarInterval": {"Hour": 3, "Minute": 0},
}  # fmt: skip
FILES: dict[str, str | bytes | Link] = {
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/localtime": Link("/var/db/timezone/zoneinfo/Europe/Berlin"),
    "/var/db/.AppleSetupDone": "",
    "/Library/Preferences/.GlobalPreferences.plist": plist({"AppleLocale": "de_DE"}),
    "/Library/Preferences/com.apple.SoftwareUpdate.plist": plist({"AutomaticCheckEnabled": True}),
    "/Library/Preferences/com.apple.loginwindow.plist": plist({"autoLoginUser": "ada"}),
    "/Library/LaunchDaemons/com.example.backup.plist": plistlib.dumps(JOB, fmt=plistlib.FMT_BINARY),
    "/Library/LaunchDaemons/broken.plist": "<plist>",
    "/Library/Logs/DiagnosticReports/Safari-2026-11-20-101112.ips": "{}",
    "/Library/Apple/System/Library/CoreServices/XProtect.bundle/Contents/Info.plist": plist(
        {"CFBundleShortVersionString": "5321"}
    ),
    "/Applications/AnyDesk.app/x": "",
    "/Users/ada/.vscode/extensions/extensions.json": '[{"identifier":{"id":"a.b"},"version":"1"}]',
    "/Users/Shared": FOLDER,
    "/opt/homebrew/Cellar/jq/1.7.1": FOLDER,
    "/opt/homebrew/Library/Taps/homebrew/homebrew-core": FOLDER,
}


@pytest.fixture
def mac(tmp_path: Path) -> Machine:
    sections("macos")  # as a run does, which imports all before it asks
    return Machine(tmp_path, FILES, COMMANDS, platform="macos")


def test_a_whole_report_takes_one_system_profiler(mac: Machine) -> None:
    wanted = [name for name in CATALOGUE if name != "updates"]
    reports = {name: mac.collect(name) for name in wanted}
    assert sum(line.startswith("system_profiler") for line in mac.ran) == 1
    off = {name: one.status for name, one in reports.items() if one.status != "ok"}
    assert set(off.values()) == {"unsupported"}
    assert set(off) == NONE_HERE | {"containers"}
    sections("macos")
    assert {name for name, of in _registered if of == "macos"} == set(CATALOGUE) - NONE_HERE


def test_without_its_tools_nothing_is_empty(tmp_path: Path) -> None:
    bare = Machine(tmp_path, platform="macos")
    for name in ("cpu", "disks", "network", "users", "gpus", "firewall", "services", "os"):
        assert bare.collect(name).status == "unsupported", name


def test_the_machine(mac: Machine) -> None:
    item = mac.item("system")
    assert (item["hostname"], item["chassis"]) == ("adas-mac", "notebook")
    assert (item["serial"], item["virtualisation"]) == ("H7XYZ12345", "none")
    assert item["timezone"] == "Europe/Berlin"
    system = mac.item("os")
    assert (system["version_name"], system["build"]) == ("26.1 (a)", "25B78")
    assert mac.item("cpu")["vendor"] == "Apple"
    # Numbers with a comma come from the region's settings.
    assert mac.item("memory")["swap_total_bytes"] == 2 * 2**30
    assert mac.item("memory_modules")["size_bytes"] == 18 * 2**30
    assert mac.item("batteries")["health_percent"] == 93.0
    assert mac.item("sensors")["state"] == "charging"
    assert mac.item("power_supplies")["max_power_w"] == 70
    assert mac.item("boot")["booted_at"] == "2025-11-20T06:30:00Z"
    assert mac.item("wifi")["ssid"] is None
    assert mac.item("wifi")["frequency_mhz"] == 5220


def test_devices(mac: Machine) -> None:
    apple, card = mac.items("gpus")
    assert (apple["memory_bytes"], card["memory_bytes"]) == (None, 8 * 2**30)
    assert (card["vendor_id"], card["device_id"]) == ("1002", "7340")
    monitor = mac.item("monitors")
    assert (monitor["manufacturer"], monitor["width_px"]) == ("DEL", 3840)
    usb = {one["product"]: one for one in mac.items("devices_usb")}
    assert set(usb) == {"USB3.1 Hub", "USB Keyboard", "iPhone"}
    assert (usb["iPhone"]["vendor_id"], usb["USB Keyboard"]["serial"]) == ("05ac", None)
    assert [one["kind"] for one in mac.items("inputs")] == ["keyboard", "mouse"]
    assert mac.item("bluetooth")["paired_devices"] == 2
    assert maker("zzzz") is None
    intel = {"_name": "global", "_items": [{"_name": "BANK 0", "dimm_size": "8 GB",
             "dimm_speed": "2400 MHz"}]}  # fmt: skip
    assert module_items([intel])[0]["speed_mhz"] == 2400
    assert size_bytes("1,5 TB") == int(1.5 * 2**40)
    assert size_bytes("many GB") is size_bytes(5) is None


def test_storage(mac: Machine) -> None:
    disk = mac.item("disks")
    assert (disk["bus"], disk["serial"]) == ("nvme", "0ba0123456789")
    assert disk["partition_table"] == "gpt"
    assert mac.item("disk_health")["passed"] is True
    assert len(mac.items("partitions")) == 2
    volumes = {one["mount"]: one for one in mac.items("volumes")}
    assert set(volumes) == {"/", "/Volumes/share", "/System/Volumes/Data"}
    assert volumes["/"]["read_only"] is True
    assert "pw" not in str(volumes["/Volumes/share"])
    states = [(one["encrypted"], one["state"]) for one in mac.items("disk_encryption")]
    assert states == [(True, "open"), (True, "locked"), (False, None)]
    assert mac.items("logical_volumes")[0]["free_bytes"] == 200000000000
    system, _, data = mac.items("usage")
    assert system["memory_available_bytes"] == 150_000 * 16_384
    assert (system["load_15m"], data["used_percent"]) == (1.71, 58.3)


def test_network(mac: Machine) -> None:
    items = mac.items("network")
    assert items[0]["kind"] == "loopback"
    assert items[1]["addresses"] == ["192.168.1.30/24", "fe80::1c3f:1/64"]
    assert (items[1]["temporary_addresses"], items[1]["wireless"]) == (1, True)
    assert parse_ifconfig("nonsense\n\tinet 1.2.3.4 netmask 0xffffff00\n") == []
    gateways = [one["gateway"] for one in items if one["record"] == "default_route"]
    assert gateways == ["192.168.1.1", "fe80::1"]
    assert [one["destination"] for one in mac.items("routes")] == [
        "default", "127", "192.168.1", "default",
    ]  # fmt: skip
    assert mac.item("dns")["servers"] == ["192.168.1.1", "9.9.9.9"]
    assert mac.item("proxy")["address"] == "proxy:3128"
    assert (mac.item("vpn")["name"], mac.item("vpn")["state"]) == ("Office", "up")
    assert mac.item("neighbours")["mac"] == "00:1c:42:00:00:09"
    found = {(one["address"], one["port"]) for one in mac.items("listening_ports")}
    assert found == {("*", 22), ("::1", 631)}


def test_security(mac: Machine) -> None:
    assert mac.item("firewall")["enabled"] is True
    assert mac.item("firmware_security")["lockdown"] == "SIP enabled"
    settings = {one["name"]: one["value"] for one in mac.items("hardening")}
    assert settings == {
        "gatekeeper": "on", "sip": "enabled", "auto_login": "on", "guest_account": "off",
    }  # fmt: skip
    assert mac.item("antivirus")["definitions_version"] == "5321"
    assert mac.item("management")["server"] == "https://mdm.corp/checkin"
    assert mac.item("remote_access")["name"] == "ssh"
    assert mac.item("remote_tools")["name"] == "AnyDesk"
    assert sip_state("System Integrity Protection status: unknown (Custom Configuration).") is None
    with pytest.raises(Malformed):
        parse_state("Firewall is on")


def test_people_and_programs(mac: Machine) -> None:
    people = {one["name"]: one for one in mac.items("users")}
    assert (people["ada"]["administrator"], people["_www"]["interactive"]) == (True, False)
    assert [one["remote"] for one in mac.items("sessions")] == [False, True]
    assert mac.item("startup")["program"] == "/usr/local/bin/backup"
    assert mac.item("scheduled_tasks")["schedule"] == "Hour=3 Minute=0"
    assert "broken.plist" in mac.collect("startup").reason
    assert "hunter2" not in str(mac.items("startup") + mac.items("scheduled_tasks"))
    states = {one["name"]: one["state"] for one in mac.items("services")}
    assert states["com.example.broken"] == "failed"
    names = {one["name"]: one for one in mac.items("software")}
    assert set(names) == {"Firefox", "Xcode", "jq"}
    assert names["Firefox"]["vendor"] == "Mozilla Corporation"
    assert mac.item("licences")["product"] == "Xcode"
    assert mac.item("repositories")["name"] == "homebrew/core"
    assert [one["name"] for one in mac.items("processes")] == ["launchd", "Some App"]
    assert mac.item("crashes")["program"] == "Safari"
    assert parse_name("x.txt") is None
    assert schedule({"StartInterval": 60}) == "every 60 s"
    assert mac.item("editor_extensions")["publisher"] == "a"
    assert mac.item("time")["ntp"] is True


GARBLED = [
    ("sessions", "who"), ("processes", "ps "), ("neighbours", "arp"), ("vpn", "scutil --nc"),
    ("services", "launchctl list"), ("remote_access", "launchctl list"), ("volumes", "mount"),
    ("volumes", "df"), ("usage", "df"), ("usage", "vm_stat"), ("proxy", "scutil --proxy"),
    ("dns", "scutil --dns"), ("network", "scutil --dns"), ("routes", "netstat"),
    ("network", "netstat"), ("network", "ifconfig"), ("management", "profiles"),
    ("firmware_security", "csrutil"), ("hardening", "csrutil"), ("hardening", "spctl"),
    ("listening_ports", "lsof"), ("certificates", "security"), ("firewall", "/usr/libexec"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "command"), GARBLED)
def test_what_is_printed_and_not_understood_is_an_error(
    mac: Machine, section: str, command: str
) -> None:
    assert mac.collect(section).status == "ok"
    known = [one for one in mac.commands if one.startswith(command)]
    assert known, "the fixture runs it"
    for one in known:
        mac.commands[one] = "Segmentation fault: 11\nusage: another tool, from another year\n"
    report = mac.collect(section)
    assert (report.status, report.items) == ("error", []), report.reason
    assert "cannot be read" in report.reason


@pytest.mark.parametrize(
    ("section", "command"),
    [("sessions", "who"), ("processes", "ps "), ("services", "launchctl list"), ("volumes", "df")],
)
def test_single_lines_that_are_not_understood_are_counted(
    mac: Machine, section: str, command: str
) -> None:
    whole = mac.collect(section)
    (one,) = [one for one in mac.commands if one.startswith(command)]
    told = mac.commands[one]
    assert isinstance(told, str)
    mac.commands[one] = told + "\n~ two new ~\n~ lines ~\n"
    report = mac.collect(section)
    assert (report.status, report.items) == ("ok", whole.items)
    assert "2 lines of " in report.reason
