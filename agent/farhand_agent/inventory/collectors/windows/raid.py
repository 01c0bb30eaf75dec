"""Section `raid`: virtual disks of storage spaces that keep data more than once, or striped."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

# Source: MSFT_VirtualDisk: resiliency settings are names of the API, never translated.
_LEVELS: Final = {"mirror": "mirror", "parity": "parity", "simple": "simple"}
# Source: MSFT_StorageObject.OperationalStatus.
_STATES: Final = {
    2: "clean", 3: "degraded", 4: "degraded", 5: "predicted failure", 6: "failed", 11: "recovering",
    0xD002: "degraded", 0xD003: "failed", 0xD004: "failed",
}  # fmt: skip


@windows_section("raid", parts=("virtual_disks",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per virtual disk."""
    items: list[dict[str, Any]] = []
    for one in told.rows("virtual_disks"):
        status = one.get("OperationalStatus")
        number = whole(status[0] if isinstance(status, list) and status else status)
        level = (said(one.get("ResiliencySettingName")) or "").lower()
        items.append(
            {
                "name": said(one.get("FriendlyName")),
                "level": _LEVELS.get(level, level or None),
                "state": _STATES.get(number, "unknown") if number is not None else None,
                "size_bytes": unsigned(one.get("Size"), 64),
                "devices": None,
                "failed": None,
                "members": [],
                "controller": "storage spaces",
            }
        )
    return items
