"""Section `batteries`: what they hold today; system_profiler tells the health as a share."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import number, text, whole

__all__ = ["battery_items", "collect"]


def battery_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per battery in SPPowerDataType."""
    items: list[dict[str, Any]] = []
    for one in entries:
        model = one.get("sppower_battery_model_info")
        health = one.get("sppower_battery_health_info")
        if not isinstance(model, dict) or not isinstance(health, dict):
            continue
        share = (text(health.get("sppower_battery_health_maximum_capacity")) or "").rstrip("%")
        items.append(
            {
                "name": text(one.get("_name")),
                "manufacturer": real_value(text(model.get("sppower_battery_manufacturer"))),
                "model": real_value(text(model.get("sppower_battery_device_name"))),
                "serial": real_value(text(model.get("sppower_battery_serial_number"))),
                "chemistry": None,
                "design_capacity_mwh": None,
                "full_capacity_mwh": None,
                "health_percent": number(share) if share else None,
                "cycles": whole(health.get("sppower_battery_cycle_count")),
                "voltage_design_mv": None,
            }
        )
    return items


@macos_section("batteries", types=("SPPowerDataType",), personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per battery."""
    return battery_items(profile(context, "SPPowerDataType"))
