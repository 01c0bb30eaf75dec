"""What system_profiler knows of disks on NVMe and SATA; no section of its own."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import profile, tree
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["TYPES", "controllers"]

TYPES: Final = ("SPNVMeDataType", "SPSerialATADataType")


def controllers(context: Context) -> dict[str, dict[str, Any]]:
    """Return the entries of disks by their names; who calls declares TYPES."""
    return {
        name: one
        for kind in TYPES
        for one in tree(profile(context, kind))
        if (name := text(one.get("bsd_name")))
    }
