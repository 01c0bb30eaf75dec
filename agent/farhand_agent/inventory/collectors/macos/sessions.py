"""Section `sessions`: who is here, by who(1), which writes times without year and zone."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines
from farhand_agent.inventory.context import Context

__all__ = ["collect", "parse_who"]

_LINE: Final = re.compile(
    r"(\S+)\s+(\S+)\s+[A-Z][a-z]{2}\s+[0-9]{1,2} [0-9:]{5}(?:\s+\((.+)\))?\s*"
)


def parse_who(output: str) -> list[dict[str, Any]]:
    """Return one item per line of `who`."""
    items = []
    for line in output.split("\n"):
        if found := _LINE.fullmatch(line):
            console = found[2] == "console"
            items.append(
                {
                    "user": found[1], "kind": "console" if console else "tty",
                    "terminal": found[2], "origin": found[3], "since": None, "state": "active",
                    "remote": found[3] is not None,
                }
            )  # fmt: skip
    return items


@macos_section("sessions", personal=("user", "origin"), volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per session."""
    told = context.run(["who"]).text
    items = parse_who(told)
    require_lines(context, "who", told, len(items), silent=True)
    return items
