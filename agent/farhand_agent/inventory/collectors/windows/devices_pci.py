"""Section `devices_pci`: cards and the chips of the board."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.pnp import pci_numbers, present
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said

__all__ = ["parse"]


@windows_section("devices_pci", parts=("pnp",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per device; Windows names the place on the bus only in its own language."""
    items = []
    for one in present(told):
        numbers = pci_numbers(one)
        if numbers:
            items.append(
                {
                    "address": None,
                    "class": said(one.get("PNPClass")),
                    "vendor": said(one.get("Manufacturer")),
                    "device": said(one.get("Name")),
                    "driver": said(one.get("Service")),
                }
                | numbers
            )
    return items
