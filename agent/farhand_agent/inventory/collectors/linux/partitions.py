"""Section `partitions`: how disks are divided, by the kernel and the partition table."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Malformed
from farhand_agent.inventory.json_values import text, whole
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_lsblk"]

_COLUMNS: Final = "NAME,TYPE,PKNAME,SIZE,PARTTYPE,PARTTYPENAME,FSTYPE,LABEL,UUID,PARTN"
# Before util-linux 2.37 there was no PARTN and before 2.35 no PARTTYPENAME.
_OLD_COLUMNS: Final = "NAME,TYPE,PKNAME,SIZE,PARTTYPE,FSTYPE,LABEL,UUID"
_NO_DEVICE: Final = 32
_UNKNOWN_COLUMN: Final = "unknown column"


def parse_lsblk(document: Any) -> list[dict[str, Any]]:
    """Return one item per partition in the value that `lsblk -J -l -b` printed.

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
        if device.get("type") != "part":
            continue
        digits = name[len(name.rstrip("0123456789")) :]
        items.append(
            {
                "name": name,
                "disk": text(device.get("pkname")),
                "number": whole(device.get("partn")) or whole(digits),
                "size_bytes": whole(device.get("size")),
                "kind": text(device.get("parttypename")) or text(device.get("parttype")),
                "filesystem": text(device.get("fstype")),
                "label": text(device.get("label")),
                "uuid": text(device.get("uuid")),
            }
        )
    return items


@section("partitions", platform="linux", personal=("label", "uuid"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per partition."""
    outcome = context.run(["lsblk", "-J", "-l", "-b", "-o", _COLUMNS], ok=None)
    if outcome.exit_code != 0 and _UNKNOWN_COLUMN in outcome.error_text:
        outcome = context.run(["lsblk", "-J", "-l", "-b", "-o", _OLD_COLUMNS], ok=None)
    items = parse_lsblk(context.parse_json(outcome.stdout, "lsblk"))
    if outcome.exit_code not in (0, _NO_DEVICE) and not items:
        raise CommandFailed("lsblk", outcome.exit_code)
    return items
