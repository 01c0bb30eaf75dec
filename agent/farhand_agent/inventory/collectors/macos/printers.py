"""Section `printers`: CUPS is the same on every system."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.cups_queues import ask_lpstat, parse_lpstat

__all__ = ["collect"]


@macos_section("printers", personal=("uri",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per queue."""
    return parse_lpstat(ask_lpstat(context))
