"""Section `routes`: every route of every table but the kernel's own for local addresses."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import text, whole
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_routes"]


def parse_routes(document: Any, family: str) -> list[dict[str, Any]]:
    """Return one item per route in what `ip -j route show table all` printed.

    Raises:
        Malformed: it is not what ip prints.
    """
    if not isinstance(document, list) or not all(isinstance(route, dict) for route in document):
        raise Malformed("ip route")
    return [
        {
            "family": family,
            "destination": text(route.get("dst")),
            "gateway": text(route.get("gateway")),
            "interface": text(route.get("dev")),
            "metric": whole(route.get("metric")),
            "origin": text(route.get("protocol")),
        }
        for route in document
        if route.get("table") != "local" and route.get("type") not in ("local", "multicast")
    ]


@section("routes", platform="linux", personal=("destination", "gateway"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per route."""
    items = []
    for option, family in (("-4", "inet"), ("-6", "inet6")):
        answer = context.run(["ip", "-j", option, "route", "show", "table", "all"]).stdout
        # Without a route some versions print nothing at all instead of an empty list.
        document = context.parse_json(answer, "ip route") if answer.strip() else []
        items += parse_routes(document, family)
    return items
