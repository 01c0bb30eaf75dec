"""Section `batteries`: what they could hold when new and what they hold today.

How full they are right now is section `sensors`.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.registry import section

__all__ = ["POWER", "capacity_mwh", "collect"]

POWER: Final = "/sys/class/power_supply"


def capacity_mwh(context: Context, folder: str, what: str) -> int | None:
    """Return `energy_WHAT` of a battery in mWh; drivers that count charge are multiplied out.

    Source: Documentation/ABI/testing/sysfs-class-power: µWh, µAh, µV.
    """
    energy = context.files.number(f"{folder}/energy_{what}")
    if energy is not None:
        return energy // 1000 if energy > 0 else None
    charge = context.files.number(f"{folder}/charge_{what}")
    volts = context.files.number(f"{folder}/voltage_min_design")
    if not charge or not volts or charge < 0 or volts < 0:
        return None
    return charge * volts // 10**9


@section("batteries", platform="linux", personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per battery of the machine, none for those of mice and keyboards.

    Raises:
        Unsupported: the kernel has no power supply class.
    """
    files = context.files
    if not files.path(POWER).is_dir():
        raise Unsupported("the kernel has no power supply class")
    items = []
    for name in files.names(POWER):
        folder = f"{POWER}/{name}"
        if files.line(f"{folder}/type") != "Battery" or files.line(f"{folder}/scope") == "Device":
            continue
        if files.line(f"{folder}/present") == "0":
            continue
        design = capacity_mwh(context, folder, "full_design")
        full = capacity_mwh(context, folder, "full")
        volts = files.number(f"{folder}/voltage_min_design")
        cycles = files.number(f"{folder}/cycle_count")
        items.append(
            {
                "name": name,
                "manufacturer": real_value(files.line(f"{folder}/manufacturer")),
                "model": real_value(files.line(f"{folder}/model_name")),
                "serial": real_value(files.line(f"{folder}/serial_number")),
                "chemistry": real_value(files.line(f"{folder}/technology")),
                "design_capacity_mwh": design,
                "full_capacity_mwh": full,
                "health_percent": round(100 * full / design, 1) if full and design else None,
                # Firmware that does not count says 0 or -1.
                "cycles": cycles if cycles and cycles > 0 else None,
                "voltage_design_mv": volts // 1000 if volts and volts > 0 else None,
            }
        )
    return items
