"""Section `disk_encryption`: FileVault by volume of APFS.  Never a key."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.json_values import rows, text, truth
from farhand_agent.inventory.plists import read_plist

__all__ = ["apfs", "collect", "encryption_items"]


def apfs(context: Context) -> dict[str, Any]:
    """Return what `diskutil apfs list -plist` tells.

    Raises:
        Malformed: it printed something else.
    """
    return read_plist(context.run(["diskutil", "apfs", "list", "-plist"]).stdout, "diskutil apfs")


def encryption_items(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one item per volume.

    Apple's processors encrypt every volume; without FileVault the key asks nobody for a password,
    which is why FileVault decides.
    """
    items = []
    for one in (v for c in rows(document.get("Containers")) for v in rows(c.get("Volumes"))):
        vault, locked = truth(one.get("FileVault")), truth(one.get("Locked"))
        working = truth(one.get("CryptoMigrationOn"))
        state = "locked" if locked else "encrypting" if working else "open" if vault else None
        items.append(
            {
                "mount": text(one.get("MountPoint")),
                "device": text(one.get("DeviceIdentifier")),
                "encrypted": vault,
                "method": "filevault" if vault else None,
                "cipher": None,
                "state": state,
            }
        )
    return items


@macos_section("disk_encryption")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per volume of APFS."""
    return encryption_items(apfs(context))
