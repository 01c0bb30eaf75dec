"""Mounted file systems that hold a person's data, and how full they are.

Pseudo file systems, read-only images (snaps, live media) and bind mounts of the same device are
left out.  A network file system is asked through a child that can be killed, because a dead server
would hold this process for ever.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.platforms.commands import CommandMissing, CommandTimeout, Runner
from farhand_agent.platforms.files import SystemFiles

__all__ = ["Capacity", "Mount", "capacity", "data_mounts", "parse_mountinfo"]

_LOCAL: Final = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "f2fs",
        "jfs",
        "reiserfs",
        "bcachefs",
        "vfat",
        "exfat",
        "ntfs",
        "ntfs3",
        "fuseblk",
        "hfsplus",
        "nilfs2",
        "overlay",
        "udf",
        "ufs",
        "msdos",
    ]
)
_NETWORK: Final = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "afs",
        "9p",
        "lustre",
        "davfs",
    ]
)
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    target: str
    device: str
    filesystem: str
    read_only: bool
    network: bool
    number: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """How large and how full a file system is.

    `available_bytes` is what ordinary users can still write; `used_percent` is what `df` shows:
    used of what ordinary users could ever have.  Inodes are None where the kind has no such count.
    """

    total_bytes: int
    used_bytes: int
    available_bytes: int
    inodes_total: int | None
    inodes_free: int | None

    @property
    def used_percent(self) -> float:
        """Percent of the usable space that is used, 0 to 100."""
        usable = self.used_bytes + self.available_bytes
        return 100.0 * self.used_bytes / usable if usable else 0.0

    @property
    def inodes_used_percent(self) -> float | None:
        """Percent of the inodes in use, None where they are not counted."""
        if not self.inodes_total or self.inodes_free is None:
            return None
        return 100.0 * (self.inodes_total - self.inodes_free) / self.inodes_total


def parse_mountinfo(text: str) -> list[Mount]:
    """Return every mount in the text of /proc/PID/mountinfo; lines of another shape are skipped.

    Source: proc(5), "/proc/pid/mountinfo".
    """
    mounts = []
    for line in text.split("\n"):
        left, separator, right = line.partition(" - ")
        first, second = left.split(" "), right.split(" ")
        if not separator or len(first) < 6 or len(second) < 2:
            continue
        options = {*first[5].split(","), *(second[2].split(",") if len(second) > 2 else ())}
        filesystem = second[0]
        mounts.append(
            Mount(
                target=_unescape(first[4]),
                device=_unescape(second[1]),
                filesystem=filesystem,
                read_only="ro" in options,
                network=filesystem in _NETWORK,
                number=first[2],
            )
        )
    return mounts


def data_mounts(files: SystemFiles) -> list[Mount]:
    """Return the mounts that hold data, one per device, the shortest path first of each.

    An overlay counts only as the root of a container.
    """
    chosen: dict[str, Mount] = {}
    for mount in parse_mountinfo(files.text("/proc/self/mountinfo") or ""):
        if mount.filesystem not in _LOCAL | _NETWORK:
            continue
        if mount.filesystem == "overlay" and mount.target != "/":
            continue
        # Subvolumes of btrfs have device numbers of their own and share one device and its space.
        key = mount.device if mount.filesystem == "btrfs" else mount.number
        known = chosen.get(key)
        if known is None or len(mount.target) < len(known.target):
            chosen[key] = mount
    return sorted(chosen.values(), key=lambda mount: mount.target)


def capacity(mount: Mount, run: Runner, *, timeout_s: float = 5.0) -> Capacity | None:
    """Return how full a mount is, None when nobody can say (a dead server, no permission).

    Args:
        mount: from `data_mounts`.
        run: starts the child for network mounts.
        timeout_s: how long a network mount may take.
    """
    try:
        if not mount.network:
            found = os.statvfs(mount.target)
            numbers = [
                found.f_frsize, found.f_blocks, found.f_bfree,
                found.f_bavail, found.f_files, found.f_ffree,
            ]  # fmt: skip
        else:
            outcome = run(
                ["stat", "-f", "-c", "%S %b %f %a %c %d", "--", mount.target], timeout_s=timeout_s
            )
            numbers = [int(word) for word in outcome.stdout.split() if word.isdigit()]
    except (OSError, CommandTimeout, CommandMissing):
        return None
    if len(numbers) != 6:
        return None
    size, blocks, free, available, inodes, inodes_free = numbers
    if blocks <= 0:
        return None
    return Capacity(
        total_bytes=blocks * size,
        used_bytes=(blocks - free) * size,
        available_bytes=available * size,
        inodes_total=inodes or None,
        inodes_free=inodes_free if inodes else None,
    )


def _unescape(field: str) -> str:
    # The kernel writes blank, tab, newline and backslash as three octal digits each.
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)
