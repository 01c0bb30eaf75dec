"""Section `modems`: those with a telephone line, and mobile broadband."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: ntddndis.h, NdisPhysicalMediumWirelessWan; ifdef.h, IF_TYPE_WWANPP and WWANPP2.
_WIRELESS_WAN: Final = 8
_IF_TYPES: Final = (243, 244)


@windows_section("modems", parts=("modems", "adapters"), personal=("imei",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per modem."""
    items = []
    for one in told.rows("modems"):
        items.append(
            _item(one.get("Name"), one.get("AttachedTo"))
            | {"manufacturer": said(one.get("ProviderName")), "model": said(one.get("Model"))}
        )
    for one in told.also("adapters"):
        wan = whole(one.get("NdisPhysicalMedium")) == _WIRELESS_WAN
        if wan or whole(one.get("InterfaceType")) in _IF_TYPES:
            items.append(
                _item(one.get("InterfaceDescription"), one.get("Name"))
                | {"driver": said(one.get("DriverName"))}
            )
    return items


def _item(name: object, device: object) -> dict[str, Any]:
    return {
        "name": said(name), "manufacturer": None, "model": None, "device": said(device),
        "driver": None, "imei": None, "firmware": None, "state": None,
    }  # fmt: skip
