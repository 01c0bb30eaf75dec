"""Section `usage`: what changes by the minute."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.boot import boot_time
from farhand_agent.inventory.collectors.macos.memory import parse_swapusage
from farhand_agent.inventory.collectors.macos.source import macos_section, sysctl
from farhand_agent.inventory.collectors.macos.volumes import mounted, sizes
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import number, whole
from farhand_agent.inventory.moments import instant

__all__ = ["available_bytes", "collect"]

_PAGES: Final = re.compile(r"Pages (free|inactive|speculative|purgeable):\s+([0-9]{1,15})\.")
_PAGE_BYTES: Final = re.compile(r"page size of ([0-9]{1,7}) bytes")


def available_bytes(output: str) -> int | None:
    """Return what can be had without swapping, from vm_stat."""
    size = _PAGE_BYTES.search(output)
    pages = dict(_PAGES.findall(output))
    return sum(map(int, pages.values())) * int(size[1]) if size and pages else None


@macos_section("usage", volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item for the system and one per volume."""
    told = sysctl(context, "kern.boottime", "vm.loadavg", "hw.logicalcpu", "vm.swapusage")
    loads = re.sub(r"[{}]", " ", told.get("vm.loadavg", "")).replace(",", ".").split()
    available = available_bytes(context.run(["vm_stat"]).text)
    if available is None:
        raise Malformed("vm_stat")
    items: list[dict[str, Any]] = [
        {
            "record": "system",
            "booted_at": instant(boot_time(told.get("kern.boottime", ""))),
            "load_15m": number(loads[2]) if len(loads) > 2 else None,
            "processors": whole(told.get("hw.logicalcpu")),
            "memory_available_bytes": available,
            "swap_free_bytes": parse_swapusage(told.get("vm.swapusage", "")).get("free"),
        }
    ]
    known = sizes(context)
    for one in mounted(context):
        total, used, left = known.get(one.target, (0, 0, 0))
        if total:
            # Volumes of one container share their space, so what is left decides.
            share = round(100 * used / (used + left), 1) if used + left > 0 else None
            items.append(
                {
                    "record": "volume", "mount": one.target, "used_bytes": used,
                    "available_bytes": left, "used_percent": share, "inodes_free": None,
                }
            )  # fmt: skip
    return items
