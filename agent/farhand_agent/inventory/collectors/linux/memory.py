"""Section `memory`: how much there is.  How much is free right now is section `usage`."""

from __future__ import annotations

import re
from typing import Any

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_meminfo"]

_LINE = re.compile(r"([A-Za-z0-9_()]+):\s+([0-9]{1,15})(?: kB)?")


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the values of /proc/meminfo in bytes, by the kernel's names.

    Source: proc(5): every value but the huge page counts is in kibibytes.
    """
    values = {}
    for line in text.split("\n"):
        if found := _LINE.fullmatch(line.strip()):
            values[found[1]] = int(found[2]) * (1024 if line.rstrip().endswith("kB") else 1)
    return values


@section("memory", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item with totals in bytes.

    Raises:
        Malformed: the kernel does not say how much memory there is.
    """
    values = parse_meminfo(context.files.text("/proc/meminfo") or "")
    if "MemTotal" not in values:
        raise Malformed("/proc/meminfo")
    return [
        {
            "total_bytes": values["MemTotal"],
            "swap_total_bytes": values.get("SwapTotal", 0),
            "huge_pages": values.get("HugePages_Total", 0),
            "huge_page_bytes": values.get("Hugepagesize"),
        }
    ]
