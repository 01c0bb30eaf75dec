"""Section `devices_usb`: what hangs on the buses, hubs included."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, profile, tree
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import text

__all__ = ["collect", "usb_items"]

_HEX: Final = re.compile(r"0x([0-9a-fA-F]{4})")
_SPEEDS: Final = {
    "low_speed": 1.5, "full_speed": 12, "high_speed": 480, "super_speed": 5_000,
    "super_speed_plus": 10_000,
}  # fmt: skip


def usb_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per device in SPUSBDataType; the buses themselves have no number."""
    items: list[dict[str, Any]] = []
    for one in tree(entries):
        product = _HEX.search(text(one.get("product_id")) or "")
        told = text(one.get("vendor_id")) or ""
        vendor = _HEX.search(told)
        if not product:
            continue
        # Apple's own are written "apple_vendor_id".
        apple = told.startswith("apple")
        items.append(
            {
                "address": (text(one.get("location_id")) or "").partition(" ")[0] or None,
                "vendor_id": "05ac" if apple else vendor[1].lower() if vendor else None,
                "product_id": product[1].lower(),
                "vendor": text(one.get("manufacturer")),
                "product": text(one.get("_name")),
                "serial": real_value(text(one.get("serial_num"))),
                "class_id": None,
                "speed_mbit_s": _SPEEDS.get(text(one.get("device_speed")) or ""),
                "drivers": [],
            }
        )
    return items


@macos_section("devices_usb", types=("SPUSBDataType",), personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per device."""
    return usb_items(profile(context, "SPUSBDataType"))
