"""Section `log_summary`: how many errors each provider wrote in a day.  Counts, never contents."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, when
from farhand_agent.inventory.json_values import whole

__all__ = ["parse"]

_HOURS: Final = 24
_SHOWN: Final = 200
_CRITICAL: Final = 1


@windows_section("log_summary", parts=("events_summary",), volatile=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per provider, most errors first; of a flood the newest 5,000 count."""
    found: dict[str, dict[str, Any]] = {}
    for one in told.rows("events_summary"):
        source = said(one.get("Provider")) or "unknown"
        empty = {"source": source, "hours": _HOURS, "critical": 0, "errors": 0, "last_at": None}
        item = found.setdefault(source, empty)
        kind = "critical" if whole(one.get("Level")) == _CRITICAL else "errors"
        item[kind] += whole(one.get("Count")) or 0
        item["last_at"] = max(item["last_at"] or "", when(one.get("Last")) or "") or None
    ordered = sorted(
        found.values(), key=lambda one: (-one["critical"] - one["errors"], one["source"])
    )
    return ordered[:_SHOWN]
