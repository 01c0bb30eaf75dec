"""Section `routes`: every route of every table but the kernel's own for local addresses."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.context import CommandFailed, Context, Malformed
from farhand_agent.inventory.json_values import text, whole
from farhand_agent.inventory.registry import section

__all__ = ["ask_ip", "collect", "parse_routes"]


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
        items += parse_routes(ask_ip(context, option, "table", "all"), family)
    return items


def ask_ip(context: Context, option: str, *which: str) -> Any:
    """Return what `ip -j OPTION route show WHICH...` printed.

    Raises:
        CommandFailed, Malformed: it could not tell.
    """
    outcome = context.run(["ip", "-j", option, "route", "show", *which], ok=None)
    # A table that never had a route does not exist yet for the kernel.
    if outcome.exit_code != 0 and "FIB table does not exist" not in outcome.error_text:
        raise CommandFailed("ip", outcome.exit_code)
    # Without a route some versions print nothing at all instead of an empty list.
    return context.parse_json(outcome.stdout, "ip route") if outcome.stdout.strip() else []
