"""Section `cameras`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("cameras", types=("SPCameraDataType",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per camera."""
    return [
        {
            "name": text(one.get("_name")),
            "device": text(one.get("spcamera_unique-id")),
            "driver": None,
        }
        for one in profile(context, "SPCameraDataType")
    ]
