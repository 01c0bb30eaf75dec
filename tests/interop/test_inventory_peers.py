"""The inventory beside what other tools say of the same machine, value by value.

Each leaf that a peer reports is compared with ours, or stands with its reason in the table
"Differences from other tools" of docs/inventory.md.  A leaf that is neither fails.
"""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.inventory.runner import collect_all
from farhand_agent.platforms.commands import FIXED_PATH
from farhand_protocol.inventory import SectionReport

DOCUMENT = Path(__file__).parents[2] / "docs/inventory.md"
MIB = 1024 * 1024
_ROW = re.compile(r"\| `([a-z-]+)` \| `([^`]+)` \| [^|]+ \|")

Item = dict[str, Any]
# A leaf of a peer: where it stands, what it is of, its value.
Leaf = tuple[str, str, str]
# What ours is for a leaf of this kind, by what it is of; None where we have no such thing.
Ours = Callable[[str], Any]


def run(*argv: str) -> str:
    """Return what a tool prints, in the same fixed world as our own collectors."""
    env = {"PATH": FIXED_PATH, "LC_ALL": "C", "HOME": "/", "TZ": "UTC"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=120, check=False)
    return done.stdout


def listed(peer: str) -> set[str]:
    """Return the leaves of a peer that the document lists as different."""
    text = DOCUMENT.read_text().partition("\n## Differences from other tools\n")[2]
    return {key for name, key in _ROW.findall(text) if name == peer}


@pytest.fixture(scope="module")
def reports() -> dict[str, SectionReport]:
    return collect_all(leave_out=["updates"])


def items(reports: dict[str, SectionReport], name: str) -> list[Item]:
    report = reports[name]
    assert report.status == "ok", (name, report.reason)
    return report.items


def is_excused(key: str, excused: set[str], compared: dict[str, Ours]) -> bool:
    """Tell whether the document excuses a leaf; no pattern excuses what is compared."""
    return key in excused or (key not in compared and any(fnmatchcase(key, one) for one in excused))


def compare(peer: str, leaves: Iterator[Leaf], ours: dict[str, Ours]) -> None:
    """Fail with every leaf that is neither equal nor listed."""
    excused = listed(peer)
    wrong: list[str] = []
    seen = 0
    for key, of, value in leaves:
        seen += 1
        if is_excused(key, excused, ours):
            continue
        if key not in ours:
            wrong.append(f"{key} of {of}: {value!r}, and nothing compares it")
            continue
        mine = ours[key](of)
        if str(mine) != value:
            wrong.append(f"{key} of {of}: theirs {value!r}, ours {mine!r}")
    assert not wrong, f"{peer} differs:\n" + "\n".join(wrong[:40])
    assert seen > 20, f"{peer} said next to nothing"


# fusioninventory


# By what a record of theirs is told apart; the first that it has.
_NAMES = {
    "CONTROLLERS": ("PCISLOT",),
    "DRIVES": ("TYPE",),
    "LOCAL_GROUPS": ("NAME",),
    "LOCAL_USERS": ("LOGIN",),
    "SOFTWARES": ("NAME",),
    "STORAGES": ("NAME",),
}


def of_fusioninventory(document: str) -> Iterator[Leaf]:
    """Yield its leaves; a software is told apart by name and architecture, a network by address."""
    content = ElementTree.fromstring(document).find("CONTENT")
    assert content is not None
    for record in content:
        values = {leaf.tag: (leaf.text or "").strip() for leaf in record if not len(leaf)}
        of = "; ".join(values.get(name, "") for name in _NAMES.get(record.tag, ()))
        if record.tag == "SOFTWARES":
            of = f"{values.get('NAME')} {values.get('ARCH')}"
        elif record.tag == "NETWORKS":
            address = values.get("IPADDRESS") or values.get("IPADDRESS6") or ""
            of = f"{values.get('DESCRIPTION')} {address}".strip()
        if not values:
            yield record.tag, "", (record.text or "").strip()
        for tag, value in values.items():
            if value:
                yield f"{record.tag}.{tag}", of, value
        for inner in (leaf for leaf in record if len(leaf)):
            for leaf in inner:
                yield f"{record.tag}.{inner.tag}.{leaf.tag}", of, (leaf.text or "").strip()


