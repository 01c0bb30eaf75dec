"""Section `update_settings`: what policy says about Windows Update; without one, what it does."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["parse"]

# Source: "Configure Automatic Updates": 2 tells, 3 fetches, 4 installs, 5 leaves it to the admin.
_TELLS, _FETCHES, _INSTALLS = 2, 3, 4
_DAYS: Final = (
    "every day", "Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays",
    "Saturdays",
)  # fmt: skip


@windows_section("update_settings", parts=("update_policy",), personal=("server",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    policy = told.row("update_policy")
    off = truth(policy.get("NoAutoUpdate")) is True
    # Windows without a policy does everything by itself.
    option = whole(policy.get("AUOptions")) or _INSTALLS
    hour, day = whole(policy.get("ScheduledInstallTime")), whole(policy.get("ScheduledInstallDay"))
    time = None
    if hour is not None and 0 <= hour < 24:
        named = _DAYS[day] if day is not None and 0 <= day < len(_DAYS) else _DAYS[0]
        time = f"{named} {hour:02d}:00"
    server = said(policy.get("WUServer")) if truth(policy.get("UseWUServer")) else None
    stays = truth(policy.get("NoAutoRebootWithLoggedOnUsers"))
    return [
        {
            "manager": "windows",
            "checks": not off,
            "downloads": not off and option >= _FETCHES,
            "installs": not off and option == _INSTALLS,
            "security_only": None,
            "reboots": False if off else None if stays is None else not stays,
            "reboot_time": time,
            "held_back": [],
            "server": without_credentials(server) if server else None,
        }
    ]
