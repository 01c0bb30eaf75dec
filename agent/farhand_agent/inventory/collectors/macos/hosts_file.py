"""Section `hosts_file`: the same file as on other systems of Unix descent."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.hosts_lines import parse_hosts

__all__ = ["collect"]


@macos_section("hosts_file", personal=("address", "names"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per line.

    Raises:
        Unsupported: there is no such file.
    """
    content = context.files.text("/etc/hosts")
    if content is None:
        raise Unsupported("there is no /etc/hosts")
    return parse_hosts(content)
