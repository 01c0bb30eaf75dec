"""Section `remote_tools`: other products by which somebody could reach this device from afar.

Such a tool that nobody remembers is how many break-ins begin, so a helper should see it.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.presence import Product, look_for
from farhand_agent.inventory.registry import section

__all__ = ["PRODUCTS", "collect"]

PRODUCTS: Final = (
    Product("AnyDesk", ("anydesk",), ("anydesk",), ("/usr/bin/anydesk",)),
    Product(
        "TeamViewer", ("teamviewer", "teamviewer-host"), ("teamviewerd",),
        ("/opt/teamviewer",),
    ),
    Product("RustDesk", ("rustdesk",), ("rustdesk",), ("/usr/bin/rustdesk", "/opt/rustdesk")),
    Product(
        "MeshCentral agent", (), ("meshagent",),
        ("/usr/local/mesh_services", "/opt/meshagent"),
    ),
    Product("Tactical RMM agent", (), ("tacticalagent",), ("/usr/local/bin/tacticalagent",)),
    Product(
        "Splashtop Streamer", ("splashtop-streamer",), ("SRFeature",),
        ("/opt/splashtop-streamer",),
    ),
    Product("ScreenConnect client", (), (), ("/opt/screenconnect", "/opt/connectwisecontrol")),
    Product("NoMachine", ("nomachine",), ("nxserver.bin",), ("/usr/NX",)),
    Product(
        "Chrome Remote Desktop", ("chrome-remote-desktop",), ("chrome-remote-d",),
        ("/opt/google/chrome-remote-desktop",),
    ),
    Product("DWAgent", (), ("dwagsvc",), ("/usr/share/dwagent",)),
    Product("Remmina", ("remmina",), (), ()),
    Product("Getscreen.me", (), ("getscreen.me",), ("/opt/getscreen.me",)),
    Product("Atera agent", (), ("AteraAgent",), ("/opt/atera",)),
    Product("NinjaRMM agent", ("ninjarmm-agent",), ("ninjarmm-linage",), ("/opt/NinjaRMMAgent",)),
    Product("Action1 agent", (), ("action1_agent",), ("/opt/Action1",)),
    Product("Level agent", (), ("level",), ("/usr/local/bin/level",)),
    Product("Tailscale SSH", ("tailscale",), ("tailscaled",), ("/usr/sbin/tailscaled",)),
    Product("ZeroTier", ("zerotier-one",), ("zerotier-one",), ("/usr/sbin/zerotier-one",)),
    Product("ngrok", ("ngrok",), ("ngrok",), ("/usr/local/bin/ngrok",)),
    Product(
        "Cloudflare Tunnel", ("cloudflared",), ("cloudflared",),
        ("/usr/local/bin/cloudflared",),
    ),
    Product("Supremo", (), ("supremo",), ("/opt/supremo",)),
    Product("ISL AlwaysOn", (), ("ISLAlwaysOn",), ("/opt/ISLOnline",)),
)  # fmt: skip


@section("remote_tools", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per product of which there is a sign."""
    return [
        {
            "name": found.product.name,
            "version": found.version,
            "running": found.running,
            "path": found.path,
        }
        for found in look_for(context, PRODUCTS)
    ]
