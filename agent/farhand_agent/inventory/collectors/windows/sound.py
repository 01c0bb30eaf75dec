"""Section `sound`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said

__all__ = ["parse"]


@windows_section("sound", parts=("sound", "pnp"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per device."""
    drivers = {said(one.get("DeviceID")): said(one.get("Service")) for one in told.also("pnp")}
    return [
        {
            "name": said(one.get("Name")),
            "id": said(one.get("DeviceID")),
            "driver": drivers.get(said(one.get("DeviceID"))),
        }
        for one in told.rows("sound")
    ]
