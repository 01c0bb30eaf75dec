"""Section `disks`: whole disks as the storage service sees them, else as WMI always did."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, word
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.json_values import whole

__all__ = ["BUSES", "parse"]

# Source: MSFT_PhysicalDisk.
BUSES: Final = {
    1: "scsi", 2: "atapi", 3: "ata", 4: "ieee1394", 5: "ssa", 6: "fc", 7: "usb", 8: "raid",
    9: "iscsi", 10: "sas", 11: "sata", 12: "sd", 13: "mmc", 15: "virtual", 16: "spaces",
    17: "nvme", 18: "scm", 19: "ufs",
}  # fmt: skip
_HDD, _SSD, _SCM = 3, 4, 5
_REMOVABLE: Final = ("usb", "sd", "mmc")
_TABLES: Final = {1: "dos", 2: "gpt"}
_EUI: Final = ("eui.", "naa.")


@windows_section("disks", parts=("physical_disks", "disks", "disk_drives"),
                 personal=("serial", "wwn"))  # fmt: skip
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per disk.  Where the storage service is silent, Win32_DiskDrive speaks."""
    plain = {whole(one.get("Number")): one for one in told.also("disks")}
    found = told.also("physical_disks")
    if not found:
        return [_drive(one) for one in told.rows("disk_drives")]
    return [_disk(one, plain.get(whole(one.get("DeviceId")), {})) for one in found]


def _disk(one: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    bus = word(one.get("BusType"), BUSES)
    media = whole(one.get("MediaType"))
    identity = said(one.get("UniqueId")) or ""
    number = said(one.get("DeviceId")) or str(one.get("DeviceId"))
    return {
        "name": f"PhysicalDrive{number}",
        "size_bytes": unsigned(one.get("Size"), 64),
        "model": said(one.get("Model")) or said(one.get("FriendlyName")),
        "vendor": real_value(said(one.get("Manufacturer"))),
        "serial": real_value((said(one.get("SerialNumber")) or "").rstrip(". ")),
        "firmware": said(one.get("FirmwareVersion")),
        "wwn": identity if identity.lower().startswith(_EUI) or len(identity) == 16 else None,
        "bus": bus,
        "rotational": {_HDD: True, _SSD: False, _SCM: False}.get(media) if media else None,
        "removable": bus in _REMOVABLE if bus else None,
        "read_only": plain.get("IsReadOnly") if isinstance(plain.get("IsReadOnly"), bool) else None,
        "partition_table": word(plain.get("PartitionStyle"), _TABLES),
        "logical_sector_bytes": unsigned(one.get("LogicalSectorSize"), 64),
        "physical_sector_bytes": unsigned(one.get("PhysicalSectorSize"), 64),
    }


def _drive(one: dict[str, Any]) -> dict[str, Any]:
    bus = (said(one.get("InterfaceType")) or "").lower() or None
    return {
        "name": f"PhysicalDrive{whole(one.get('Index'))}",
        "size_bytes": unsigned(one.get("Size"), 64),
        "model": said(one.get("Model")),
        "vendor": None,
        "serial": real_value(said(one.get("SerialNumber"))),
        "firmware": said(one.get("FirmwareRevision")),
        "wwn": None,
        # What Windows calls IDE here is any disk of its ATA driver, SATA among them.
        "bus": "ata" if bus == "ide" else bus,
        "rotational": None,
        "removable": bus == "usb" if bus else None,
        "read_only": None,
        "partition_table": None,
        "logical_sector_bytes": unsigned(one.get("BytesPerSector")),
        "physical_sector_bytes": None,
    }
