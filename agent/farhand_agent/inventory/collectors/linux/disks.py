"""Section `disks`: physical disks as the kernel sees them.  Their health is a later section."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.fillers import real_value
from farhand_agent.inventory.hardware_ids import HardwareIds
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_lsblk"]

_COLUMNS: Final = (
    "NAME,TYPE,SIZE,MODEL,SERIAL,REV,WWN,VENDOR,TRAN,ROTA,RM,RO,PTTYPE,LOG-SEC,PHY-SEC"
)
_KERNEL: Final = {
    "model": ("device/model",),
    "vendor": ("device/vendor",),
    "serial": ("serial", "device/serial"),
    "firmware": ("device/firmware_rev", "device/rev"),
}
_VIRTUAL: Final = ("loop", "ram", "zram", "fd", "nbd", "sr")


def parse_lsblk(document: Any) -> list[dict[str, Any]]:
    """Return one item per disk in the value that `lsblk -J -b` printed.

    Old versions write numbers and truth values as text ("0", "1"); both are read.

    Raises:
        Malformed: it is not what lsblk prints.
    """
    devices = document.get("blockdevices") if isinstance(document, dict) else None
    if not isinstance(devices, list):
        raise Malformed("lsblk")
    items = []
    for device in devices:
        if not isinstance(device, dict) or not isinstance(name := device.get("name"), str):
            raise Malformed("lsblk")
        size = _number(device.get("size"))
        if device.get("type") != "disk" or name.startswith(_VIRTUAL) or not size:
            continue
        items.append(
            {
                "name": name,
                "size_bytes": size,
                "model": _text(device.get("model")),
                "vendor": _text(device.get("vendor")),
                "serial": _text(device.get("serial")),
                "firmware": _text(device.get("rev")),
                "wwn": _text(device.get("wwn")),
                "bus": _text(device.get("tran")) or ("virtio" if name.startswith("vd") else None),
                "rotational": _truth(device.get("rota")),
                "removable": _truth(device.get("rm")),
                "read_only": _truth(device.get("ro")),
                "partition_table": _text(device.get("pttype")),
                "logical_sector_bytes": _number(device.get("log-sec")),
                "physical_sector_bytes": _number(device.get("phy-sec")),
            }
        )
    return items


@section("disks", platform="linux", personal=("serial", "wwn"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per physical disk, without loop devices, RAM disks and the like."""
    items = parse_lsblk(context.run_json(["lsblk", "-J", "-b", "-d", "-o", _COLUMNS]))
    ids = HardwareIds(context.files, "pci.ids")
    for item in items:
        # lsblk knows names and serial numbers from udev; where that does not run, the kernel does.
        folder = f"/sys/block/{item['name']}"
        for field, names in _KERNEL.items():
            found = (real_value(context.files.line(f"{folder}/{name}")) for name in names)
            item[field] = real_value(item[field]) or next((one for one in found if one), None)
        number = item["vendor"] or ""
        if number.startswith("0x"):
            item["vendor"] = ids.vendor(number.removeprefix("0x").lower()) or number
    return items


def _text(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19
    return int(str(value)) if digits else None


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"0": False, "1": True}.get(str(value))
