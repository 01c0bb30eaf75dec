"""What a copy will copy: the items of a tree, walked on this machine or on a device.

Links are never followed and never made: they, and whatever is neither a file nor a folder, are left
out and counted.  Names come from the other end and are hostile until looked at: one that could lead
out of its folder refuses the whole copy.  The walk is bounded in depth and in number.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

import asyncssh

from farhand_protocol.errors import FarhandError

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "PART_PREFIX", "Item", "Plan", "walk_device", "walk_here"]

PART_PREFIX = b".farhand-part-"
MAX_ITEMS = 100_000
MAX_DEPTH = 64
MAX_NAME_BYTES = 255
_SKIPPED_NAMES = 20


@dataclass(frozen=True, slots=True)
class Item:
    """One file or folder of a tree; `path` is relative to the tree's top, which is b""."""

    path: bytes
    folder: bool
    size: int
    mode: int
    modified_at: int


@dataclass
class Plan:
    """The items of a tree, every folder before what it holds."""

    items: list[Item] = field(default_factory=list)
    skipped: int = 0
    skipped_names: list[bytes] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(item.size for item in self.items if not item.folder)

    def add(self, item: Item) -> None:
        """Take one more item.

        Raises:
            FarhandError: `copy-too-large`.
        """
        if len(self.items) >= MAX_ITEMS:
            raise FarhandError(
                "copy-too-large",
                f"there are more than {MAX_ITEMS} files and folders",
                hint="rsync copes with them: farhand ssh-config",
            )
        self.items.append(item)

    def skip(self, path: bytes) -> None:
        """Count something that is left out."""
        self.skipped += 1
        if len(self.skipped_names) < _SKIPPED_NAMES:
            self.skipped_names.append(path)

    def take(self, path: bytes, found: os.stat_result | asyncssh.SFTPAttrs) -> bool:
        """Take or leave out what was found at `path`; True when it is a folder."""
        if isinstance(found, os.stat_result):
            mode, size, modified = found.st_mode, found.st_size, int(found.st_mtime)
        else:
            mode, size, modified = found.permissions or 0, found.size or 0, found.mtime or 0
        if stat.S_ISDIR(mode):
            self.add(Item(path, True, 0, stat.S_IMODE(mode) & 0o777, modified))
            return True
        if stat.S_ISREG(mode):
            self.add(Item(path, False, size, stat.S_IMODE(mode) & 0o777, modified))
        else:
            self.skip(path)
        return False


def walk_here(top: str) -> Plan:
    """Return the plan of a file or folder on this machine; blocks for as long as the disk takes.

    Raises:
        FarhandError: `copy-too-large`.
        OSError: something cannot be read.
    """
    plan = Plan()
    folders = [b""] if plan.take(b"", os.stat(top)) else []
    base = os.fsencode(top)
    while folders:
        folder = folders.pop()
        _check_depth(folder)
        with os.scandir(os.path.join(base, folder) if folder else base) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.name.startswith(PART_PREFIX):
                    continue
                path = os.path.join(folder, entry.name) if folder else entry.name
                if plan.take(path, entry.stat(follow_symlinks=False)):
                    folders.append(path)
    return plan


async def walk_device(sftp: asyncssh.SFTPClient, top: bytes) -> Plan:
    """Return the plan of a file or folder on the device.

    Raises:
        FarhandError: `copy-too-large`, `name-refused`.
        asyncssh.SFTPError: something cannot be read.
    """
    plan = Plan()
    folders = [b""] if plan.take(b"", await sftp.stat(top)) else []
    while folders:
        folder = folders.pop()
        _check_depth(folder)
        async for entry in sftp.scandir(top + b"/" + folder if folder else top):
            name = entry.filename
            assert isinstance(name, bytes)
            if name in (b".", b"..") or name.startswith(PART_PREFIX):
                continue
            _check_name(name)
            path = folder + b"/" + name if folder else name
            if plan.take(path, entry.attrs):
                folders.append(path)
    return plan


def _check_name(name: bytes) -> None:
    if not name or b"/" in name or b"\0" in name or len(name) > MAX_NAME_BYTES:
        raise FarhandError(
            "name-refused",
            f"the device lists a name that no folder can hold: {os.fsdecode(name[:80])!r}",
        )


def _check_depth(folder: bytes) -> None:
    if folder.count(b"/") >= MAX_DEPTH:
        raise FarhandError("copy-too-large", f"folders lie more than {MAX_DEPTH} deep")
