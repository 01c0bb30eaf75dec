"""Section `drivers`: devices that the device manager would mark."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.pnp import (
    PROBLEMS,
    pci_numbers,
    present,
    usb_numbers,
)
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]


@windows_section("drivers", parts=("pnp",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per device whose ConfigManagerErrorCode is not 0."""
    items = []
    for one in present(told):
        code = whole(one.get("ConfigManagerErrorCode"))
        if not code:
            continue
        identity = said(one.get("DeviceID")) or ""
        numbers = pci_numbers(one) or usb_numbers(one) or {}
        device = numbers.get("device_id") or numbers.get("product_id")
        items.append(
            {
                "bus": identity.partition("\\")[0].lower() or None,
                "address": identity or None,
                "name": said(one.get("Name")),
                "id": f"{numbers['vendor_id']}:{device}" if device else None,
                "driver": said(one.get("Service")),
                "problem": PROBLEMS.get(code, f"problem {code}"),
                "problem_code": code,
            }
        )
    return items
