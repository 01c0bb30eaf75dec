"""Section `memory`: how much there is; swap grows and shrinks with need."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section, sysctl
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import whole

__all__ = ["collect", "parse_swapusage"]

_SWAP: Final = re.compile(r"(total|used|free) = ([0-9]{1,12}(?:[.,][0-9]{1,3})?)M")


def parse_swapusage(value: str) -> dict[str, int]:
    """Return bytes by "total", "used" and "free" of vm.swapusage."""
    return {
        name: int(float(amount.replace(",", ".")) * 2**20) for name, amount in _SWAP.findall(value)
    }


@macos_section("memory")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item."""
    told = sysctl(context, "hw.memsize", "vm.swapusage")
    return [
        {
            "total_bytes": whole(told.get("hw.memsize")),
            "swap_total_bytes": parse_swapusage(told.get("vm.swapusage", "")).get("total"),
            "huge_pages": None,
            "huge_page_bytes": None,
        }
    ]
