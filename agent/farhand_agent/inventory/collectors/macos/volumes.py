"""Section `volumes`: what is mounted, but for macOS' own helpers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.collectors.macos.understood import require_lines
from farhand_agent.inventory.context import Context

__all__ = ["Mounted", "collect", "mounted", "parse_df", "parse_mount", "sizes"]

_MOUNT: Final = re.compile(r"(\S+) on (/.*) \(([a-z0-9]+)((?:, [^,)]+)*)\)")
# df -Pk: source, blocks of 1 KiB, used, available, share, mount.
_DF: Final = re.compile(
    r"(\S.*?)\s+([0-9]{1,15})\s+([0-9]{1,15})\s+(-?[0-9]{1,15})\s+([0-9]{1,3})%\s+(/.*)"
)
_NETWORK: Final = ("smbfs", "nfs", "afpfs", "webdav", "cifs", "ftp")
_HELPERS: Final = ("devfs", "autofs", "nullfs", "lifs")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of mount."""

    source: str
    target: str
    filesystem: str
    options: frozenset[str]


def parse_mount(output: str) -> list[Mounted]:
    """Return what `mount` lists; lines of another shape are skipped."""
    found = []
    for line in output.split("\n"):
        parts = _MOUNT.fullmatch(line)
        if parts:
            options = frozenset(one.strip() for one in parts[4].split(",") if one.strip())
            found.append(Mounted(parts[1], parts[2], parts[3], options))
    return found


def parse_df(output: str) -> dict[str, tuple[int, int, int]]:
    """Return size, used and available bytes by mount point, from `df -Pk`."""
    return {
        found[6]: (int(found[2]) * 1024, int(found[3]) * 1024, int(found[4]) * 1024)
        for line in output.split("\n")
        if (found := _DF.fullmatch(line))
    }


def mounted(context: Context) -> list[Mounted]:
    """Return the file systems that hold somebody's data, and those of the network."""
    told = context.run(["mount"]).text
    found = parse_mount(told)
    require_lines(context, "mount", told, len(found))
    return [
        one
        for one in found
        if one.filesystem not in _HELPERS
        and (not one.target.startswith("/System/Volumes/") or one.target.endswith("/Data"))
    ]


def sizes(context: Context) -> dict[str, tuple[int, int, int]]:
    """Return size, used and available bytes by mount point.

    Raises:
        Malformed: no line of df can be read.
    """
    # It ends with 1 where one of them does not answer.
    told = context.run(["df", "-Pk"], ok=(0, 1)).text
    found = parse_df(told)
    require_lines(context, "df", told, len(found), aside="^Filesystem ")
    return found


@macos_section("volumes", personal=("label", "uuid"))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per volume."""
    known = sizes(context)
    return [
        {
            "mount": one.target,
            "device": without_credentials(one.source),
            "filesystem": one.filesystem,
            "label": None,
            "uuid": None,
            "network": one.filesystem in _NETWORK,
            "read_only": "read-only" in one.options,
            "total_bytes": known[one.target][0] if one.target in known else None,
            "inodes_total": None,
        }
        for one in mounted(context)
    ]
