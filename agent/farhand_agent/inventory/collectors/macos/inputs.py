"""Section `inputs`: keyboards and pointing devices on USB and Bluetooth."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.devices_usb import usb_items
from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text

__all__ = ["collect", "kind_of"]

_KINDS: Final = ("keyboard", "trackpad", "mouse", "tablet", "joystick")


def kind_of(words: str | None) -> str | None:
    """Return the kind that a device's name tells."""
    lowered = (words or "").lower()
    found = next((kind for kind in _KINDS if kind in lowered), None)
    return "touchpad" if found == "trackpad" else found


@macos_section("inputs", types=("SPUSBDataType", "SPBluetoothDataType"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per device whose name or kind tells what it is."""
    items = []
    for one in usb_items(profile(context, "SPUSBDataType")):
        if kind := kind_of(one["product"]):
            items.append(
                {
                    "name": one["product"], "kind": kind, "bus": "usb",
                    "vendor_id": one["vendor_id"], "product_id": one["product_id"],
                }
            )  # fmt: skip
    for controller in profile(context, "SPBluetoothDataType"):
        for entry in rows(controller.get("device_connected")):
            for name, device in entry.items():
                told = device.get("device_minorType") if isinstance(device, dict) else None
                if kind := kind_of(text(told) or name):
                    items.append(
                        {
                            "name": name, "kind": kind, "bus": "bluetooth", "vendor_id": None,
                            "product_id": None,
                        }
                    )  # fmt: skip
    return items
