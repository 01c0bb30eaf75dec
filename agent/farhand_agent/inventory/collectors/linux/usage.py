"""Section `usage`: what changes by the minute, kept apart so that the other sections rest."""

from __future__ import annotations

import os
from typing import Any

from farhand_agent.inventory.collectors.linux.memory import parse_meminfo
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.mounts import capacity, data_mounts
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["boot_time", "collect"]


def boot_time(stat_text: str) -> int | None:
    """Return when the system started in Unix seconds, from the text of /proc/stat."""
    for line in stat_text.split("\n"):
        key, _, value = line.partition(" ")
        if key == "btime" and value.strip().isdigit() and len(value) < 13:
            return int(value)
    return None


@section("usage", platform="linux", volatile=True, timeout_s=30.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item for the system and one per file system."""
    memory = parse_meminfo(context.files.text("/proc/meminfo") or "")
    started = boot_time(context.files.text("/proc/stat") or "")
    load = (context.files.text("/proc/loadavg") or "").split()
    items: list[dict[str, Any]] = [
        {
            "record": "system",
            "booted_at": format_instant(from_unix(started)) if started else None,
            "load_15m": float(load[2]) if len(load) > 2 else None,
            "processors": os.cpu_count(),
            "memory_available_bytes": memory.get("MemAvailable"),
            "swap_free_bytes": memory.get("SwapFree"),
        }
    ]
    for mount in data_mounts(context.files):
        size = capacity(mount, context.runner)
        items.append(
            {
                "record": "volume",
                "mount": mount.target,
                "used_bytes": size.used_bytes if size else None,
                "available_bytes": size.available_bytes if size else None,
                "used_percent": round(size.used_percent, 1) if size else None,
                "inodes_free": size.inodes_free if size else None,
            }
        )
    return items
