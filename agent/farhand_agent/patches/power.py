"""Whether a device runs on battery, and how full that is.

Linux tells by /sys/class/power_supply, macOS by `pmset`, Windows by Win32_Battery.  A device
without a battery, and one that does not tell, is None: nothing is known that speaks against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.patches.powershell import command_line, values
from farhand_agent.platforms.commands import Runner, run
from farhand_agent.platforms.current import platform_name
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError

__all__ = ["Power", "linux_power", "parse_pmset", "parse_win32_battery", "power_state"]

_SUPPLIES: Final = "/sys/class/power_supply"
_CHARGE: Final = re.compile(r"\s([0-9]{1,3})%;")
_WINDOWS: Final = (
    "Get-CimInstance Win32_Battery | ForEach-Object { '{0} {1}' -f $_.BatteryStatus, "
    "$_.EstimatedChargeRemaining }"
)
# Win32_Battery.BatteryStatus: discharging, low, critical.
_DISCHARGING: Final = (1, 4, 5)


@dataclass(frozen=True, slots=True)
class Power:
    """How a device with a battery is powered; `percent` is None where it does not tell."""

    plugged_in: bool
    percent: int | None


def power_state(
    *, files: SystemFiles | None = None, runner: Runner = run, platform: str | None = None
) -> Power | None:
    """Return how this device is powered, None without a battery or where nobody tells.

    Args:
        files: where the system's files lie.
        runner: starts commands.
        platform: as `platform_name` says.
    """
    try:
        match platform or platform_name():
            case "linux":
                return linux_power(files or SystemFiles())
            case "macos":
                return parse_pmset(runner(["pmset", "-g", "batt"]).text)
            case "windows":
                # Starting PowerShell takes seconds on a slow device.
                outcome = runner(command_line(_WINDOWS), timeout_s=60.0, env=values({}))
                return parse_win32_battery(outcome.text)
    except (FarhandError, PermissionError):
        return None  # whoever cannot tell is treated as one without a battery
    return None


def linux_power(files: SystemFiles) -> Power | None:
    """Return what the kernel tells of the batteries that drive this device."""
    plugged_in, draining = False, False
    charges = []
    for name in files.names(_SUPPLIES):
        folder = f"{_SUPPLIES}/{name}"
        if files.line(f"{folder}/scope") == "Device":
            continue  # a mouse's or a headset's
        kind = files.line(f"{folder}/type")
        if kind == "Battery" and files.line(f"{folder}/present") != "0":
            draining = draining or files.line(f"{folder}/status") == "Discharging"
            charges.append(files.number(f"{folder}/capacity"))
        elif kind is not None and kind != "Battery":
            plugged_in = plugged_in or files.line(f"{folder}/online") == "1"
    if not charges:
        return None
    known = [charge for charge in charges if charge is not None]
    # Where no charger is listed at all, only the battery's own word tells.
    return Power(plugged_in or not draining, max(known) if known else None)


def parse_pmset(text: str) -> Power | None:
    """Return what `pmset -g batt` tells: the source in its first line, then a battery a line."""
    charges = [min(100, int(number)) for number in _CHARGE.findall(text)]
    if "drawing from" not in text or not charges:
        return None
    return Power("'Battery Power'" not in text, max(charges))


def parse_win32_battery(text: str) -> Power | None:
    """Return what a line per battery tells: its status' number, and its charge in percent."""
    found = re.findall(r"^([0-9]{1,2}) ([0-9]{1,3})\s*$", text, re.MULTILINE)
    if not found:
        return None
    drained = any(int(status) in _DISCHARGING for status, _ in found)
    return Power(not drained, min(100, max(int(charge) for _, charge in found)))
