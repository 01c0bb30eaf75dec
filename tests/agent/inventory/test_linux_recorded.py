"""What the real tools printed, recorded on Debian 12 (in a network namespace of their own).

nftables 1.0.6, iptables 1.8.9, iproute2 6.1, chrony 4.3 without a server, smartmontools 7.3 and
lvm2 2.03 without a disk that they know, CUPS' client 2.4 without its scheduler.
"""

from __future__ import annotations

from pathlib import Path

from farhand_agent.platforms.commands import Outcome
from tests.agent.inventory.machines import Machine

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def test_firewalls(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        {},
        {
            "nft": recorded("nft-1.0.6-ruleset.json"),
            "iptables-save": recorded("iptables-1.8.9-save.txt"),
        },
    )
    nft, iptables = machine.items("firewall")
    assert (nft["enabled"], nft["rules"]) == (True, 2)
    assert (nft["default_inbound"], nft["default_outbound"]) == ("drop", "accept")
    assert (iptables["enabled"], iptables["rules"]) == (True, 1)
    assert (iptables["default_inbound"], iptables["default_outbound"]) == ("drop", "accept")


def test_tunnels(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {}, {"ip -j -d link": recorded("ip-6.1-link.json")})
    item = machine.item("vpn")  # a tap is a card of some virtual machine, and lo is no tunnel
    assert (item["name"], item["kind"], item["state"]) == ("tun7", "tun", "down")


def test_a_clock_that_follows_itself_is_not_synchronised(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {}, {"chronyc": recorded("chronyc-4.3-tracking.txt")})
    item = machine.item("time")
    assert (item["synchronised"], item["stratum"], item["offset_ms"]) == (False, 8, 0.0)


def test_tools_that_know_of_nothing(tmp_path: Path) -> None:
    smart = {"smartctl --scan": recorded("smartctl-7.3-scan-none.json")}
    assert Machine(tmp_path, {}, smart).collect("disk_health").status == "unsupported"
    empty = recorded("vgs-2.03-none.json")
    groups = {"vgs": empty, "pvs": '{"report":[{"pv":[]}]}', "lvs": '{"report":[{"lv":[]}]}'}
    assert Machine(tmp_path, {}, groups).items("logical_volumes") == []
    stopped = Outcome(
        1, b"no system default destination\n", recorded("lpstat-2.4-stopped.txt").encode()
    )
    printers = Machine(tmp_path, {}, {"lpstat": stopped}).collect("printers")
    assert (printers.status, printers.reason) == ("unsupported", "CUPS does not run")
