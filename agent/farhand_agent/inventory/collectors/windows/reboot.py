"""Section `reboot`: whether a start is due."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.json_values import truth, whole

__all__ = ["parse"]

_REASONS: Final = {
    "Servicing": "Windows itself was changed", "Update": "Windows Update wants it",
    "Renamed": "the computer gets a new name",
}  # fmt: skip


@windows_section("reboot", parts=("reboot",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    row = told.row("reboot")
    reasons = [words for name, words in _REASONS.items() if truth(row.get(name))]
    renames = whole(row.get("Renames")) or 0
    if renames:
        reasons.append(f"{renames} files wait to be replaced")
    return [{"required": bool(reasons), "reasons": reasons}]
