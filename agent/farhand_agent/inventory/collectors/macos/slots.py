"""Section `slots`: those that hold a card."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("slots", types=("SPPCIDataType",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per slot with a card; macOS does not list empty ones."""
    return [
        {"name": name, "kind": "PCI Express", "in_use": True, "address": None}
        for one in profile(context, "SPPCIDataType")
        if (name := text(one.get("sppci_slot_name")))
    ]
