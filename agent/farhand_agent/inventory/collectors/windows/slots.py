"""Section `slots`: where cards can be plugged in, by the firmware's tables."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_USE: Final = {3: False, 4: True}
_NOWHERE: Final = 0xFF


@windows_section("slots", parts=("slots",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per slot; the kind of a slot is a list of numbers of Windows' own."""
    items = []
    for one in told.rows("slots"):
        place = [
            unsigned(one.get(name))
            for name in ("SegmentGroupNumber", "BusNumber", "DeviceNumber", "FunctionNumber")
        ]
        segment, bus, device, function = place
        known = None not in place and bus != _NOWHERE
        address = f"{segment:04x}:{bus:02x}:{device:02x}.{function}" if known else None
        use = whole(one.get("CurrentUsage"))
        items.append(
            {
                "name": said(one.get("SlotDesignation")),
                "kind": None,
                "in_use": _USE.get(use) if use is not None else None,
                "address": address,
            }
        )
    return items
