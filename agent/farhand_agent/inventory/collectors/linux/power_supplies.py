"""Section `power_supplies`: what feeds the machine; batteries have a section of their own.

Source: SMBIOS 3.7, 7.40 (system power supply); Documentation/ABI/testing/sysfs-class-power.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.linux.batteries import POWER
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.power_supply_items import supply_item
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.smbios import read_structures

__all__ = ["collect"]

_SUPPLY: Final = 39
_PRESENT: Final = 1 << 1


@section("power_supplies", platform="linux", personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per supply of the firmware's table and per mains or USB input.

    Raises:
        Unsupported: neither firmware nor kernel knows of power supplies.
    """
    files = context.files
    known = files.path(POWER).is_dir()
    items = []
    try:
        for one in read_structures(context, _SUPPLY):
            if (one.number(0x0E, 2) or 0) & _PRESENT:
                items.append(supply_item(one))
    except (Unsupported, PermissionError) as error:
        if not known:
            raise
        words = error.message if isinstance(error, Unsupported) else "the firmware's need root"
        context.note(f"from the kernel alone: {words}")
    for name in files.names(POWER):
        folder = f"{POWER}/{name}"
        kind = files.line(f"{folder}/type")
        if kind in (None, "Battery"):
            continue
        items.append(
            {
                "name": name,
                "kind": kind.lower(),
                "manufacturer": real_value(files.line(f"{folder}/manufacturer")),
                "model": real_value(files.line(f"{folder}/model_name")),
                "serial": real_value(files.line(f"{folder}/serial_number")),
                "max_power_w": None,
                "hot_swap": None,
            }
        )
    return items
