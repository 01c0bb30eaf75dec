"""cp: files and folders both ways over SFTP, checked, and going on where an earlier try broke off.

Links are neither followed nor made, but for the source that was named.  Modes and times are kept,
empty folders too.  A `Copying` may be run again on another connection, as often as it takes: what
is done stays done, and a file that was under way goes on from its part (files_transfer.py).
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import asyncssh

from farhand_console.session.files_hash import DeviceHashes
from farhand_console.session.files_here import make_folder
from farhand_console.session.files_plan import Item, Plan, walk_device, walk_here
from farhand_console.session.files_transfer import Sent, Wire, fetch_file, is_loss, send_file
from farhand_console.session.scopes import not_open
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["Copied", "Copying", "Endpoint", "Progress", "check_pair", "parse_endpoint"]

# Small files spend their time waiting for answers; so a few are copied side by side.
_SIDE_BY_SIDE = 4


class Endpoint:
    """One side of a copy: a local path, or `S:path` on a device."""

    def __init__(self, session: str | None, path: str) -> None:
        self.session = session
        self.path = path


def parse_endpoint(text: str) -> Endpoint:
    """Read `PATH` or `S:PATH`; a path with a slash before the colon is local."""
    name, colon, path = text.partition(":")
    if colon and name and "/" not in name and not name.startswith("."):
        return Endpoint(name, path or ".")
    return Endpoint(None, text)


def check_pair(source: Endpoint, target: Endpoint) -> str:
    """Return the session that one of the two names.

    Raises:
        UsageError: `usage` unless exactly one side is remote.
    """
    if (source.session is None) == (target.session is None):
        raise UsageError(
            "usage", "one of the two must be on a device", hint="farhand cp FILE SESSION:PATH"
        )
    return source.session or target.session or ""


class Progress(Protocol):
    """What a copy tells the person who waits for it."""

    def begin(self, size_bytes: int, files: int) -> None:
        """Hear what there is to copy; again after a reconnection, with what is left of it."""

    def advance(self, size_bytes: int) -> None:
        """Hear of bytes that arrived, or were there already."""


@dataclass
class Copied:
    """What a copy came to.

    `sha256` is that of the file where one file was copied; `bytes_resumed` counts what earlier
    tries had brought.
    """

    size_bytes: int = 0
    files: int = 0
    folders: int = 0
    skipped: int = 0
    bytes_resumed: int = 0
    sha256: str | None = None


class Copying:
    """One copy, up or down.

    Args:
        source, target: exactly one of them on a device.
        recurse: whether folders are copied.
        resume: whether parts of earlier tries count.
        progress: is told how it goes.
    """

    def __init__(
        self, source: Endpoint, target: Endpoint, *, recurse: bool, resume: bool, progress: Progress
    ) -> None:
        self._up = source.session is None
        self._source = os.fsencode(source.path)
        self._target = os.fsencode(target.path)
        self._recurse = recurse
        self._resume = resume
        self._progress = progress
        self._top: bytes | None = None
        self._done: set[bytes] = set()
        self.plan = Plan()
        self.copied = Copied()

    async def run(self, connection: asyncssh.SSHClientConnection) -> Copied:
        """Copy what is not copied yet.

        Raises:
            FarhandError: `scope-missing`, `copy-failed`, `copy-differs`, `copy-busy`,
                `copy-too-large`, `name-refused`; `session-lost` when the connection is gone.
        """
        try:
            async with (
                connection.start_sftp_client(path_encoding=None) as sftp,
                DeviceHashes(connection) as hashes,
            ):
                await self._copy(Wire(sftp, hashes, self._progress.advance))
        except asyncssh.ChannelOpenError as error:
            raise not_open("files", error) from error
        except ExceptionGroup as group:
            raise self._translated(_first(group)) from group
        except (asyncssh.Error, OSError, UnicodeError) as error:
            raise self._translated(error) from error
        return self.copied

    def _translated(self, error: Exception) -> Exception:
        if not isinstance(error, asyncssh.Error | OSError | UnicodeError):
            return error  # in words already, or a bug of ours
        if is_loss(error):
            return FarhandError("session-lost", "the connection was lost during the copy")
        words = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
        names = [getattr(error, "filename", None) or self._source, self._target]
        what = " to ".join(os.fsdecode(name)[:200] for name in names)
        return FarhandError("copy-failed", f"{what}: {words[:300]}")

    async def _copy(self, wire: Wire) -> None:
        if self._top is None:
            self.plan = await self._walk(wire)
            self.copied.skipped = self.plan.skipped
            self._top = await self._find_top(wire)
        left = [one for one in self.plan.items if not one.folder and one.path not in self._done]
        self._progress.begin(sum(one.size for one in left), len(left))
        folders = [one for one in self.plan.items if one.folder]
        for folder in folders:
            await self._make_folder(wire, folder)
        waiting = iter(left)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_SIDE_BY_SIDE, len(left))):
                group.create_task(self._copy_files(wire, waiting))
        for folder in reversed(folders):
            await self._set_folder(wire, folder)
        self.copied.folders = len(folders)

    async def _walk(self, wire: Wire) -> Plan:
        walk = asyncio.to_thread(walk_here, os.fsdecode(self._source)) if self._up else None
        plan = await (walk or walk_device(wire.sftp, self._source))
        name = os.fsdecode(self._source)[:300]
        if not plan.items:
            raise FarhandError("copy-failed", f"{name} is neither a file nor a folder")
        if plan.items[0].folder and not self._recurse:
            raise FarhandError("copy-failed", f"{name} is a folder", hint="farhand cp -r")
        return plan

    async def _find_top(self, wire: Wire) -> bytes:
        """Return the path of the copy itself: the target, or in it where that is a folder."""
        name = posixpath.basename(posixpath.normpath(self._source))
        if name in (b".", b"..", b"/"):
            name = b""
        if not self._up:
            target = self._target
            into = await asyncio.to_thread(os.path.isdir, target)
            return os.path.realpath(os.path.join(target, name) if into and name else target)
        target = self._target
        if await wire.sftp.isdir(target) and name:
            target = posixpath.join(target, name)
        if not await wire.sftp.exists(target):
            return target
        found = await wire.sftp.stat(target)
        if found.type not in (asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_DIRECTORY):
            words = f"{os.fsdecode(target)[:300]} is neither a file nor a folder"
            raise FarhandError("copy-failed", words)
        real = await wire.sftp.realpath(target)
        assert isinstance(real, bytes)
        return real

    def _paths(self, item: Item) -> tuple[bytes, bytes]:
        assert self._top is not None
        if not item.path:
            return self._source, self._top
        return posixpath.join(self._source, item.path), posixpath.join(self._top, item.path)

    async def _make_folder(self, wire: Wire, folder: Item) -> None:
        _, target = self._paths(folder)
        if not self._up:
            await asyncio.to_thread(make_folder, target)
            return
        try:
            await wire.sftp.mkdir(target, asyncssh.SFTPAttrs(permissions=0o700))
        except asyncssh.SFTPError as error:
            if is_loss(error) or not await wire.sftp.exists(target):
                raise
            found = await wire.sftp.lstat(target)
            if found.type != asyncssh.FILEXFER_TYPE_DIRECTORY:
                words = f"{os.fsdecode(target)[:300]} is no folder"
                raise FarhandError("copy-failed", words) from error

    async def _set_folder(self, wire: Wire, folder: Item) -> None:
        _, target = self._paths(folder)
        at = folder.modified_at
        if self._up:
            attrs = asyncssh.SFTPAttrs(permissions=folder.mode, atime=at, mtime=at)
            await wire.sftp.setstat(target, attrs)
        else:
            await asyncio.to_thread(os.chmod, target, folder.mode)
            await asyncio.to_thread(os.utime, target, (at, at))

    async def _copy_files(self, wire: Wire, waiting: Iterator[Item]) -> None:
        for item in waiting:
            source, target = self._paths(item)
            sent: Sent
            if self._up:
                sent = await send_file(
                    wire, source, target, item, resume=self._resume, follow=not item.path
                )
            else:
                sent = await fetch_file(wire, source, target, item, resume=self._resume)
            self._done.add(item.path)
            self.copied.files += 1
            self.copied.size_bytes += sent.size
            self.copied.bytes_resumed += sent.resumed
            self.copied.sha256 = sent.sha256 if not item.path else None


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """Return what says most: a file's own failure before what the lost connection did to all."""
    leaves: list[Exception] = []
    queue: list[BaseException] = [group]
    while queue:
        one = queue.pop()
        if isinstance(one, BaseExceptionGroup):
            queue.extend(one.exceptions)
        elif isinstance(one, Exception):
            leaves.append(one)
    leaves.sort(key=is_loss)
    return leaves[0]
