"""Section `gpus`."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, profile, size_bytes
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect", "gpu_items"]

_HEX: Final = re.compile(r"0x([0-9a-fA-F]{4})")


def gpu_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per graphics processor in SPDisplaysDataType."""
    items = []
    for one in entries:
        vendor = text(one.get("spdisplays_vendor")) or ""
        vendor_id, device_id = _HEX.search(vendor), _HEX.search(
            text(one.get("spdisplays_device-id")) or ""
        )  # fmt: skip
        memory = one.get("spdisplays_vram") or one.get("_spdisplays_vram")
        items.append(
            {
                "name": text(one.get("sppci_model")) or text(one.get("_name")),
                "vendor": vendor.partition(" (")[0].removeprefix("sppci_vendor_") or None,
                "vendor_id": vendor_id[1].lower() if vendor_id else None,
                "device_id": device_id[1].lower() if device_id else None,
                "address": None,
                "driver": None,
                "driver_version": None,
                # What is shared with the processor stands under another name.
                "memory_bytes": size_bytes(memory),
                "vbios": text(one.get("spdisplays_rom-revision"))
                or text(one.get("spdisplays_efi-version")),
                "uuid": None,
            }
        )
    return items


@macos_section("gpus", types=("SPDisplaysDataType",), personal=("uuid",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per graphics processor."""
    return gpu_items(profile(context, "SPDisplaysDataType"))
