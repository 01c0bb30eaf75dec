"""Supplies in the firmware's table as items of section `power_supplies`.

Source: SMBIOS 3.7, 7.40 (system power supply).
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.smbios import Structure, name_of

__all__ = ["supply_item"]

_KINDS: Final = {
    3: "linear",
    4: "switching",
    5: "battery",
    6: "UPS",
    7: "converter",
    8: "regulator",
}
_UNKNOWN_W: Final = 0x8000


def supply_item(one: Structure) -> dict[str, Any]:
    """Return the item of one supply of the firmware's table."""
    traits = one.number(0x0E, 2) or 0
    power = one.number(0x0C, 2)
    return {
        "name": one.text(0x06) or one.text(0x05),
        "kind": name_of(traits >> 10 & 0xF, _KINDS),
        "manufacturer": one.text(0x07),
        "model": one.text(0x0A),
        "serial": one.text(0x08),
        "max_power_w": power if power not in (None, 0, _UNKNOWN_W) else None,
        "hot_swap": bool(traits & 1),
    }
