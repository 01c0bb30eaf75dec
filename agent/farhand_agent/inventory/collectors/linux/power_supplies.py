"""Section `power_supplies`: what feeds the machine; batteries have a section of their own.

Source: SMBIOS 3.7, 7.40 (system power supply); Documentation/ABI/testing/sysfs-class-power.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.linux.batteries import POWER
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.smbios import Structure, name_of, read_structures

__all__ = ["collect", "supply_item"]

_SUPPLY: Final = 39
_KINDS: Final = {
    3: "linear",
    4: "switching",
    5: "battery",
    6: "UPS",
    7: "converter",
    8: "regulator",
}
_UNKNOWN_W: Final = 0x8000
_PRESENT: Final = 1 << 1


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
