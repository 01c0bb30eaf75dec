"""Section `inputs`: keyboards and what points."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.pnp import usb_numbers
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_BUSES: Final = {
    "HID": "usb",
    "USB": "usb",
    "ACPI": "ps2",
    "ROOT": "virtual",
    "BTHENUM": "bluetooth",
}
# Source: Win32_PointingDevice.PointingType.
_POINTING: Final = {5: "mouse", 6: "mouse", 7: "touchpad", 8: "touchscreen", 9: "mouse"}
_BLUETOOTH_HID: Final = "{00001124"


@windows_section("inputs", parts=("keyboards", "pointing"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per device."""
    items = [_item(one, "keyboard") for one in told.rows("keyboards")]
    for one in told.rows("pointing"):
        items.append(_item(one, _POINTING.get(whole(one.get("PointingType")) or 0, "mouse")))
    return items


def _item(one: dict[str, Any], kind: str) -> dict[str, Any]:
    identity = said(one.get("PNPDeviceID")) or ""
    numbers = usb_numbers({"DeviceID": identity}) or {}
    bus = _BUSES.get(identity.partition("\\")[0].upper())
    return {
        "name": said(one.get("Name")) or said(one.get("Description")),
        "kind": kind,
        "bus": "bluetooth" if _BLUETOOTH_HID in identity else bus,
        "vendor_id": numbers.get("vendor_id"),
        "product_id": numbers.get("product_id"),
    }
