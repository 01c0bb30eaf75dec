"""Devices of the Plug and Play manager, which several sections read; no section of its own.

A device is named by its bus and numbers: PCI\\VEN_8086&DEV_A0A3&SUBSYS_22D417AA&REV_20\\3&11583659,
USB\\VID_046D&PID_C31C\\5&2A7D1E2&0&2.  Behind the last backslash stands a serial number only where
the device has one; Windows makes up the others, and those hold an ampersand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told
from farhand_agent.inventory.collectors.windows.values import many, said
from farhand_agent.inventory.json_values import whole

__all__ = ["PRESENT", "PROBLEMS", "of_class", "pci_numbers", "present", "usb_numbers"]

_PCI: Final = re.compile(
    r"PCI\\VEN_([0-9A-F]{4})&DEV_([0-9A-F]{4})"
    r"(?:&SUBSYS_([0-9A-F]{4})([0-9A-F]{4}))?(?:&REV_([0-9A-F]{2}))?",
    re.IGNORECASE,
)
_PCI_CLASS: Final = re.compile(r"PCI\\.*?&?CC_([0-9A-F]{4,6})$", re.IGNORECASE)
_USB: Final = re.compile(
    r"(?:USB|HID)\\VID_([0-9A-F]{4})&PID_([0-9A-F]{4})([^\\]*)\\(.+)", re.IGNORECASE
)
_USB_CLASS: Final = re.compile(r"USB\\Class_([0-9A-F]{2})", re.IGNORECASE)

# Devices that are only remembered, from the last time they were plugged in.
PRESENT: Final = 45
# Source: cfg.h, CM_PROB_*; in our own words.
PROBLEMS: Final = {
    1: "not configured", 3: "driver damaged, or too little memory",
    9: "the hardware's own numbers are wrong",
    10: "cannot start", 12: "not enough resources", 14: "needs a restart", 16: "resources unknown",
    18: "driver must be installed again", 19: "registry entry damaged", 21: "being removed",
    22: "switched off", 24: "not present, or without all its drivers", 28: "no driver",
    29: "switched off by the firmware", 31: "driver does not load",
    32: "driver's service switched off",
    33: "resources cannot be told", 34: "wants settings by hand",
    35: "firmware has no resources for it",
    36: "interrupt conflict", 37: "driver refused", 38: "an old driver is still loaded",
    39: "driver missing or damaged", 40: "driver's registry entry wrong", 41: "hardware not found",
    42: "there twice", 43: "reported a fault", 44: "stopped by a program", 45: "not connected",
    46: "system shuts down", 47: "ready to be removed", 48: "driver blocked",
    49: "registry too large", 50: "properties pending", 51: "waits for another device",
    52: "driver not signed", 53: "reserved for the debugger", 54: "being reset",
}  # fmt: skip


def present(told: Told) -> list[dict[str, Any]]:
    """Return the devices that are plugged in.

    Raises:
        FarhandError: as `Told.rows`.
    """
    return [
        one
        for one in told.rows("pnp")
        if one.get("Present") is not False and whole(one.get("ConfigManagerErrorCode")) != PRESENT
    ]


def of_class(told: Told, *names: str) -> Iterator[dict[str, Any]]:
    """Yield the present devices of these set-up classes (their names are not translated)."""
    for one in present(told):
        if (said(one.get("PNPClass")) or "").lower() in names:
            yield one


def pci_numbers(one: dict[str, Any]) -> dict[str, str | None] | None:
    """Return vendor, device, subsystem, revision and class of a PCI device in lower-case hex."""
    found = _PCI.match(said(one.get("DeviceID")) or "")
    if not found:
        return None
    told = [*many(one.get("HardwareID")), *many(one.get("CompatibleID"))]
    classes = [kind[1].lower() for name in told if (kind := _PCI_CLASS.match(name))]
    vendor, device, card, maker, revision = (part and part.lower() for part in found.groups())
    return {
        "vendor_id": vendor, "device_id": device, "subsystem_device_id": card,
        "subsystem_vendor_id": maker, "revision": revision,
        "class_id": max(classes, key=len, default=None),
    }  # fmt: skip


def usb_numbers(one: dict[str, Any]) -> dict[str, str | None] | None:
    """Return vendor, product, interface, serial number and class of a USB device."""
    found = _USB.match(said(one.get("DeviceID")) or "")
    if not found:
        return None
    told = [*many(one.get("HardwareID")), *many(one.get("CompatibleID"))]
    classes = [kind[1].lower() for name in told if (kind := _USB_CLASS.match(name))]
    interface = found[3].lower() or None
    return {
        "vendor_id": found[1].lower(), "product_id": found[2].lower(), "interface": interface,
        "serial": None if "&" in found[4] else found[4],
        "class_id": classes[0] if classes else None,
    }  # fmt: skip
