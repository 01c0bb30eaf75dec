"""Section `batteries`: what they could hold when new and what they hold today."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, word
from farhand_agent.inventory.fillers import real_value

__all__ = ["chemistry", "parse"]

# Source: Win32_Battery.Chemistry.
_CHEMISTRY: Final = {
    3: "lead acid", 4: "NiCd", 5: "NiMH", 6: "Li-ion", 7: "zinc air", 8: "LiP",
}  # fmt: skip


def chemistry(value: object) -> str | None:
    """Return the four letters that BatteryStaticData packs into a number: LION, LiP."""
    number = unsigned(value)
    if not number:
        return None
    letters = number.to_bytes(4, "little").rstrip(b"\0 ")
    return letters.decode("ascii") if letters.isalnum() else None


@windows_section(
    "batteries",
    parts=("batteries", "battery_static", "battery_full", "battery_cycles"),
    personal=("serial",),
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per battery; root\\wmi counts what Win32_Battery only estimates."""
    plain = told.rows("batteries")
    if not plain:
        return []
    full = {one.get("InstanceName"): one for one in told.also("battery_full")}
    cycles = {one.get("InstanceName"): one for one in told.also("battery_cycles")}
    static = told.also("battery_static")
    items = []
    for number, one in enumerate(plain):
        more = static[number] if number < len(static) else {}
        instance = more.get("InstanceName")
        design = unsigned(more.get("DesignedCapacity"))
        today = unsigned(full.get(instance, {}).get("FullChargedCapacity"))
        count = unsigned(cycles.get(instance, {}).get("CycleCount"))
        items.append(
            {
                "name": said(one.get("DeviceID")) or said(one.get("Name")),
                "manufacturer": real_value(said(more.get("ManufactureName"))),
                "model": real_value(said(more.get("DeviceName")) or said(one.get("Name"))),
                "serial": real_value(said(more.get("SerialNumber"))),
                "chemistry": chemistry(more.get("Chemistry"))
                or word(one.get("Chemistry"), _CHEMISTRY),
                "design_capacity_mwh": design or None,
                "full_capacity_mwh": today or None,
                "health_percent": round(100 * today / design, 1) if today and design else None,
                # Firmware that does not count says 0.
                "cycles": count or None,
                "voltage_design_mv": unsigned(one.get("DesignVoltage")) or None,
            }
        )
    return items
