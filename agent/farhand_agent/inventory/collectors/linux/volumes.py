"""Section `volumes`: mounted file systems.  How full they are right now is section `usage`."""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.mounts import capacity, data_mounts
from farhand_protocol.errors import FarhandError

__all__ = ["collect", "parse_labels"]


def parse_labels(document: Any) -> dict[str, tuple[str | None, str | None]]:
    """Return label and UUID by device path from `lsblk -J -l -o PATH,LABEL,UUID`.

    Entries of another shape are skipped: labels are an extra here.
    """
    devices = document.get("blockdevices") if isinstance(document, dict) else None
    found: dict[str, tuple[str | None, str | None]] = {}
    for device in devices if isinstance(devices, list) else []:
        if isinstance(device, dict) and isinstance(path := device.get("path"), str):
            label, uuid = device.get("label"), device.get("uuid")
            found[path] = (
                label if isinstance(label, str) else None,
                uuid if isinstance(uuid, str) else None,
            )
    return found


@section("volumes", platform="linux", personal=("label", "uuid"), timeout_s=30.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per mounted file system that holds data; sizes in bytes."""
    try:
        labels = parse_labels(
            context.run_json(["lsblk", "-J", "-l", "-o", "PATH,LABEL,UUID"], timeout_s=5.0)
        )
    except FarhandError as error:
        labels = {}
        context.note(f"no labels: {error.message}")
    items = []
    for mount in data_mounts(context.files):
        size = capacity(mount, context.runner)
        if size is None:
            context.note(f"{mount.target} does not answer")
        label, uuid = labels.get(mount.device, (None, None))
        items.append(
            {
                "mount": mount.target,
                "device": mount.device,
                "filesystem": mount.filesystem,
                "label": label,
                "uuid": uuid,
                "network": mount.network,
                "read_only": mount.read_only,
                "total_bytes": size.total_bytes if size else None,
                "inodes_total": size.inodes_total if size else None,
            }
        )
    return items
