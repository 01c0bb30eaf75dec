"""Section `logical_volumes`: LVM, ZFS and Btrfs, in one shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Denied, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text, whole
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_btrfs", "parse_lvm", "parse_zpool"]

_LVM: Final = (
    ("vgs", "vg", "group", "vg_name,vg_size,vg_free,vg_uuid,vg_attr"),
    ("pvs", "pv", "physical", "pv_name,vg_name,pv_size,pv_free,pv_uuid,pv_attr"),
    ("lvs", "lv", "logical", "lv_name,vg_name,lv_size,lv_uuid,lv_attr,lv_health_status"),
)
_BTRFS: Final = re.compile(r"Label: (?:none|'(.*)')  uuid: ([0-9a-f-]{36})")
_BTRFS_DEVICE: Final = re.compile(r"\s+devid\s+[0-9]+ size ([0-9]+) used ([0-9]+) path .+")


def parse_lvm(document: Any, kind: str, record: str) -> list[dict[str, Any]]:
    """Return one item per row of an LVM report (`--reportformat json --units b --nosuffix`).

    Args:
        document: the parsed JSON.
        kind: "vg", "pv" or "lv".
        record: what the items are called here.

    Raises:
        Malformed: it is no such report.
    """
    reports = document.get("report") if isinstance(document, dict) else None
    if not isinstance(reports, list):
        raise Malformed(f"{kind}s")
    items = []
    for row in (row for report in rows(reports) for row in rows(report.get(kind))):
        attributes = text(row.get(f"{kind}_attr")) or ""
        # The fourth letter of vg_attr and the third of pv_attr are p and m: a device is missing.
        missing = {"vg": attributes[3:4] == "p", "pv": attributes[2:3] == "m"}.get(kind, False)
        items.append(
            {
                "record": record,
                "name": text(row.get(f"{kind}_name")),
                "group": text(row.get("vg_name")),
                "size_bytes": whole(row.get(f"{kind}_size")),
                "free_bytes": whole(row.get(f"{kind}_free")),
                "uuid": text(row.get(f"{kind}_uuid")),
                "health": text(row.get("lv_health_status")) or ("missing" if missing else "ok"),
            }
        )
    return items


def parse_zpool(output: str) -> list[dict[str, Any]]:
    """Return one item per pool of `zpool list -Hp -o name,size,free,guid,health`."""
    items = []
    for line in output.split("\n"):
        fields = line.split("\t")
        if len(fields) != 5:
            continue
        name, size, free, guid, health = fields
        items.append(_pool(name, whole(size), whole(free), guid, health.lower()))
    return items


def parse_btrfs(output: str) -> list[dict[str, Any]]:
    """Return one item per file system of `btrfs filesystem show --raw`."""
    items: list[dict[str, Any]] = []
    for line in output.split("\n"):
        if found := _BTRFS.match(line):
            items.append(_pool(found[1] or found[2], 0, 0, found[2], "ok"))
        elif items and (device := _BTRFS_DEVICE.fullmatch(line)):
            size, used = whole(device[1]) or 0, whole(device[2]) or 0
            items[-1]["size_bytes"] += size
            items[-1]["free_bytes"] += size - used
        elif items and "Some devices missing" in line:
            items[-1]["health"] = "missing"
    return items


def _pool(name: str, size: int | None, free: int | None, uuid: str, health: str) -> dict[str, Any]:
    return {
        "record": "pool", "name": name, "group": None, "size_bytes": size, "free_bytes": free,
        "uuid": uuid, "health": health,
    }  # fmt: skip


@section("logical_volumes", platform="linux", personal=("uuid",), timeout_s=40.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per group, physical and logical volume, and per pool.

    Raises:
        Unsupported: none of the tools is installed.
        Denied: LVM is here and needs root.
    """
    items: list[dict[str, Any]] = []
    asked = 0
    for program, kind, record, columns in _LVM:
        argv = [program, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns]
        try:
            outcome = context.run(argv, ok=None)
        except CommandMissing:
            continue
        if outcome.exit_code != 0 and not context.privileged:
            raise Denied("the state of LVM needs root")
        asked += 1
        found = parse_lvm(context.parse_json(outcome.stdout, program), kind, record)
        # With a disk missing it tells what is left, and ends with an error.
        if outcome.exit_code != 0 and not found:
            raise CommandFailed(program, outcome.exit_code)
        items += found
    others: tuple[tuple[list[str], Callable[[str], list[dict[str, Any]]]], ...] = (
        (["zpool", "list", "-Hp", "-o", "name,size,free,guid,health"], parse_zpool),
        (["btrfs", "filesystem", "show", "--raw"], parse_btrfs),
    )
    for argv, parse in others:
        try:
            # 1: the kernel's module is not loaded, so nothing of it is here.
            outcome = context.run(argv, ok=(0, 1))
        except CommandMissing:
            continue
        asked += 1
        items += parse(outcome.text)
    if not asked:
        raise Unsupported("neither lvm2 nor zfsutils nor btrfs-progs is installed")
    return items
