"""Section `dns`: the resolvers that scutil lists, the system's own first."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_mark
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_scutil_dns", "resolvers"]

_LINE: Final = re.compile(r"\s+(nameserver|search domain|domain|if_index|options)\b[^:]*: (.+)")
_INTERFACE: Final = re.compile(r"[0-9]+ \(([^)]+)\)")
_MAX_RESOLVERS: Final = 200


def parse_scutil_dns(output: str) -> list[dict[str, Any]]:
    """Return one item per resolver of `scutil --dns` that has servers.

    The second half of the answer repeats the first by interface and ends the reading.
    """
    items: list[dict[str, Any]] = []
    for line in output.partition("DNS configuration (for scoped queries)")[0].split("\n"):
        if line.startswith("resolver #"):
            items.append(
                {"source": "scutil", "interface": None, "servers": [], "search": [], "options": []}
            )
        found = _LINE.match(line)
        if not found or not items:
            continue
        key, value = found[1], found[2].strip()
        if key == "nameserver":
            items[-1]["servers"].append(value)
        elif key in ("search domain", "domain"):
            items[-1]["search"].append(value)
        elif key == "options":
            items[-1]["options"] = value.split()
        elif name := _INTERFACE.fullmatch(value):
            items[-1]["interface"] = name[1]
    return [one for one in items if one["servers"]][:_MAX_RESOLVERS]


def resolvers(context: Context) -> list[dict[str, Any]]:
    """Return one item per resolver that has servers.

    Raises:
        Malformed: scutil printed something else.
    """
    told = context.run(["scutil", "--dns"]).text
    items = parse_scutil_dns(told)
    if not items:
        require_mark("scutil --dns", told, "^(?:No )?DNS configuration")
    return items


@macos_section("dns", personal=("servers", "search"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per resolver."""
    return resolvers(context)
