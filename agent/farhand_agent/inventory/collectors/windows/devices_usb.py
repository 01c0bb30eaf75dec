"""Section `devices_usb`: what is plugged in, without the parts that one device falls into."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.pnp import present, usb_numbers
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.fillers import real_value

__all__ = ["parse"]


@windows_section("devices_usb", parts=("pnp",), personal=("serial",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per device; its interfaces (MI_00) only lend it their drivers."""
    whole_devices: list[dict[str, Any]] = []
    drivers: dict[tuple[str | None, str | None], set[str]] = {}
    for one in present(told):
        identity = said(one.get("DeviceID")) or ""
        numbers = usb_numbers(one) if identity.upper().startswith("USB\\") else None
        if not numbers:
            continue
        key = numbers["vendor_id"], numbers["product_id"]
        if driver := said(one.get("Service")):
            drivers.setdefault(key, set()).add(driver)
        if numbers["interface"] and numbers["interface"].startswith("&mi_"):
            continue
        whole_devices.append(
            {
                "address": identity.rpartition("\\")[2] if not numbers["serial"] else None,
                "vendor_id": numbers["vendor_id"],
                "product_id": numbers["product_id"],
                "vendor": said(one.get("Manufacturer")),
                "product": said(one.get("Name")),
                "serial": real_value(numbers["serial"]),
                "class_id": numbers["class_id"],
                "speed_mbit_s": None,
            }
        )
    for item in whole_devices:
        item["drivers"] = sorted(drivers.get((item["vendor_id"], item["product_id"]), ()))
    return whole_devices
