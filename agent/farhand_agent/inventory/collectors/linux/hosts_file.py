"""Section `hosts_file`: names that are answered without asking anybody."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.hosts_lines import KEPT_LINES, parse_hosts
from farhand_agent.inventory.registry import section

__all__ = ["collect"]


@section("hosts_file", platform="linux", personal=("address", "names"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per line.

    Raises:
        Unsupported: there is no such file.
    """
    text = context.files.text("/etc/hosts")
    if text is None:
        raise Unsupported("there is no /etc/hosts")
    items = parse_hosts(text)
    if len(items) == KEPT_LINES:
        context.note(f"the first {KEPT_LINES} lines of it")
    return items
