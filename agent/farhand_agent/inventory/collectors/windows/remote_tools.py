"""Section `remote_tools`: other products by which somebody could reach this device from afar."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import truth

__all__ = ["parse"]

# By how the names of their services and of their uninstall entries begin.
_PRODUCTS: Final = {
    "AnyDesk": ("anydesk",), "TeamViewer": ("teamviewer",), "RustDesk": ("rustdesk",),
    "MeshCentral agent": ("mesh agent", "meshagent"),
    "Tactical RMM agent": ("tacticalrmm", "tactical rmm agent"),
    "Splashtop Streamer": ("splashtopremoteservice", "splashtop streamer"),
    "ScreenConnect client": ("screenconnect client",), "NoMachine": ("nxservice", "nomachine"),
    "Chrome Remote Desktop": ("chromoting", "chrome remote desktop"), "DWAgent": ("dwagent",),
    "Getscreen.me": ("getscreen",), "Atera agent": ("ateraagent",),
    "NinjaRMM agent": ("ninjarmmagent",), "Action1 agent": ("action1_agent", "action1 agent"),
    "Level agent": ("level.io", "levelagent"), "Tailscale": ("tailscale",),
    "ZeroTier": ("zerotieroneservice", "zerotier one"), "ngrok": ("ngrok",),
    "Cloudflare Tunnel": ("cloudflared",), "Supremo": ("supremo",), "ISL Light": ("isl",),
    "UltraVNC": ("uvnc_service", "ultravnc"), "TightVNC": ("tvnserver", "tightvnc"),
    "RealVNC": ("vncserver", "realvnc"), "LogMeIn": ("logmein",), "GoTo": ("goto",),
    "Radmin Server": ("rserver3", "radmin server"), "LiteManager": ("romservice", "litemanager"),
    "Remote Utilities": ("rmanservice", "remote utilities"), "Kaseya agent": ("kaseya",),
    "ConnectWise Automate": ("ltservice",), "Datto RMM": ("cagservice", "datto rmm"),
}  # fmt: skip


@windows_section("remote_tools", parts=("services", "uninstall"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per product of which there is a sign."""
    services = {(said(one.get("Name")) or "").lower(): one for one in told.rows("services")}
    # Hidden entries count: who hides wants it so.
    programs = {(said(one.get("DisplayName")) or "").lower(): one for one in told.also("uninstall")}
    items = []
    for product, names in _PRODUCTS.items():
        service = next((one for name, one in services.items() if name.startswith(names)), None)
        program = next((one for name, one in programs.items() if name.startswith(names)), None)
        if service is None and program is None:
            continue
        hidden = program is not None and truth(program.get("SystemComponent"))
        if hidden:
            told.note(f"{product} hides itself from the list of programs")
        items.append(
            {
                "name": product,
                "version": said((program or {}).get("DisplayVersion")),
                "running": said((service or {}).get("State")) == "Running",
                "path": None,
            }
        )
    return items
