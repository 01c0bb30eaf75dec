"""Section `neighbours` (opt-in): who else is on the local network, as the kernel knows them."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_neighbours"]


def parse_neighbours(document: Any) -> list[dict[str, Any]]:
    """Return one item per neighbour with a hardware address, from what `ip -j neigh` printed.

    Raises:
        Malformed: it is not what ip prints.
    """
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise Malformed("ip neigh")
    items = []
    for one in document:
        states = one.get("state")
        words = [state for state in states if isinstance(state, str)] if states else []
        if mac := text(one.get("lladdr")):
            items.append(
                {
                    "address": text(one.get("dst")),
                    "mac": mac,
                    "interface": text(one.get("dev")),
                    "state": " ".join(words).lower() or None,
                }
            )
    return items


@section("neighbours", platform="linux", personal=("address", "mac"), volatile=True, opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per neighbour."""
    answer = context.run(["ip", "-j", "neigh", "show"]).stdout
    return parse_neighbours(context.parse_json(answer, "ip neigh") if answer.strip() else [])
