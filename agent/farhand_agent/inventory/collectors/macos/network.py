"""Section `network`: interfaces by ifconfig, default routes by netstat, name servers by scutil."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.dns import resolvers
from farhand_agent.inventory.collectors.macos.routes import all_routes
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Malformed
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_ifconfig", "parse_ports"]

_HEAD: Final = re.compile(
    r"([a-z][a-z0-9]{0,14}): flags=[0-9a-f]+<([A-Z0-9,_]*)>.* mtu ([0-9]{1,6})"
)
_INET: Final = re.compile(r"\s+inet (\S+) (?:--> \S+ )?netmask 0x([0-9a-f]{8})")
_INET6: Final = re.compile(r"\s+inet6 ([0-9a-f:]+)(?:%\w+)? prefixlen ([0-9]{1,3})(.*)")
_ETHER: Final = re.compile(r"\s+ether ([0-9a-f:]{17})")
_STATUS: Final = re.compile(r"\s+status: (active|inactive)")
_MEDIA: Final = re.compile(r"\s+media: .*\(?([0-9]{2,6})(?:base|Base)\S* <([^>]*)>")
_PORT: Final = re.compile(r"Hardware Port: (.+)\nDevice: (\S+)")


def parse_ifconfig(output: str) -> list[dict[str, Any]]:
    """Return one item per interface of `ifconfig -a`."""
    items: list[dict[str, Any]] = []
    for line in output.split("\n"):
        if found := _HEAD.match(line):
            flags = found[2].split(",")
            items.append(
                {
                    "record": "interface", "name": found[1],
                    "kind": "loopback" if "LOOPBACK" in flags else
                    "ppp" if "POINTOPOINT" in flags else "ether",
                    "mac": None, "mtu_bytes": int(found[3]),
                    "state": "UP" if "RUNNING" in flags else "DOWN",
                    "addresses": [], "temporary_addresses": 0, "virtual": True,
                    "speed_mbit_s": None, "duplex": None, "driver": None, "wireless": False,
                }
            )  # fmt: skip
        elif not items:
            continue
        elif found := _INET.match(line):
            bits = int(found[2], 16).bit_count()
            items[-1]["addresses"].append(f"{found[1]}/{bits}")
        elif found := _INET6.match(line):
            if "temporary" in found[3]:
                items[-1]["temporary_addresses"] += 1
            else:
                items[-1]["addresses"].append(f"{found[1]}/{found[2]}")
        elif found := _ETHER.match(line):
            items[-1]["mac"] = found[1]
        elif found := _STATUS.match(line):
            items[-1]["state"] = "UP" if found[1] == "active" else "DOWN"
        elif found := _MEDIA.match(line):
            items[-1]["speed_mbit_s"] = int(found[1])
            items[-1]["duplex"] = "full" if "full-duplex" in found[2] else "half"
    for item in items:
        item["addresses"].sort()
    return items


def parse_ports(output: str) -> dict[str, str]:
    """Return the hardware port by device, from `networksetup -listallhardwareports`."""
    return {device: port.strip() for port, device in _PORT.findall(output)}


@macos_section("network", personal=("mac", "addresses", "gateway", "servers", "search"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per interface, per default route, and for the resolver."""
    items = parse_ifconfig(context.run(["ifconfig", "-a"]).text)
    if not items:
        raise Malformed("ifconfig")  # there is a loopback everywhere
    try:
        ports = parse_ports(context.run(["networksetup", "-listallhardwareports"]).text)
    except FarhandError as error:
        ports = {}
        context.note(error.message)
    else:
        if not ports:
            context.note("no line of networksetup can be read")
    for item in items:
        port = ports.get(item["name"])
        item["virtual"] = port is None
        item["wireless"] = port == "Wi-Fi"
    for route in all_routes(context):
        if route["destination"] == "default":
            kept = ("family", "gateway", "interface", "metric")
            items.append({"record": "default_route"} | {key: route[key] for key in kept})
    for found in resolvers(context)[:1]:
        items.append({"record": "resolver", "servers": found["servers"], "search": found["search"]})
    return items