def fusioninventory_ours(reports: dict[str, SectionReport]) -> dict[str, Ours]:
    """Return what ours is for each of its leaves that has a counterpart."""
    system, memory = items(reports, "system")[0], items(reports, "memory")[0]
    release, cpus = items(reports, "os")[0], items(reports, "cpu")
    network = items(reports, "network")
    links = {one["name"]: one for one in network if one["record"] == "interface"}
    default = next(
        (o for o in network if o["record"] == "default_route" and o["family"] == "inet"), {}
    )
    resolver = next(one for one in network if one["record"] == "resolver")
    volumes = {one["mount"]: one for one in items(reports, "volumes")}
    users = {one["name"]: one for one in items(reports, "users")}
    groups = {one["name"]: one for one in items(reports, "groups")}
    disks = {one["name"]: one for one in items(reports, "disks")}
    pci = {one["address"].partition(":")[2]: one for one in items(reports, "devices_pci")}
    packages = {f"{o['name']} {o['arch']}": o for o in items(reports, "software")}
    guest = items(reports, "virtualisation")[0]
    started = items(reports, "usage")[0]["booted_at"]

    def first_address(_: str) -> Any:
        addresses = [a for name, one in links.items() if name != "lo" for a in one["addresses"]]
        return next(one.partition("/")[0] for one in addresses if ":" not in one)

    def link(of: str) -> Item:
        return links[of.partition(" ")[0]]

    def own(of: str) -> Any:
        """Return our interface for the address that the peer names, if it has that."""
        address = of.partition(" ")[2]
        found = [one for one in link(of)["addresses"] if one.partition("/")[0] == address]
        return ipaddress.ip_interface(found[0]) if found else None

    def fqdn(_: str) -> str:
        return ".".join(one for one in (system["hostname"], system["domain"]) if one)

    def chosen(of: str) -> Any:
        return pci[of]["device"] or pci[of]["class"]

    return {
        "BIOS.SSN": lambda _: system["serial"],
        "BIOS.SMANUFACTURER": lambda _: system["manufacturer"],
        "BIOS.SMODEL": lambda _: system["model"],
        "BIOS.BMANUFACTURER": lambda _: system["bios_vendor"],
        "BIOS.BVERSION": lambda _: system["bios_version"],
        "BIOS.BDATE": lambda _: system["bios_date"],
        "BIOS.MMANUFACTURER": lambda _: system["board_manufacturer"],
        "BIOS.MMODEL": lambda _: system["board_model"],
        "BIOS.MSN": lambda _: system["board_serial"],
        "BIOS.SKUNUMBER": lambda _: system["sku"],
        "CONTROLLERS.CAPTION": chosen,
        "CONTROLLERS.NAME": chosen,
        "CONTROLLERS.MANUFACTURER": lambda of: pci[of]["vendor"],
        "CONTROLLERS.PCICLASS": lambda of: pci[of]["class_id"][:4],
        "CONTROLLERS.PCISLOT": lambda of: of,
        "CONTROLLERS.PCISUBSYSTEMID": lambda of: (
            f"{pci[of]['subsystem_vendor_id']}:{pci[of]['subsystem_device_id']}"
        ),
        "CONTROLLERS.PRODUCTID": lambda of: pci[of]["device_id"],
        "CONTROLLERS.REV": lambda of: pci[of]["revision"],
        "CONTROLLERS.TYPE": lambda of: pci[of]["class"],
        "CONTROLLERS.VENDORID": lambda of: pci[of]["vendor_id"],
        "CPUS.CORE": lambda _: cpus[0]["cores"],
        "CPUS.FAMILYNUMBER": lambda _: cpus[0]["family"],
        "CPUS.MODEL": lambda _: cpus[0]["model_number"],
        "CPUS.NAME": lambda _: cpus[0]["model"],
        "CPUS.STEPPING": lambda _: cpus[0]["stepping"],
        "CPUS.THREAD": lambda _: cpus[0]["threads"],
        "DRIVES.FILESYSTEM": lambda of: volumes[of]["filesystem"],
        "DRIVES.TOTAL": lambda of: volumes[of]["total_bytes"] // MIB,
        "DRIVES.TYPE": lambda of: volumes[of]["mount"],
        "DRIVES.VOLUMN": lambda of: volumes[of]["device"],
        "DRIVES.LABEL": lambda of: volumes[of]["label"],
        "DRIVES.SERIAL": lambda of: volumes[of]["uuid"],
        "HARDWARE.DEFAULTGATEWAY": lambda _: default.get("gateway"),
        "HARDWARE.DNS": lambda _: "/".join(resolver["servers"]),
        "HARDWARE.IPADDR": first_address,
        "HARDWARE.MEMORY": lambda _: memory["total_bytes"] // MIB,
        "HARDWARE.SWAP": lambda _: memory["swap_total_bytes"] // MIB,
        "HARDWARE.NAME": lambda _: system["hostname"],
        "HARDWARE.OSCOMMENTS": lambda _: release["kernel_version"],
        "HARDWARE.OSNAME": lambda _: release["pretty_name"],
        "HARDWARE.OSVERSION": lambda _: release["kernel"],
        "HARDWARE.PROCESSORN": lambda _: len(cpus),
        "HARDWARE.PROCESSORT": lambda _: cpus[0]["model"],
        "HARDWARE.VMSYSTEM": lambda _: str(guest["container"] or guest["guest_of"]).capitalize(),
        "HARDWARE.UUID": lambda _: (system["uuid"] or "").upper(),
        "LOCAL_GROUPS.ID": lambda of: groups[of]["id"],
        "LOCAL_GROUPS.MEMBER": lambda of: groups[of]["members"][-1],
        "LOCAL_GROUPS.NAME": lambda of: groups[of]["name"],
        "LOCAL_USERS.HOME": lambda of: users[of]["home"],
        "LOCAL_USERS.ID": lambda of: users[of]["uid"],
        "LOCAL_USERS.LOGIN": lambda of: users[of]["name"],
        "LOCAL_USERS.SHELL": lambda of: users[of]["shell"],
        "NETWORKS.DESCRIPTION": lambda of: link(of)["name"],
        "NETWORKS.DRIVER": lambda of: link(of)["driver"],
        "NETWORKS.IPADDRESS": lambda of: own(of).ip,
        "NETWORKS.IPADDRESS6": lambda of: own(of).ip,
        "NETWORKS.IPMASK": lambda of: own(of).netmask,
        "NETWORKS.IPSUBNET": lambda of: own(of).network.network_address,
        "NETWORKS.IPGATEWAY": lambda _: default.get("gateway"),
        "NETWORKS.MACADDR": lambda of: link(of)["mac"],
        "NETWORKS.STATUS": lambda of: "Down" if link(of)["state"] == "DOWN" else "Up",
        "NETWORKS.TYPE": lambda of: link(of)["kind"].replace("ether", "ethernet"),
        "NETWORKS.VIRTUALDEV": lambda of: int(link(of)["virtual"]),
        "OPERATINGSYSTEM.ARCH": lambda _: release["arch"],
        "OPERATINGSYSTEM.BOOT_TIME": lambda _: started.replace("T", " ").removesuffix("Z"),
        "OPERATINGSYSTEM.DNS_DOMAIN": lambda _: system["domain"],
        "OPERATINGSYSTEM.FQDN": fqdn,
        "OPERATINGSYSTEM.FULL_NAME": lambda _: release["pretty_name"],
        "OPERATINGSYSTEM.KERNEL_NAME": lambda _: "linux",
        "OPERATINGSYSTEM.KERNEL_VERSION": lambda _: release["kernel"],
        "OPERATINGSYSTEM.NAME": lambda _: release["name"],
        "OPERATINGSYSTEM.VERSION": lambda _: release["point_version"] or release["version"],
        "SOFTWARES.ARCH": lambda of: packages[of]["arch"],
        "SOFTWARES.FILESIZE": lambda of: packages[of]["size_bytes"] or 0,
        "SOFTWARES.FROM": lambda of: {"dpkg": "deb"}.get(packages[of]["source"]),
        "SOFTWARES.NAME": lambda of: packages[of]["name"],
        "SOFTWARES.VERSION": lambda of: packages[of]["version"],
        "STORAGES.DISKSIZE": lambda of: disks[of]["size_bytes"] // 1_000_000,
        "STORAGES.FIRMWARE": lambda of: disks[of]["firmware"],
        "STORAGES.MANUFACTURER": lambda of: disks[of]["vendor"],
        "STORAGES.MODEL": lambda of: disks[of]["model"],
        "STORAGES.NAME": lambda of: disks[of]["name"],
        "STORAGES.SERIALNUMBER": lambda of: disks[of]["serial"],
    }


