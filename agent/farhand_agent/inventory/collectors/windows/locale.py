"""Section `locale`: language, keyboard and time zone of the system."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said

__all__ = ["parse"]


@windows_section("locale", parts=("culture",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item; the layout is the number by which Windows knows it (00000407)."""
    row = told.row("culture")
    return [
        {
            "language": said(row.get("system")) or said(row.get("culture")),
            "timezone": said(row.get("timezone")),
            "keyboard_layout": said(row.get("layout")),
            "keyboard_model": None,
        }
    ]
