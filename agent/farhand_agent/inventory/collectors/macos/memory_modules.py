"""Section `memory_modules`: banks of Intel Macs; Apple's own have one soldered entry."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import (
    macos_section,
    profile,
    size_bytes,
    tree,
)
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import text, whole

__all__ = ["collect", "module_items"]


def module_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per module in SPMemoryDataType."""
    items = []
    for one in tree(entries):
        size = size_bytes(one.get("dimm_size") or one.get("SPMemoryDataType"))
        if "dimm_size" not in one and "dimm_type" not in one:
            continue  # the heading above the banks
        speed = whole((text(one.get("dimm_speed")) or "").partition(" ")[0])
        items.append(
            {
                "record": "module", "slot": text(one.get("_name")), "bank": None,
                "size_bytes": size, "kind": text(one.get("dimm_type")), "form": None,
                "speed_mhz": speed, "configured_mhz": speed, "voltage_mv": None,
                "manufacturer": real_value(text(one.get("dimm_manufacturer"))),
                "part": real_value(text(one.get("dimm_part_number"))),
                "serial": real_value(text(one.get("dimm_serial_number"))), "asset_tag": None,
            }
        )  # fmt: skip
    return items


@macos_section("memory_modules", types=("SPMemoryDataType",), personal=("serial", "asset_tag"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per module."""
    return module_items(profile(context, "SPMemoryDataType"))
