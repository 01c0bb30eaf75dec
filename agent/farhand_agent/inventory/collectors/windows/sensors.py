"""Section `sensors`: thermal zones of the firmware, and how full batteries are."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, word
from farhand_agent.inventory.json_values import whole

__all__ = ["celsius", "parse"]

# Source: Win32_Battery.BatteryStatus.
_STATES: Final = {
    1: "discharging", 2: "online", 3: "full", 4: "discharging", 5: "discharging", 6: "charging",
    7: "charging", 8: "charging", 9: "charging", 11: "charging",
}  # fmt: skip
_FREEZING: Final = 2731.5


def celsius(value: object) -> float | None:
    """Return degrees of a number of tenths of kelvins; None for what no device survives."""
    tenths = unsigned(value)
    degrees = (tenths - _FREEZING) / 10 if tenths else None
    return round(degrees, 1) if degrees is not None and -60 < degrees < 200 else None


@windows_section("sensors", parts=("thermal", "batteries"), volatile=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per thermal zone, which few machines have, and per battery."""
    items = []
    for one in told.also("thermal"):
        name = (said(one.get("InstanceName")) or "").rpartition("\\")[2]
        items.append(
            _item("ACPI", name or None, "temperature")
            | {
                "temperature_celsius": celsius(one.get("CurrentTemperature")),
                "critical_celsius": celsius(one.get("CriticalTripPoint")),
            }
        )
    for one in told.rows("batteries"):
        items.append(
            _item(said(one.get("DeviceID")) or "battery", said(one.get("Name")), "battery")
            | {
                "charge_percent": whole(one.get("EstimatedChargeRemaining")),
                "state": word(one.get("BatteryStatus"), _STATES),
            }
        )
    return items


def _item(device: str, name: str | None, kind: str) -> dict[str, Any]:
    return {
        "device": device, "name": name, "kind": kind, "temperature_celsius": None,
        "critical_celsius": None, "fan_rpm": None, "voltage_mv": None, "power_mw": None,
        "charge_percent": None, "state": None,
    }  # fmt: skip
