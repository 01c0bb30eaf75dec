"""Section `bios`: the firmware."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("bios", types=("SPHardwareDataType",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    return [
        {
            "vendor": "Apple Inc.", "version": text(one.get("boot_rom_version")),
            "released_on": None, "revision": text(one.get("os_loader_version")),
            "ec_revision": text(one.get("SMC_version_system")), "kind": "uefi",
        }
        for one in profile(context, "SPHardwareDataType")[:1]
    ]  # fmt: skip
