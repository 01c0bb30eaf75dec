"""Section `bluetooth`: the controller, and with how many devices it is paired."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text

__all__ = ["bluetooth_items", "collect"]

_LISTS: Final = ("device_connected", "device_not_connected")


def bluetooth_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per controller in SPBluetoothDataType (macOS 12 and later)."""
    items = []
    for one in entries:
        found = one.get("controller_properties")
        if not isinstance(found, dict):
            continue
        state = text(found.get("controller_state")) or ""
        items.append(
            {
                "name": text(found.get("controller_chipset")),
                "address": (text(found.get("controller_address")) or "").lower() or None,
                "manufacturer": text(found.get("controller_vendorID")),
                "driver": text(found.get("controller_transport")),
                "blocked": state.endswith("off"),
                "paired_devices": sum(len(rows(one.get(name))) for name in _LISTS),
            }
        )
    return items


@macos_section("bluetooth", types=("SPBluetoothDataType",), personal=("address",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per controller."""
    return bluetooth_items(profile(context, "SPBluetoothDataType"))
