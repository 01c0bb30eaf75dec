"""Section `logical_volumes`: storage pools and the virtual disks that are made of them."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, word
from farhand_agent.inventory.json_values import truth

__all__ = ["HEALTH", "parse"]

# Source: MSFT_StorageObject.HealthStatus.
HEALTH: Final = {0: "healthy", 1: "warning", 2: "unhealthy", 5: "unknown"}


@windows_section("logical_volumes", parts=("pools", "virtual_disks"), personal=("uuid",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per pool and per virtual disk; disks in no pool are in the primordial one."""
    items = []
    for one in told.rows("pools"):
        size, given = unsigned(one.get("Size"), 64), unsigned(one.get("AllocatedSize"), 64)
        if truth(one.get("IsPrimordial")):
            continue
        free = max(0, size - given) if size is not None and given is not None else None
        items.append(_item("pool", one, size) | {"free_bytes": free})
    for one in told.also("virtual_disks"):
        items.append(_item("logical", one, unsigned(one.get("Size"), 64)))
    return items


def _item(record: str, one: dict[str, Any], size: int | None) -> dict[str, Any]:
    return {
        "record": record, "name": said(one.get("FriendlyName")), "group": None,
        "size_bytes": size, "free_bytes": None, "uuid": said(one.get("UniqueId")),
        "health": word(one.get("HealthStatus"), HEALTH),
    }  # fmt: skip