@pytest.mark.needs("fusioninventory-inventory")
def test_fusioninventory(reports: dict[str, SectionReport]) -> None:
    theirs = list(of_fusioninventory(run("fusioninventory-inventory")))
    ours = fusioninventory_ours(reports)
    # The kernel keeps the start as now minus uptime, which may be a second this way or that.
    mine = datetime.strptime(ours["OPERATINGSYSTEM.BOOT_TIME"](""), "%Y-%m-%d %H:%M:%S")
    started = next(one[2] for one in theirs if one[0] == "OPERATINGSYSTEM.BOOT_TIME")
    apart = datetime.strptime(started, "%Y-%m-%d %H:%M:%S") - mine
    assert abs(apart.total_seconds()) <= 2
    ours["OPERATINGSYSTEM.BOOT_TIME"] = lambda _: started
    compare("fusioninventory", iter(theirs), ours)
    told = {of for key, of, _ in theirs if key == "SOFTWARES.NAME"}
    mine_too = {f"{o['name']} {o['arch']}" for o in items(reports, "software")}
    assert {one for one in mine_too if one not in told} == set()


# lshw


def of_lshw(node: Item, path: str = "") -> Iterator[Leaf]:
    """Yield the leaves of lshw's tree; a node is told apart by its address on the bus."""
    kind = str(node.get("class"))
    of = str(node.get("businfo") or node.get("logicalname") or node.get("id")).removeprefix("pci@")
    if of.startswith("virtio@"):
        names = node.get("logicalname", of)
        of = names if isinstance(names, str) else names[0]
        # Behind each function on the PCI bus there is such a device once more.
        kind = {"generic": "virtio", "network": "interface"}.get(kind, kind)
    for key, value in node.items():
        if key in ("id", "class", "children", "capabilities"):
            continue
        if isinstance(value, dict):
            yield from ((f"{kind}.{key}.{name}", of, str(inner)) for name, inner in value.items())
        else:
            yield f"{kind}.{key}", of, str(value)
    for child in node.get("children", []):
        yield from of_lshw(child, of)


