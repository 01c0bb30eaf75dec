"""Section `vpn`: Windows' own connections, and adapters of those who bring theirs."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_KINDS: Final = {"Ikev2": "ikev2", "L2tp": "l2tp", "Pptp": "pptp", "Sstp": "sstp"}
# By what the description of an adapter holds.
_ADAPTERS: Final = (
    ("wireguard", "wireguard"), ("tailscale", "tailscale"), ("tap-windows", "openvpn"),
    ("openvpn", "openvpn"), ("wintun", "tun"), ("zerotier", "zerotier"), ("fortinet", "fortinet"),
    ("anyconnect", "anyconnect"), ("pangp", "globalprotect"), ("juniper", "juniper"),
)  # fmt: skip
_UP: Final = 1


@windows_section("vpn", parts=("vpn", "adapters"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per connection and per such adapter."""
    items = []
    seen = set()
    for one in told.also("vpn"):
        name = said(one.get("Name"))
        if name in seen:
            continue
        seen.add(name)
        tunnel = said(one.get("TunnelType")) or ""
        state = said(one.get("ConnectionStatus"))
        up = state == "Connected"
        items.append(
            {
                "name": name,
                "kind": _KINDS.get(tunnel, tunnel.lower() or None),
                "interface": name if up else None,
                "state": "up" if up else "down" if state == "Disconnected" else "unknown",
                "source": "windows",
            }
        )
    for one in told.rows("adapters"):
        words = (said(one.get("InterfaceDescription")) or "").lower()
        kind = next((kind for part, kind in _ADAPTERS if part in words), None)
        if kind:
            up = whole(one.get("InterfaceOperationalStatus")) == _UP
            name = said(one.get("Name"))
            items.append(
                {
                    "name": name, "kind": kind, "interface": name if up else None,
                    "state": "up" if up else "down", "source": "adapter",
                }
            )  # fmt: skip
    return items
