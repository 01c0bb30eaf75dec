"""Section `sensors`: temperatures, fans, voltages, power, and how full batteries are, right now."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.linux.batteries import POWER
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_HWMON: Final = "/sys/class/hwmon"
_THERMAL: Final = "/sys/class/thermal"
_INPUT: Final = re.compile(r"(temp|fan|in|power)([0-9]{1,3})_(input|average)")
_KINDS: Final = {"temp": "temperature", "fan": "fan", "in": "voltage", "power": "power"}
# Some chips answer this where nothing is connected: -128, 0 K, 255 and the like.
_COLDEST, _HOTTEST = -60, 250


@section("sensors", platform="linux", volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per sensor.  A machine without any, as most virtual ones, has none."""
    context.need("/sys/class")
    return _chips(context) + _zones(context) + _power(context)


def _item(device: str, name: str | None, kind: str) -> dict[str, Any]:
    return {
        "device": device, "name": name, "kind": kind, "temperature_celsius": None,
        "critical_celsius": None, "fan_rpm": None, "voltage_mv": None, "power_mw": None,
        "charge_percent": None, "state": None,
    }  # fmt: skip


def _chips(context: Context) -> list[dict[str, Any]]:
    # Documentation/hwmon/sysfs-interface.rst: millidegrees, rpm, millivolts, microwatts.
    files = context.files
    items = []
    for chip in files.names(_HWMON):
        folder = f"{_HWMON}/{chip}"
        device = files.line(f"{folder}/name") or chip
        for name in files.names(folder):
            found = _INPUT.fullmatch(name)
            value = files.number(f"{folder}/{name}") if found else None
            if not found or value is None:
                continue
            kind, number = found[1], found[2]
            label = files.line(f"{folder}/{kind}{number}_label") or f"{kind}{number}"
            item = _item(device, label, _KINDS[kind])
            if kind == "temp":
                item["temperature_celsius"] = _celsius(value)
                item["critical_celsius"] = _celsius(files.number(f"{folder}/temp{number}_crit"))
            elif kind == "fan":
                item["fan_rpm"] = value
            elif kind == "in":
                item["voltage_mv"] = value
            else:
                item["power_mw"] = value // 1000
            items.append(item)
    return items


def _zones(context: Context) -> list[dict[str, Any]]:
    files = context.files
    items = []
    for zone in files.names(_THERMAL):
        kind = files.line(f"{_THERMAL}/{zone}/type")
        degrees = _celsius(files.number(f"{_THERMAL}/{zone}/temp"))
        if zone.startswith("thermal_zone") and degrees is not None:
            items.append(_item(zone, kind, "temperature") | {"temperature_celsius": degrees})
    return items


def _power(context: Context) -> list[dict[str, Any]]:
    files = context.files
    items = []
    for name in files.names(POWER):
        folder = f"{POWER}/{name}"
        if files.line(f"{folder}/type") == "Battery":
            item = _item(name, files.line(f"{folder}/model_name"), "battery")
            item["charge_percent"] = files.number(f"{folder}/capacity")
            item["state"] = (files.line(f"{folder}/status") or "").lower() or None
            items.append(item)
        elif (online := files.number(f"{folder}/online")) is not None:
            item = _item(name, None, "mains")
            items.append(item | {"state": "online" if online else "offline"})
    return items


def _celsius(millidegrees: int | None) -> float | None:
    if millidegrees is None or not _COLDEST < millidegrees / 1000 < _HOTTEST:
        return None
    return round(millidegrees / 1000, 1)
