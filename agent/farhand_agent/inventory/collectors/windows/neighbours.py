"""Section `neighbours` (opt-in): whom this machine has seen on its networks."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.network import mac
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, word

__all__ = ["parse"]

# Source: nldef.h, NL_NEIGHBOR_STATE.
_STATES: Final = {
    0: "unreachable", 1: "incomplete", 2: "probe", 3: "delay", 4: "stale", 5: "reachable",
    6: "permanent",
}  # fmt: skip
_GROUPS: Final = ("ff:ff:ff:ff:ff:ff", "01:00:5e", "33:33")


@windows_section(
    "neighbours", parts=("neighbours",), personal=("address", "mac"), volatile=True, opt_in=True
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per neighbour; groups and those that never answered are none."""
    items = []
    for one in told.rows("neighbours"):
        address = mac(one.get("LinkLayerAddress"))
        if address is None or address.startswith(_GROUPS):
            continue
        items.append(
            {
                "address": said(one.get("IPAddress")),
                "mac": address,
                "interface": said(one.get("InterfaceAlias")),
                "state": word(one.get("State"), _STATES),
            }
        )
    return items
