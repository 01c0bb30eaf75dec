"""Section `disks`: whole disks by diskutil's property lists; those that are images are left out."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.storage import TYPES, controllers
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, truth, whole
from farhand_agent.inventory.plists import read_plist

__all__ = ["collect", "disk_item", "disk_list", "partitions_of", "whole_disks"]

_MAX_DISKS = 64


def disk_list(context: Context) -> dict[str, Any]:
    """Return what `diskutil list -plist` tells.

    Raises:
        Malformed: it printed something else.
    """
    return read_plist(context.run(["diskutil", "list", "-plist"]).stdout, "diskutil list")


def whole_disks(context: Context) -> list[dict[str, Any]]:
    """Return `diskutil info -plist` of each physical disk."""
    names = disk_list(context).get("WholeDisks")
    found = []
    for name in (names if isinstance(names, list) else [])[:_MAX_DISKS]:
        if not isinstance(name, str) or not name.startswith("disk") or not name.isalnum():
            continue
        info = read_plist(context.run(["diskutil", "info", "-plist", name]).stdout, "diskutil info")
        # Containers of APFS are disks of their own here, made of another.
        if info.get("VirtualOrPhysical") != "Virtual":
            found.append(info)
    return found


def disk_item(info: dict[str, Any]) -> dict[str, Any]:
    """Return the item of one disk."""
    solid = truth(info.get("SolidState"))
    writable = truth(info.get("WritableMedia"))
    table = text(info.get("Content"))
    return {
        "name": text(info.get("DeviceIdentifier")),
        "size_bytes": whole(info.get("TotalSize")) or whole(info.get("Size")),
        "model": text(info.get("MediaName")),
        "vendor": None,
        "serial": None,
        "firmware": None,
        "wwn": None,
        "bus": _bus(text(info.get("BusProtocol"))),
        "rotational": None if solid is None else not solid,
        "removable": truth(info.get("RemovableMediaOrExternalDevice")),
        "read_only": None if writable is None else not writable,
        "partition_table": {"GUID_partition_scheme": "gpt", "FDisk_partition_scheme": "dos"}.get(
            table or ""
        ),
        "logical_sector_bytes": whole(info.get("DeviceBlockSize")),
        "physical_sector_bytes": None,
    }


def _bus(name: str | None) -> str | None:
    known = {"apple fabric": "nvme", "pci-express": "nvme", "secure digital": "sd"}
    return known.get(name.lower(), name.lower()) if name else None


@macos_section("disks", types=TYPES,
               personal=("serial", "wwn"))  # fmt: skip
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per disk, with the serial number that system_profiler knows."""
    more = controllers(context)
    items = []
    for info in whole_disks(context):
        item = disk_item(info)
        told = more.get(item["name"], {})
        item["serial"] = text(told.get("device_serial"))
        item["firmware"] = text(told.get("device_revision"))
        items.append(item)
    return items


def partitions_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one item per partition in what `diskutil list -plist` told."""
    items = []
    for disk in rows(document.get("AllDisksAndPartitions")):
        for number, one in enumerate(rows(disk.get("Partitions")), 1):
            items.append(
                {
                    "name": text(one.get("DeviceIdentifier")),
                    "disk": text(disk.get("DeviceIdentifier")),
                    "number": number,
                    "size_bytes": whole(one.get("Size")),
                    "kind": text(one.get("Content")),
                    "filesystem": None,
                    "label": text(one.get("VolumeName")),
                    "uuid": text(one.get("VolumeUUID")) or text(one.get("DiskUUID")),
                }
            )
    return items
