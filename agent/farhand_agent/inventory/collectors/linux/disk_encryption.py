"""Section `disk_encryption`: whether what is mounted is encrypted at rest.  Never a key."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Malformed
from farhand_agent.inventory.json_values import rows, text
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing
from farhand_agent.platforms.mounts import data_mounts
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_ciphers", "parse_layers"]

_MAX_DEPTH: Final = 16
_LUKS: Final = "crypto_LUKS"


def parse_layers(document: Any) -> list[dict[str, Any]]:
    """Return what is mounted or locked in the tree of `lsblk -J -o NAME,PATH,TYPE,FSTYPE,...`.

    Returns:
        Items without their cipher; `device` is the encrypted layer where there is one.

    Raises:
        Malformed: it is not what lsblk prints.
    """
    if not isinstance(document, dict) or not isinstance(document.get("blockdevices"), list):
        raise Malformed("lsblk")
    items: dict[tuple[str | None, str | None], dict[str, Any]] = {}

    def walk(device: dict[str, Any], above: dict[str, Any] | None, depth: int) -> None:
        crypt = device if device.get("type") == "crypt" else above
        mounts = device.get("mountpoints")
        mounts = mounts if isinstance(mounts, list) else [device.get("mountpoint")]
        children = rows(device.get("children"))
        for mount in mounts:
            if where := text(mount):
                source = crypt or device
                path = text(source.get("path"))
                items[where, path] = _item(where, path, crypt is not None)
        if device.get("fstype") == _LUKS and not children:
            path = text(device.get("path"))
            items[None, path] = _item(None, path, True) | {"state": "locked"}
        if depth < _MAX_DEPTH:
            for child in children:
                walk(child, crypt, depth + 1)

    for device in rows(document["blockdevices"]):
        walk(device, None, 0)
    return list(items.values())


def parse_ciphers(output: str) -> dict[str, str]:
    """Return the cipher by mapping name from `dmsetup table --target crypt`."""
    ciphers = {}
    for line in output.split("\n"):
        name, _, rest = line.partition(": ")
        fields = rest.split()
        # START LENGTH crypt CIPHER KEY ...; without --showkeys the key is zeros.
        if len(fields) > 4 and fields[2] == "crypt":
            ciphers[name] = fields[3]
    return ciphers


def _item(mount: str | None, device: str | None, encrypted: bool) -> dict[str, Any]:
    return {
        "mount": mount,
        "device": device,
        "encrypted": encrypted,
        "method": "dm-crypt" if encrypted else None,
        "cipher": None,
        "state": "open" if encrypted else None,
    }


@section("disk_encryption", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per mounted file system or swap area, and per locked device."""
    columns = "NAME,PATH,TYPE,FSTYPE,MOUNTPOINT"
    items = parse_layers(context.run_json(["lsblk", "-J", "-o", columns]))
    ciphers: dict[str, str] = {}
    if any(item["encrypted"] for item in items):
        try:
            ciphers = parse_ciphers(context.run(["dmsetup", "table", "--target", "crypt"]).text)
        except FarhandError as error:
            context.note(f"no ciphers: {error.message}")
    for item in items:
        item["cipher"] = ciphers.get((item["device"] or "").rpartition("/")[2])
    seen = {item["mount"] for item in items}
    for mount in data_mounts(context.files):
        if mount.target not in seen and not mount.network:
            items.append(_other(context, mount.target, mount.device, mount.filesystem))
    return items


def _other(context: Context, target: str, device: str, filesystem: str) -> dict[str, Any]:
    """Return the item of a file system that lsblk cannot place."""
    item = _item(target, device, False) | {"encrypted": None}
    if filesystem == "zfs":
        try:
            argv = ["zfs", "get", "-H", "-o", "value", "encryption", device]
            answer = context.run(argv).text.strip()
        except (CommandFailed, CommandMissing):
            return item
        if answer:
            on = answer != "off"
            item |= {"encrypted": on, "method": "zfs" if on else None}
            item |= {"cipher": answer if on else None, "state": "open" if on else None}
    return item
