"""Section `wifi`: the network that each adapter is in.

`netsh wlan` prints in the language of Windows, so the runtime's own objects are asked; they tell
neither the access point nor the channel.
"""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_WIFI: Final = 71
# Source: Windows.Networking.Connectivity.NetworkAuthenticationType.
_SECURITY: Final = {
    "Open80211": "open", "Open": "open", "Wpa": "wpa", "WpaPsk": "wpa", "Rsna": "wpa2-enterprise",
    "RsnaPsk": "wpa2", "Wpa3": "wpa3-enterprise", "Wpa3Enterprise": "wpa3-enterprise",
    "Wpa3Enterprise192Bits": "wpa3-enterprise", "Wpa3Sae": "wpa3", "Owe": "owe",
    "SharedKey80211": "wep",
}  # fmt: skip


@windows_section("wifi", parts=("adapters", "wlan"), personal=("ssid", "bssid"), volatile=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per wireless adapter."""
    connected = {
        (said(one.get("Adapter")) or "").strip("{}").lower(): one for one in told.also("wlan")
    }
    items = []
    for one in told.rows("adapters"):
        if whole(one.get("InterfaceType")) != _WIFI or one.get("Hidden") is True:
            continue
        guid = (said(one.get("InterfaceGuid")) or "").strip("{}").lower()
        network = connected.get(guid, {})
        speed = unsigned(one.get("ReceiveLinkSpeed"), 64)
        items.append(
            {
                "interface": said(one.get("Name")),
                "ssid": said(network.get("Ssid")),
                "bssid": None,
                "frequency_mhz": None,
                "signal_dbm": None,
                "rate_mbit_s": speed // 10**6 if speed and network and speed < 10**13 else None,
                "security": _SECURITY.get(said(network.get("Authentication")) or ""),
            }
        )
    return items
