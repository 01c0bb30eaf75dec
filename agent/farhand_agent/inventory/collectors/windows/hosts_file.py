"""Section `hosts_file`: names that are answered without asking anybody."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.hosts_lines import parse_hosts
from farhand_agent.inventory.json_values import text

__all__ = ["parse"]


@windows_section("hosts_file", parts=("hosts",), personal=("address", "names"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per line, at most 5,000."""
    content = (text(told.row("hosts").get("text")) or "").removeprefix("\ufeff")
    return parse_hosts(content.replace("\r", "\n"))
