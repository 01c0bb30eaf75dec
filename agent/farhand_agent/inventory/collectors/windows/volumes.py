"""Section `volumes`: file systems, with a letter or without, and drives of the network."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.json_values import whole

__all__ = ["parse", "volume_id"]

_NETWORK, _OPTICAL = 4, 5
_ROOT: Final = "\\"


def volume_id(value: object) -> str | None:
    """Return a volume's serial number as Windows shows it: 1A2B-3C4D.

    WMI holds it unsigned in 32 bits and hands it out signed at times.
    """
    number = unsigned(value)
    return None if number is None else f"{number >> 16:04X}-{number & 0xFFFF:04X}"


@windows_section("volumes", parts=("volumes", "network_drives"), personal=("label", "uuid"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per volume; drives without a medium have no size and are left out."""
    items = []
    for one in told.rows("volumes"):
        total = unsigned(one.get("Capacity"), 64)
        kind = whole(one.get("DriveType"))
        if total is None or kind == _NETWORK:
            continue
        items.append(
            {
                "mount": said(one.get("DriveLetter")) or _mount_point(one.get("Name")),
                "device": said(one.get("DeviceID")),
                "filesystem": said(one.get("FileSystem")),
                "label": said(one.get("Label")),
                "uuid": volume_id(one.get("SerialNumber")),
                "network": False,
                "read_only": True if kind == _OPTICAL else None,
                "total_bytes": total,
                "inodes_total": None,
            }
        )
    for one in told.also("network_drives"):
        items.append(
            {
                "mount": said(one.get("DeviceID")),
                "device": without_credentials(said(one.get("ProviderName")) or "") or None,
                "filesystem": said(one.get("FileSystem")),
                "label": None,
                "uuid": None,
                "network": True,
                "read_only": None,
                "total_bytes": unsigned(one.get("Size"), 64),
                "inodes_total": None,
            }
        )
    return items


def _mount_point(value: object) -> str | None:
    # A volume without a letter is named by its folder, else by its own \\?\Volume{...}.
    name = said(value)
    return None if name is None or name.startswith("\\\\?\\") else name.rstrip(_ROOT)
