"""Section `memory`: how much there is."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import unsigned

__all__ = ["parse"]

_MIB: Final = 1024 * 1024
_KIB: Final = 1024


@windows_section("memory", parts=("computer", "os", "page_files"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item.  Page files are what other systems call swap."""
    total = unsigned(told.row("computer").get("TotalPhysicalMemory"), 64)
    if total is None:
        kib = unsigned(told.also_row("os").get("TotalVisibleMemorySize"), 64)
        total = kib * _KIB if kib is not None else None
    pages = [unsigned(one.get("AllocatedBaseSize")) or 0 for one in told.also("page_files")]
    return [
        {
            "total_bytes": total,
            "swap_total_bytes": sum(pages) * _MIB,
            "huge_pages": None,
            "huge_page_bytes": None,
        }
    ]
