"""Section `neighbours` (opt-in): whom this Mac has seen on its networks."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_arp"]

# Asked for and never answered; groups and broadcasts.
_LEFT_OUT: Final = r"\(incomplete\)| at (?:ff:ff:ff:ff:ff:ff|0?1:0?0:5e:\S+) "
_LINE: Final = re.compile(r"\S+ \(([0-9.]+)\) at ([0-9a-f:]{11,17}) on (\S+)(.*)")


def parse_arp(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `arp -an` with an address; groups are left out.

    macOS drops leading zeros in hardware addresses: 0:1c:42:0:0:9.
    """
    items = []
    for line in output.split("\n"):
        found = _LINE.match(line)
        parts = found[2].split(":") if found else []
        if not found or len(parts) != 6 or not all(0 < len(part) < 3 for part in parts):
            continue
        mac = ":".join(part.rjust(2, "0") for part in parts)
        if mac == "ff:ff:ff:ff:ff:ff" or mac.startswith("01:00:5e"):
            continue
        state = "permanent" if "permanent" in found[4] else None
        items.append({"address": found[1], "mac": mac, "interface": found[3], "state": state})
    return items


@macos_section("neighbours", personal=("address", "mac"), volatile=True, opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per neighbour."""
    told = context.run(["arp", "-an"]).text
    items = parse_arp(told)
    require_lines(context, "arp", told, len(items), aside=_LEFT_OUT, silent=True)
    return items
