"""Section `firewall`: macOS' own, which asks about programs, not packets."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Malformed

__all__ = ["collect", "parse_state"]

_PROGRAM: Final = "/usr/libexec/ApplicationFirewall/socketfilterfw"
# 0 off, 1 on, 2 lets only what the system needs in.
_STATE: Final = re.compile(r"\(State = ([012])\)")


def parse_state(output: str) -> int:
    """Return the number in what `socketfilterfw --getglobalstate` printed.

    Raises:
        Malformed: there is none.
    """
    found = _STATE.search(output)
    if not found:
        raise Malformed("socketfilterfw")
    return int(found[1])


@macos_section("firewall")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    state = parse_state(context.run([_PROGRAM, "--getglobalstate"]).text)
    return [
        {
            "name": "application firewall",
            "enabled": state > 0,
            "default_inbound": "drop" if state == 2 else None,
            "default_outbound": "accept",
            "rules": None,
        }
    ]
