"""Section `disk_health`: the disks' own verdict, which is all that macOS tells."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.disks import whole_disks
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.storage import TYPES, controllers
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import text

__all__ = ["collect"]

_VERDICTS: Final = {"Verified": True, "Failing": False}
_NOTHING: Final = dict.fromkeys(
    (
        "temperature_celsius", "power_on_h", "power_cycles", "unsafe_shutdowns", "wear_percent",
        "spare_percent", "media_errors", "reallocated_sectors", "pending_sectors",
        "uncorrectable_sectors", "crc_errors", "written_bytes",
    )
)  # fmt: skip


@macos_section(
    "disk_health", types=TYPES, personal=("serial",),
    volatile=True,
)  # fmt: skip
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per physical disk."""
    more = controllers(context)
    return [
        {
            "name": (name := text(info.get("DeviceIdentifier"))),
            "model": text(info.get("MediaName")),
            "serial": text(more.get(name or "", {}).get("device_serial")),
            # "Not Supported" on most that hang on USB.
            "passed": _VERDICTS.get(text(info.get("SMARTStatus")) or ""),
            "failing": [],
        }
        | _NOTHING
        for info in whole_disks(context)
    ]
