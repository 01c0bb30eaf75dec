"""Section `routes`: every route but those to this machine's own addresses."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.network import ANYWHERE, FAMILIES, is_current
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, word
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: nldef.h, NL_ROUTE_PROTOCOL.
_ORIGINS: Final = {
    2: "kernel", 3: "static", 4: "icmp", 8: "rip", 13: "ospf", 14: "bgp", 10002: "autostatic",
    10006: "static", 10007: "static", 5: "dhcp",
}  # fmt: skip
_HERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, never bound
_NOT_TOLD: Final = ("255.255.255.255/32", "224.0.0.0/4", "ff00::/8")


@windows_section("routes", parts=("routes",), personal=("destination", "gateway"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per route."""
    items = []
    for one in told.rows("routes"):
        prefix = said(one.get("DestinationPrefix"))
        gateway = said(one.get("NextHop"))
        linked = gateway in _HERE
        # A host's route without a gateway is one of this machine's own addresses.
        if not is_current(one) or prefix is None or prefix in _NOT_TOLD:
            continue
        if linked and prefix.endswith(("/32", "/128")):
            continue
        items.append(
            {
                "family": word(one.get("AddressFamily"), FAMILIES),
                "destination": "default" if prefix in ANYWHERE else prefix,
                "gateway": None if linked else gateway,
                "interface": said(one.get("InterfaceAlias")),
                "metric": whole(one.get("RouteMetric")),
                "origin": word(one.get("Protocol"), _ORIGINS),
            }
        )
    return items
