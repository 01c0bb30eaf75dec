"""Section `sensors`: how full batteries are; temperatures need Apple's own keys."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text, whole

__all__ = ["collect"]


@macos_section("sensors", types=("SPPowerDataType",), volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per battery."""
    items = []
    for one in profile(context, "SPPowerDataType"):
        charge = one.get("sppower_battery_charge_info")
        if not isinstance(charge, dict):
            continue
        full = charge.get("sppower_battery_fully_charged") == "TRUE"
        charging = charge.get("sppower_battery_is_charging") == "TRUE"
        items.append(
            {
                "device": text(one.get("_name")), "name": None, "kind": "battery",
                "temperature_celsius": None, "critical_celsius": None, "fan_rpm": None,
                "voltage_mv": None, "power_mw": None,
                "charge_percent": whole(charge.get("sppower_battery_state_of_charge")),
                "state": "full" if full else "charging" if charging else "discharging",
            }
        )  # fmt: skip
    return items
