"""Section `vpn`: connections of the system, by scutil."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_scutil_nc"]

_LINE: Final = re.compile(
    r"[* ] \((Connected|Disconnected|Connecting|Disconnecting)\)\s+\S+ (.*?)\s*\"(.*)\"\s+\[(.+)\]"
)
_STATES: Final = {"Connected": "up", "Disconnected": "down"}


def parse_scutil_nc(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `scutil --nc list`."""
    items = []
    for line in output.split("\n"):
        if found := _LINE.match(line):
            kind = found[4].rpartition(":")[2].lower()
            items.append(
                {
                    "name": found[3], "kind": kind, "interface": None,
                    "state": _STATES.get(found[1], "unknown"), "source": "scutil",
                }
            )  # fmt: skip
    return items


@macos_section("vpn")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per connection."""
    told = context.run(["scutil", "--nc", "list"]).text
    items = parse_scutil_nc(told)
    aside = r"^(?:Available|No) network connection services"
    require_lines(context, "scutil --nc", told, len(items), aside=aside, silent=True)
    return items