def lshw_ours(reports: dict[str, SectionReport]) -> dict[str, Ours]:
    """Return what ours is for each of its leaves that has a counterpart."""
    cpu, links = items(reports, "cpu")[0], items(reports, "network")
    by_name = {one["name"]: one for one in links if one["record"] == "interface"}
    pci = {one["address"]: one for one in items(reports, "devices_pci")}
    volumes = {one["device"]: one for one in items(reports, "volumes")}

    def on_bus(field: str) -> Ours:
        return lambda of: pci.get(of, {}).get(field)

    def driver(of: str) -> Any:
        return pci[of]["driver"] if of in pci else by_name.get(of, {}).get("driver")

    def address(of: str) -> Any:
        found = [one for one in by_name[of]["addresses"] if ":" not in one]
        return found[0].partition("/")[0] if found else None

    ours: dict[str, Ours] = {
        "processor.product": lambda _: cpu["model"],
        "processor.version": lambda _: f"{cpu['family']}.{cpu['model_number']}.{cpu['stepping']}",
        "processor.configuration.microcode": lambda _: int(cpu["microcode"], 16),
        "disk.configuration.mount.fstype": lambda of: volumes[of]["filesystem"],
        "interface.serial": lambda of: by_name[of]["mac"],
        "interface.logicalname": lambda of: by_name[of]["name"],
        "interface.configuration.ip": address,
        "interface.configuration.driver": driver,
        "interface.configuration.link": lambda of: (
            "no" if by_name[of]["state"] == "DOWN" else "yes"
        ),
        "bridge.configuration.driver": on_bus("driver"),
    }
    for kind in ("generic", "storage", "network", "bridge", "display", "communication"):
        ours[f"{kind}.product"] = on_bus("device")
        ours[f"{kind}.vendor"] = on_bus("vendor")
        ours[f"{kind}.version"] = on_bus("revision")
        ours[f"{kind}.description"] = on_bus("class")
        ours.setdefault(f"{kind}.configuration.driver", on_bus("driver"))
    return ours


@pytest.mark.needs("lshw")
def test_lshw(reports: dict[str, SectionReport]) -> None:
    document = json.loads(run("lshw", "-json", "-quiet"))
    root = document[0] if isinstance(document, list) else document
    compare("lshw", of_lshw(root), lshw_ours(reports))


# One tool, one section


