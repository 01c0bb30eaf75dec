"""Section `management`: whether a server of device management commands this Mac."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_mark
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_enrollment"]

_ENROLLED: Final = re.compile(r"MDM enrollment: (Yes|No)")
_SERVER: Final = re.compile(r"MDM server: (\S+)")


def parse_enrollment(output: str) -> list[dict[str, Any]]:
    """Return the item of `profiles status -type enrollment`; [] where there is no such server."""
    found, server = _ENROLLED.search(output), _SERVER.search(output)
    if not found or found[1] == "No":
        return []
    return [
        {
            "name": "MDM", "version": None, "running": None, "enrolled": True,
            "server": without_credentials(server[1]) if server else None,
        }
    ]  # fmt: skip


@macos_section("management", personal=("server",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item where this Mac is managed."""
    told = context.run(["profiles", "status", "-type", "enrollment"]).text
    require_mark("profiles", told, _ENROLLED.pattern)
    return parse_enrollment(told)
