"""Section `drivers`: devices that nothing drives, and modules that do not belong to the kernel."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.linux.devices_pci import pci_devices
from farhand_agent.inventory.collectors.linux.devices_usb import usb_devices
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect", "taint_words"]

# Bridges, memory controllers and system peripherals work without a driver (PCI code and ID
# assignment 1.15: base classes 05, 06, 08); 00 are devices older than the classes.
_DRIVERLESS: Final = ("00", "05", "06", "08")
# Source: Documentation/admin-guide/tainted-kernels.rst, letters of /sys/module/*/taint.
_TAINTS: Final = {
    "P": "proprietary", "F": "loaded by force", "C": "staging", "O": "built outside the kernel",
    "E": "not signed", "K": "live patch", "X": "distribution's own", "N": "test",
}  # fmt: skip


def taint_words(letters: str) -> str:
    """Return what the letters of a module's taint mean, unknown ones as they are."""
    return ", ".join(_TAINTS.get(letter, letter) for letter in letters[:20])


@section("drivers", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per device without a driver and per module with a taint."""
    items = []
    for one in pci_devices(context):
        if one["driver"] is None and (one["class_id"] or "00")[:2] not in _DRIVERLESS:
            name = one["device"] or one["class"]
            items.append(
                _item("pci", one["address"], name, f"{one['vendor_id']}:{one['device_id']}")
            )
    for one in usb_devices(context):
        if not one["drivers"] and one["class_id"] != "09":
            identity = f"{one['vendor_id']}:{one['product_id']}"
            items.append(_item("usb", one["address"], one["product"], identity))
    for name in context.files.names("/sys/module"):
        if letters := context.files.line(f"/sys/module/{name}/taint"):
            item = _item("module", None, name, None)
            items.append(item | {"driver": name, "problem": taint_words(letters)})
    return items


def _item(bus: str, address: str | None, name: str | None, identity: str | None) -> dict[str, Any]:
    return {
        "bus": bus,
        "address": address,
        "name": name,
        "id": identity,
        "driver": None,
        "problem": "no driver",
        "problem_code": None,
    }
