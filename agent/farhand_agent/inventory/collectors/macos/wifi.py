"""Section `wifi`: names of networks read `<redacted>` unless macOS allows this program to know."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, whole

__all__ = ["collect", "wifi_items"]

_REDACTED: Final = "<redacted>"
_SIGNAL: Final = re.compile(r"(-[0-9]{1,3}) dBm")
_CHANNEL: Final = re.compile(r"([0-9]{1,3}) \(([256])(?:\.?[0-9]*)? ?GHz")
_SECURITY: Final = {
    "wpa2_personal": "wpa2", "wpa3_personal": "wpa3", "wpa3_transition": "wpa3",
    "wpa2_enterprise": "wpa2-enterprise", "wpa3_enterprise": "wpa3-enterprise", "none": "open",
}  # fmt: skip


def _mhz(channel: str | None) -> int | None:
    """Return the middle of a channel.  Source: IEEE 802.11, annex E."""
    found = _CHANNEL.match(channel or "")
    if not found:
        return None
    number, band = int(found[1]), found[2]
    if band == "2":
        return 2484 if number == 14 else 2407 + 5 * number
    return (5000 if band == "5" else 5950) + 5 * number


def wifi_items(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one item per interface in SPAirPortDataType."""
    items = []
    for one in (i for e in entries for i in rows(e.get("spairport_airport_interfaces"))):
        network = one.get("spairport_current_network_information")
        network = network if isinstance(network, dict) else {}
        ssid = text(network.get("_name"))
        signal = _SIGNAL.search(text(network.get("spairport_signal_noise")) or "")
        security = (text(network.get("spairport_security_mode")) or "").removeprefix(
            "spairport_security_mode_"
        )
        items.append(
            {
                "interface": text(one.get("_name")),
                "ssid": None if ssid == _REDACTED else ssid,
                "bssid": text(network.get("spairport_network_bssid")),
                "frequency_mhz": _mhz(text(network.get("spairport_network_channel"))),
                "signal_dbm": int(signal[1]) if signal else None,
                "rate_mbit_s": whole(network.get("spairport_network_rate")),
                "security": _SECURITY.get(security, security or None),
            }
        )
    return items


@macos_section("wifi", types=("SPAirPortDataType",), personal=("ssid", "bssid"), volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per interface."""
    return wifi_items(profile(context, "SPAirPortDataType"))
