"""Section `devices_pci`: cards, which few Macs have."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("devices_pci", types=("SPPCIDataType",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per card."""
    return [
        {
            "address": None,
            "class_id": None,
            "class": text(one.get("sppci_device_type")),
            "vendor_id": _hex(one.get("sppci_vendor-id")),
            "vendor": None,
            "device_id": _hex(one.get("sppci_device-id")),
            "device": text(one.get("sppci_name")) or text(one.get("_name")),
            "subsystem_vendor_id": _hex(one.get("sppci_subsystem-vendor-id")),
            "subsystem_device_id": _hex(one.get("sppci_subsystem-id")),
            "revision": (text(one.get("sppci_revision-id")) or "").removeprefix("0x")[-2:] or None,
            "driver": None,
        }
        for one in profile(context, "SPPCIDataType")
    ]


def _hex(value: object) -> str | None:
    return (text(value) or "").removeprefix("0x").lower() or None
