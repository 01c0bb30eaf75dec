"""Section `remote_tools`: other products by which somebody could reach this Mac from afar."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.services import listed_jobs
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context

__all__ = ["collect"]

# By name: places, and how the labels of their jobs begin.
_PRODUCTS: Final = {
    "AnyDesk": (("/Applications/AnyDesk.app",), "com.philandro.anydesk"),
    "TeamViewer": (("/Applications/TeamViewer.app", "/Applications/TeamViewerHost.app"),
                   "com.teamviewer"),
    "RustDesk": (("/Applications/RustDesk.app",), "com.carriez.RustDesk"),
    "MeshCentral agent": (("/usr/local/mesh_services",), "meshagent"),
    "Splashtop Streamer": (("/Applications/Splashtop Streamer.app",), "com.splashtop"),
    "ScreenConnect client": (("/opt/screenconnect.app",), "com.screenconnect"),
    "Chrome Remote Desktop": (("/Applications/Chrome Remote Desktop Host Uninstaller.app",),
                              "org.chromium.chromoting"),
    "LogMeIn": (("/Applications/LogMeIn.app",), "com.logmein"),
    "RealVNC": (("/Applications/RealVNC",), "com.realvnc"),
    "NinjaRMM agent": (("/Applications/NinjaRMMAgent",), "com.ninjarmm"),
    "Tailscale": (("/Applications/Tailscale.app",), "com.tailscale"),
    "ZeroTier": (("/Applications/ZeroTier.app",), "com.zerotier"),
}  # fmt: skip


@macos_section("remote_tools")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per product of which there is a sign."""
    services = listed_jobs(context)
    items = []
    for name, (places, label) in _PRODUCTS.items():
        path = next((one for one in places if context.files.path(one).exists()), None)
        jobs = [one for one in services if one["name"].startswith(label)]
        if path or jobs:
            running = any(one["state"] == "running" for one in jobs)
            items.append({"name": name, "version": None, "running": running, "path": path})
    return items
