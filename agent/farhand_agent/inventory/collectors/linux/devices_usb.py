"""Section `devices_usb`: what is plugged in, without the hubs that the controllers are."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.hardware_ids import HardwareIds
from farhand_agent.inventory.registry import section

__all__ = ["collect", "usb_devices"]

_DEVICES: Final = "/sys/bus/usb/devices"
_DEVICE: Final = re.compile(r"[0-9]{1,3}-[0-9.]{1,20}")
_SPEED: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9])?")


def usb_devices(context: Context) -> list[dict[str, Any]]:
    """Return one item per device; also used by the sections that look at some of them."""
    context.need("/sys/bus")
    files = context.files
    ids = HardwareIds(files, "usb.ids")
    names = files.names(_DEVICES)
    items = []
    for address in names:
        if not _DEVICE.fullmatch(address):
            continue
        folder = f"{_DEVICES}/{address}"
        vendor, product = files.line(f"{folder}/idVendor"), files.line(f"{folder}/idProduct")
        if not vendor or not product:
            continue
        interfaces = [name for name in names if name.startswith(f"{address}:")]
        drivers, classes = set(), []
        for name in interfaces:
            driver = files.path(f"{_DEVICES}/{name}/driver")
            if driver.exists():
                drivers.add(driver.resolve().name)
            classes.append(files.line(f"{_DEVICES}/{name}/bInterfaceClass"))
        class_id = files.line(f"{folder}/bDeviceClass")
        speed = files.line(f"{folder}/speed") or ""
        items.append(
            {
                "address": address,
                "vendor_id": vendor.lower(),
                "product_id": product.lower(),
                "vendor": real_value(files.line(f"{folder}/manufacturer")) or ids.vendor(vendor),
                "product": real_value(files.line(f"{folder}/product"))
                or ids.device(vendor, product),
                "serial": real_value(files.line(f"{folder}/serial")),
                # 00 means that each interface says for itself (USB 2.0, table 9-8).
                "class_id": classes[0] if class_id == "00" and classes else class_id,
                "speed_mbit_s": float(speed) if _SPEED.fullmatch(speed) else None,
                "drivers": sorted(drivers),
            }
        )
    return items


@section("devices_usb", platform="linux", personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per device.  A machine whose kernel has no such bus has none on it."""
    return usb_devices(context)
