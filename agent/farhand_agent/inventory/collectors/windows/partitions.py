"""Section `partitions`: how disks are divided."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned
from farhand_agent.inventory.collectors.windows.volumes import volume_id
from farhand_agent.inventory.json_values import whole

__all__ = ["drive_letter", "parse"]

# Source: winioctl.h, PARTITION_INFORMATION_GPT.
_GPT: Final = {
    "{c12a7328-f81f-11d2-ba4b-00a0c93ec93b}": "EFI system",
    "{e3c9e316-0b5c-4db8-817d-f92df00215ae}": "Microsoft reserved",
    "{ebd0a0a2-b9e5-4433-87c0-68b6b72699c7}": "basic data",
    "{de94bba4-06d1-4d40-a16a-bfd50179d6ac}": "recovery",
    "{5808c8aa-7e8f-42e0-85d2-e1e90434cfb3}": "LDM metadata",
    "{af9b60a0-1431-4f62-bc68-3311714a69ad}": "LDM data",
    "{e75caf8f-f680-4cee-afa3-b001e56efc2d}": "storage spaces",
    "{0fc63daf-8483-4772-8e79-3d69d8477de4}": "Linux",
}  # fmt: skip
_MBR: Final = {1: "FAT12", 4: "FAT16", 5: "extended", 6: "FAT16", 7: "NTFS", 12: "FAT32"}


def drive_letter(value: object) -> str | None:
    """Return a letter as "C:"; PowerShell writes a character, its code, or zero for none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = chr(value) if 65 <= value <= 90 else None
    letter = (said(value) or "").strip("\0 :").upper()
    return f"{letter}:" if len(letter) == 1 and letter.isalpha() and letter.isascii() else None


@windows_section("partitions", parts=("partitions", "volumes"), personal=("label", "uuid"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per partition, with what its volume says where it has a letter or path."""
    volumes = told.also("volumes")
    letters = {drive_letter(one.get("DriveLetter")): one for one in volumes}
    devices = {said(one.get("DeviceID")): one for one in volumes}
    items = []
    for one in told.rows("partitions"):
        disk, number = whole(one.get("DiskNumber")), whole(one.get("PartitionNumber"))
        letter = drive_letter(one.get("DriveLetter"))
        volume = letters.get(letter) if letter else None
        paths = one.get("AccessPaths")
        for path in paths if isinstance(paths, list) else [paths]:
            volume = volume or devices.get(said(path) or "-")
        volume = volume or {}
        kind = _GPT.get((said(one.get("GptType")) or "").lower())
        mbr = whole(one.get("MbrType"))
        items.append(
            {
                "name": letter or f"Disk{disk}Partition{number}",
                "disk": f"PhysicalDrive{disk}" if disk is not None else None,
                "number": number,
                "size_bytes": unsigned(one.get("Size"), 64),
                "kind": kind or said(one.get("GptType")) or (_MBR.get(mbr) if mbr else None),
                "filesystem": said(volume.get("FileSystem")),
                "label": said(volume.get("Label")),
                "uuid": volume_id(volume.get("SerialNumber")),
            }
        )
    return items
