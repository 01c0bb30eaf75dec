"""Section `partitions`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.disks import disk_list, partitions_of
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context

__all__ = ["collect"]


@macos_section("partitions", personal=("label", "uuid"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per partition."""
    return partitions_of(disk_list(context))
