"""Section `devices_pci`: what sits on the PCI bus, with names where a list of them is installed."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.hardware_ids import HardwareIds
from farhand_agent.inventory.registry import section

__all__ = ["collect", "pci_devices"]

_DEVICES: Final = "/sys/bus/pci/devices"


def pci_devices(context: Context) -> list[dict[str, Any]]:
    """Return one item per device; also used by the sections that look at some of them."""
    context.need("/sys/bus")
    files = context.files
    ids = HardwareIds(files, "pci.ids")
    items = []
    for address in files.names(_DEVICES):
        folder = f"{_DEVICES}/{address}"
        vendor, device = _hex(context, f"{folder}/vendor"), _hex(context, f"{folder}/device")
        class_id = _hex(context, f"{folder}/class")
        driver = files.path(f"{folder}/driver")
        items.append(
            {
                "address": address,
                "class_id": class_id,
                "class": ids.class_name(class_id) if class_id else None,
                "vendor_id": vendor,
                "vendor": ids.vendor(vendor) if vendor else None,
                "device_id": device,
                "device": ids.device(vendor, device) if vendor and device else None,
                "subsystem_vendor_id": _hex(context, f"{folder}/subsystem_vendor"),
                "subsystem_device_id": _hex(context, f"{folder}/subsystem_device"),
                "revision": _hex(context, f"{folder}/revision"),
                "driver": driver.resolve().name if driver.exists() else None,
            }
        )
    return items


@section("devices_pci", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per device.  A machine whose kernel has no such bus has none on it."""
    return pci_devices(context)


def _hex(context: Context, name: str) -> str | None:
    text = context.files.line(name)
    return text.removeprefix("0x").lower()[:8] if text else None
