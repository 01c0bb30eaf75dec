"""Section `cameras`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.pnp import of_class
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said

__all__ = ["parse"]


@windows_section("cameras", parts=("pnp",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per camera; scanners share the older of the two classes."""
    return [
        {
            "name": said(one.get("Name")),
            "device": said(one.get("DeviceID")),
            "driver": said(one.get("Service")),
        }
        for one in of_class(told, "camera", "image")
        if (said(one.get("PNPClass")) or "").lower() == "camera"
        or said(one.get("Service")) == "usbvideo"
    ]
