"""Section `network`: interfaces with their addresses, default routes and name servers."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.linux.routes import ask_ip
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_addresses", "parse_resolv_conf", "parse_routes"]


def parse_addresses(document: Any) -> list[dict[str, Any]]:
    """Return one item per interface in the value that `ip -j addr` printed.

    Temporary IPv6 addresses change by the day, so they are only counted.

    Raises:
        Malformed: it is not what ip prints.
    """
    if not isinstance(document, list):
        raise Malformed("ip addr")
    items = []
    for link in document:
        if not isinstance(link, dict) or not isinstance(link.get("ifname"), str):
            if link == {}:
                continue  # some versions print {} for links that a filter removed
            raise Malformed("ip addr")
        addresses = link.get("addr_info")
        addresses = (
            [a for a in addresses if isinstance(a, dict)] if isinstance(addresses, list) else []
        )
        items.append(
            {
                "record": "interface",
                "name": link["ifname"],
                "kind": _text(link.get("link_type")),
                "mac": _text(link.get("address")),
                "mtu_bytes": link.get("mtu") if isinstance(link.get("mtu"), int) else None,
                "state": _text(link.get("operstate")),
                "addresses": [
                    f"{a['local']}/{a.get('prefixlen')}"
                    for a in addresses
                    if isinstance(a.get("local"), str) and not a.get("temporary")
                ],
                "temporary_addresses": sum(bool(a.get("temporary")) for a in addresses),
            }
        )
    return items


def parse_routes(document: Any, family: str) -> list[dict[str, Any]]:
    """Return one item per default route in the value that `ip -j route show default` printed.

    Raises:
        Malformed: it is not what ip prints.
    """
    if not isinstance(document, list) or not all(isinstance(route, dict) for route in document):
        raise Malformed("ip route")
    return [
        {
            "record": "default_route",
            "family": family,
            "gateway": _text(route.get("gateway")),
            "interface": _text(route.get("dev")),
            "metric": route.get("metric") if isinstance(route.get("metric"), int) else None,
        }
        for route in document
        if route.get("dst") == "default"
    ]


def parse_resolv_conf(text: str) -> dict[str, Any]:
    """Return name servers and search domains in the text of resolv.conf.

    Source: resolv.conf(5): the last `search` or `domain` line counts.
    """
    servers: list[str] = []
    search: list[str] = []
    for line in text.split("\n"):
        words = line.partition("#")[0].partition(";")[0].split()
        if len(words) >= 2 and words[0] == "nameserver":
            servers.append(words[1])
        elif len(words) >= 2 and words[0] in ("search", "domain"):
            search = words[1:]
    return {"record": "resolver", "servers": servers[:32], "search": search[:32]}


@section("network", platform="linux", personal=("mac", "addresses", "gateway", "servers", "search"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return items with `record` interface, default_route or resolver."""
    items = parse_addresses(context.run_json(["ip", "-j", "addr"]))
    for item in items:
        folder = f"/sys/class/net/{item['name']}"
        physical = context.files.path(f"{folder}/device").exists()
        item["virtual"] = not physical
        speed = context.files.number(f"{folder}/speed") if physical else None
        item["speed_mbit_s"] = speed if speed and speed > 0 else None
        item["duplex"] = context.files.line(f"{folder}/duplex") if physical else None
        driver = context.files.path(f"{folder}/device/driver")
        item["driver"] = driver.resolve().name if driver.exists() else None
        item["wireless"] = context.files.path(f"{folder}/wireless").exists()
    for option, family in (("-4", "inet"), ("-6", "inet6")):
        items += parse_routes(ask_ip(context, option, "default"), family)
    items.append(parse_resolv_conf(context.files.text("/etc/resolv.conf") or ""))
    return items


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
