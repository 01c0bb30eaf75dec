"""Section `logical_volumes`: containers of APFS, and volumes in them."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.disk_encryption import apfs
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, whole

__all__ = ["apfs_items", "collect"]


def apfs_items(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one item per container and per volume."""
    items = []
    for one in rows(document.get("Containers")):
        name = text(one.get("ContainerReference"))
        items.append(
            {
                "record": "pool", "name": name, "group": None,
                "size_bytes": whole(one.get("CapacityCeiling")),
                "free_bytes": whole(one.get("CapacityFree")),
                "uuid": text(one.get("APFSContainerUUID")), "health": None,
            }
        )  # fmt: skip
        for volume in rows(one.get("Volumes")):
            items.append(
                {
                    "record": "logical", "name": text(volume.get("Name")), "group": name,
                    "size_bytes": whole(volume.get("CapacityInUse")), "free_bytes": None,
                    "uuid": text(volume.get("APFSVolumeUUID")), "health": None,
                }
            )  # fmt: skip
    return items


@macos_section("logical_volumes", personal=("uuid",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per container and per volume."""
    return apfs_items(apfs(context))