@pytest.mark.needs("dpkg-query")
def test_dpkg_query(reports: dict[str, SectionReport]) -> None:
    shape = "${Package}|${Version}|${Architecture}|${source:Package}|${source:Version}|"
    lines = run("dpkg-query", "-W", f"-f={shape}${{Installed-Size}}|${{db:Status-Abbrev}}\n")
    theirs = set()
    for line in lines.splitlines():
        *fields, size, status = line.split("|")
        if status[1] == "i":
            theirs.add((*fields, int(size or 0) * 1024 or None, status[0] == "h"))
    keys = ("name", "version", "arch", "source_name", "source_version", "size_bytes", "held")
    ours = {
        tuple(one[key] for key in keys)
        for one in items(reports, "software")
        if one["source"] == "dpkg"
    }
    assert ours == theirs


@pytest.mark.needs("ss")
def test_ss() -> None:
    def theirs() -> set[tuple[str, str, int]]:
        found = set()
        for line in run("ss", "-H", "-lntu").splitlines():
            kind, _, _, _, local = line.split()[:5]
            address, _, port = local.rpartition(":")
            found.add((kind, address.strip("[]"), int(port)))
        return found

    # Whatever opens or closes meanwhile is in one of theirs only; what does both is tried again.
    for _ in range(10):
        before = theirs()
        report = collect_all(["listening_ports"])["listening_ports"]
        after = theirs()
        assert report.status == "ok"
        ours = {(one["protocol"], one["address"], one["port"]) for one in report.items}
        if before & after <= ours <= before | after:
            break
    assert before & after <= ours <= before | after


@pytest.mark.needs("systemctl")
def test_systemctl(reports: dict[str, SectionReport]) -> None:
    services = reports["services"]
    lines = run("systemctl", "list-units", "--type=service", "--all", "--plain", "--no-legend")
    if not lines:
        assert run("systemctl", "is-system-running").strip() in ("offline", "unknown")
        assert "systemd does not run here" in services.reason
        return
    theirs = {
        line.split()[0].removesuffix(".service"): line.split()[2] for line in lines.splitlines()
    }
    ours = {one["name"]: one["state"] for one in services.items if one["manager"] == "systemd"}
    words = {"active": ("active", "running"), "inactive": ("stopped",), "failed": ("failed",)}
    for name, state in theirs.items():
        if name in ours and state in words:
            assert ours[name] in words[state], name
    assert len(ours.keys() & theirs.keys()) > 10


@pytest.mark.needs("lsblk", "ip", "getent")
def test_lsblk_ip_and_getent(reports: dict[str, SectionReport]) -> None:
    sizes = {
        tuple(line.split())
        for line in run(
            "lsblk", "-b", "-d", "-n", "-o", "NAME,SIZE", "-e", "7,1,252,11"
        ).splitlines()
    }
    disks = {(one["name"], str(one["size_bytes"])) for one in items(reports, "disks")}
    assert disks <= sizes
    addresses = set()
    for line in run("ip", "-o", "addr").splitlines():
        fields = line.split()
        if "temporary" not in fields:
            addresses.add((fields[1], fields[3]))
    found = items(reports, "network")
    assert {
        (one["name"], a) for one in found if one["record"] == "interface" for a in one["addresses"]
    } == addresses
    accounts = {line.split(":")[0] for line in run("getent", "passwd").splitlines()}
    assert {one["name"] for one in items(reports, "users")} == accounts
    groups = {tuple(line.split(":")[::2][:2]) for line in run("getent", "group").splitlines()}
    assert {(one["name"], one["id"]) for one in items(reports, "groups")} == groups


def test_every_row_of_the_table_is_of_a_known_peer() -> None:
    text = DOCUMENT.read_text().partition("\n## Differences from other tools\n")[2]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows
    assert all(_ROW.fullmatch(line) for line in rows)
    assert {_ROW.fullmatch(line)[1] for line in rows} == {"fusioninventory", "lshw"}  # type: ignore[index]


def test_a_difference_that_is_not_listed_is_found() -> None:
    leaves = [("network.product", str(at), "card") for at in range(30)]
    compare("lshw", iter(leaves), {"network.product": lambda _: "card"})
    with pytest.raises(AssertionError, match=r"theirs 'card', ours 'cart'"):
        compare("lshw", iter(leaves), {"network.product": lambda _: "cart"})
    with pytest.raises(AssertionError, match="nothing compares it"):
        compare("lshw", iter(leaves), {})
    with pytest.raises(AssertionError, match="next to nothing"):
        compare("lshw", iter(leaves[:3]), {"network.product": lambda _: "card"})
    assert is_excused("network.physid", listed("lshw"), {})
    assert not is_excused("network.physid", listed("lshw"), {"network.physid": lambda _: 1})
