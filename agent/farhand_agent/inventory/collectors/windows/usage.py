"""Section `usage`: what changes by the minute, kept apart so that the other sections rest."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, when
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_FIXED: Final = (2, 3)


@windows_section("usage", parts=("os", "processors", "volumes", "page_files"), volatile=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item for the system and one per volume."""
    system = told.row("os")
    free = unsigned(system.get("FreePhysicalMemory"), 64)
    threads = [whole(one.get("NumberOfLogicalProcessors")) or 0 for one in told.also("processors")]
    pages = [
        (unsigned(one.get("AllocatedBaseSize")) or 0) - (unsigned(one.get("CurrentUsage")) or 0)
        for one in told.also("page_files")
    ]
    items: list[dict[str, Any]] = [
        {
            "record": "system",
            "booted_at": when(system.get("LastBootUpTime")),
            # Windows has no such figure.
            "load_15m": None,
            "processors": sum(threads) or None,
            "memory_available_bytes": free * _KIB if free is not None else None,
            "swap_free_bytes": max(0, sum(pages)) * _MIB,
        }
    ]
    for one in told.also("volumes"):
        total = unsigned(one.get("Capacity"), 64)
        left = unsigned(one.get("FreeSpace"), 64)
        letter = said(one.get("DriveLetter"))
        if not total or left is None or whole(one.get("DriveType")) not in _FIXED:
            continue
        items.append(
            {
                "record": "volume",
                "mount": letter or (said(one.get("Name")) or "").rstrip("\\") or None,
                "used_bytes": max(0, total - left),
                "available_bytes": left,
                "used_percent": round(100 * max(0, total - left) / total, 1),
                "inodes_free": None,
            }
        )
    return items
