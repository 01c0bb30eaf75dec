"""Section `routes`: `netstat -rn`, without routes to single neighbours and to this Mac itself."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines, require_mark
from farhand_agent.inventory.context import Context

__all__ = ["all_routes", "collect", "parse_netstat"]


def parse_netstat(output: str) -> list[dict[str, Any]]:
    """Return one item per route of `netstat -rn`; lines of another shape are skipped."""
    items = []
    family = None
    for line in output.split("\n"):
        if line.startswith("Internet6"):
            family = "inet6"
        elif line.startswith("Internet"):
            family = "inet"
        fields = line.split()
        if family is None or len(fields) < 4 or fields[0] == "Destination":
            continue
        destination, gateway, flags, interface = fields[:4]
        # H: one host, L: a neighbour's hardware address, m: a group.
        if not flags.startswith("U") or set(flags) & set("HLm"):
            continue
        linked = gateway.startswith("link#")
        items.append(
            {
                "family": family,
                "destination": destination,
                "gateway": None if linked else gateway.partition("%")[0],
                "interface": interface,
                "metric": None,
                "origin": "static" if "S" in flags else None,
            }
        )
    return items


def all_routes(context: Context) -> list[dict[str, Any]]:
    """Return one item per route.

    Raises:
        Malformed: netstat printed something else.
    """
    told = context.run(["netstat", "-rn"]).text
    require_mark("netstat", told, "^Internet6?:")
    shaped = sum(len(line.split()) >= 4 for line in told.split("\n"))
    heads = told.count("Destination ")
    aside = "^(?:Routing tables|Internet6?:|Destination )"
    require_lines(context, "netstat", told, shaped - heads, aside=aside)
    return parse_netstat(told)


@macos_section("routes", personal=("destination", "gateway"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per route."""
    return all_routes(context)
