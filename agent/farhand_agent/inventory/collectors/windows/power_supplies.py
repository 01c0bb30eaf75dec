"""Section `power_supplies`: of the firmware's tables, which Windows hands out as they are."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary
from farhand_agent.inventory.context import Unsupported
from farhand_agent.inventory.power_supply_items import supply_item
from farhand_agent.inventory.smbios import parse_structures

__all__ = ["parse"]

_SUPPLY: Final = 39
_PRESENT: Final = 1 << 1


@windows_section("power_supplies", parts=("smbios",), personal=("serial",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per supply that is plugged in.

    Raises:
        Unsupported: the firmware publishes no SMBIOS.
    """
    data = binary(told.row("smbios").get("SMBiosData"))
    if not data:
        raise Unsupported("the firmware publishes no SMBIOS")
    return [
        supply_item(one)
        for one in parse_structures(data)
        if one.kind == _SUPPLY and (one.number(0x0E, 2) or 0) & _PRESENT
    ]
