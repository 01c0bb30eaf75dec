"""Section `power_supplies`: the charger, while it is plugged in."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import text, whole

__all__ = ["collect"]


@macos_section("power_supplies", types=("SPPowerDataType",), personal=("serial",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per charger."""
    return [
        {
            "name": text(one.get("sppower_ac_charger_name")),
            "kind": "mains",
            "manufacturer": real_value(text(one.get("sppower_ac_charger_manufacturer"))),
            "model": text(one.get("sppower_ac_charger_name")),
            "serial": real_value(text(one.get("sppower_ac_charger_serial_number"))),
            "max_power_w": whole(one.get("sppower_ac_charger_watts")),
            "hot_swap": None,
        }
        for one in profile(context, "SPPowerDataType")
        if one.get("sppower_battery_charger_connected") == "TRUE"
    ]
