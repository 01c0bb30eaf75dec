"""Section `update_settings`: what macOS does about updates by itself."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.json_values import truth
from farhand_agent.inventory.plists import plist_file

__all__ = ["collect"]

_PATH = "/Library/Preferences/com.apple.SoftwareUpdate.plist"


@macos_section("update_settings", personal=("server",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item; what nobody set is null.

    Raises:
        Unsupported: there are no such settings.
    """
    told = plist_file(context, _PATH)
    if told is None:
        raise Unsupported(f"{_PATH} is not here")
    installs = truth(told.get("AutomaticallyInstallMacOSUpdates"))
    critical = truth(told.get("CriticalUpdateInstall"))
    return [
        {
            "manager": "macos",
            "checks": truth(told.get("AutomaticCheckEnabled")),
            "downloads": truth(told.get("AutomaticDownload")),
            "installs": installs,
            "security_only": None if installs is None else bool(critical and not installs),
            "reboots": None,
            "reboot_time": None,
            "held_back": [],
            "server": None,
        }
    ]
