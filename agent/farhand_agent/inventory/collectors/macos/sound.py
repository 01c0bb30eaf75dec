"""Section `sound`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section, profile, tree
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]


@macos_section("sound", types=("SPAudioDataType",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per device; the entry above them is only a heading."""
    return [
        {
            "name": text(one.get("_name")),
            "id": text(one.get("coreaudio_device_manufacturer")),
            "driver": text(one.get("coreaudio_device_transport")),
        }
        for one in tree(profile(context, "SPAudioDataType"))
        if "coreaudio_device_transport" in one
    ]
