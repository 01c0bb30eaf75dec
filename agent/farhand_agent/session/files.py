"""The `files` scope: an SFTP server (version 3) that stays inside its roots.

asyncssh's own server serves the whole file system, reads 4 MiB at a time and follows links out of
its chroot.  This one
  - resolves every path to the real one, links and all, and refuses what lies outside the roots;
  - makes no link that leads out, and refuses all changes where the policy says read-only;
  - reads and writes at most 128 KiB per request and takes no larger packet, so that neither end
    holds hundreds of megabytes;
  - opens regular files and folders only, so that no pipe or device can hang it;
  - notes each file read or written, with its hash where that was done whole, and each refusal;
  - answers exit status 0 at its end, without which OpenSSH's scp calls a good copy failed.

Paths are checked and used by one worker thread, one request after the other, so that a request
cannot slip a link in between the check and the use of another.  Another program on the device
still can; it runs with rights of its own there.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncssh
from asyncssh.packet import SSHPacket
from asyncssh.sftp import SFTPLimits, SFTPServerHandler

from farhand_agent.session.actions import ActionKind, ActionLog

__all__ = ["MAX_BLOCK_BYTES", "FileServer", "Roots", "serve_files"]

_log = logging.getLogger(__name__)

MAX_BLOCK_BYTES = 128 * 1024
MAX_PACKET_BYTES = MAX_BLOCK_BYTES + 4096
MAX_HANDLES = 64
# Parallel writes arrive in order; parallel reads of one file may be a few blocks apart.
MAX_OUT_OF_ORDER_BYTES = 4 * 1024 * 1024
_NAMES_PER_READ = 128

T = TypeVar("T")


def _refused(words: str) -> asyncssh.SFTPPermissionDenied:
    return asyncssh.SFTPPermissionDenied(words)


@dataclass(frozen=True)
class Roots:
    """Which part of the file system a session may see.

    Args:
        folders: real, absolute folders; empty means everything that the session's user can see.
        start: where relative paths begin: the first root, else the user's home.
        read_only: whether every change is refused.
    """

    folders: tuple[str, ...]
    start: str
    read_only: bool

    @classmethod
    def of(cls, folders: Sequence[str], home: str, *, read_only: bool) -> Roots:
        """Return the roots of a policy; a root that is not there allows nothing."""
        real = tuple(os.path.realpath(one) for one in folders)
        start = real[0] if real else os.path.realpath(home)
        return cls(real, start, read_only)

    def absolute(self, path: bytes) -> str:
        """Return a console's path as an absolute one; nothing is checked yet."""
        text = os.fsdecode(path)
        if "\0" in text:
            raise asyncssh.SFTPInvalidFilename("a path holds no zero byte")
        return os.path.join(self.start, text)

    def inside(self, real: str) -> bool:
        """Tell whether a path without links lies within the roots."""
        return not self.folders or any(
            real == one or real.startswith(one.rstrip("/") + "/") for one in self.folders
        )

    def target(self, path: bytes) -> str:
        """Return the real path that `path` leads to, every link followed.

        Raises:
            asyncssh.SFTPPermissionDenied: it lies outside the roots.
        """
        real = os.path.realpath(self.absolute(path))
        if not self.inside(real):
            raise _refused("outside the folders that this session may see")
        return real

    def entry(self, path: bytes) -> str:
        """Return the path of a folder's entry itself: all links followed but the last name.

        Raises:
            asyncssh.SFTPPermissionDenied: it lies outside the roots, or is a root itself.
        """
        absolute = self.absolute(path).rstrip("/") or "/"
        name = os.path.basename(absolute)
        if name in ("", ".", ".."):
            return self.target(path)
        real = os.path.join(os.path.realpath(os.path.dirname(absolute)), name)
        if not self.inside(real):
            raise _refused("outside the folders that this session may see")
        return real


@dataclass
class _Flow:
    """One direction of an open file: what passed, and its hash while it is without a gap."""

    next: int = 0
    whole: bool = True
    digest: Any = field(default_factory=hashlib.sha256)
    early: dict[int, bytes] = field(default_factory=dict)
    early_bytes: int = 0
    touched: bool = False

    def add(self, offset: int, data: bytes) -> None:
        """Note bytes that were read or written."""
        self.touched = True
        if not self.whole:
            return
        if offset != self.next:
            self.early_bytes += len(data)
            if offset < self.next or self.early_bytes > MAX_OUT_OF_ORDER_BYTES:
                self.whole = False
                self.early.clear()
            else:
                self.early[offset] = data
            return
        self._take(data)
        while (waiting := self.early.pop(self.next, None)) is not None:
            self.early_bytes -= len(waiting)
            self._take(waiting)

    def _take(self, data: bytes) -> None:
        self.digest.update(data)
        self.next += len(data)

    def summary(self, size: int) -> tuple[int | None, str | None]:
        """Return size and hash when all of a file of `size` bytes passed, else (None, None)."""
        if self.whole and not self.early and self.next == size:
            return size, self.digest.hexdigest()
        return None, None


@dataclass
class _OpenFile:
    """One open handle."""

    fd: int
    path: str
    read: _Flow = field(default_factory=_Flow)
    written: _Flow = field(default_factory=_Flow)
    append: bool = False


class FileServer(asyncssh.SFTPServer):
    """Answers the requests of one SFTP channel.

    Args:
        chan: the channel.
        roots: what may be seen.
        actions: where files and refusals are noted.
    """

    def __init__(
        self, chan: asyncssh.SSHServerChannel[bytes], roots: Roots, actions: ActionLog
    ) -> None:
        super().__init__(chan)
        self._roots = roots
        self._actions = actions
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="files")
        self._open = 0

    async def _do(self, act: Callable[[], T], kind: ActionKind | None = None, what: str = "") -> T:
        """Run a path operation in the worker; note it when it is a change, or was refused."""
        if kind == "file-change" and self._roots.read_only:
            self._actions.add("denied", f"files: {what} (read-only)")
            raise _refused("this session may read files only")
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._worker, act)
        except asyncssh.SFTPPermissionDenied:
            self._actions.add("denied", f"files: {what}")
            raise
        except ValueError as error:
            raise asyncssh.SFTPInvalidFilename("the path cannot be used") from error
        if kind is not None:
            self._actions.add(kind, what)
        return result

    # Files.

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Open a regular file."""
        writing = bool(pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT))
        shown = _shown("open", path)
        if writing and self._roots.read_only:
            self._actions.add("denied", f"files: {shown} for writing (read-only)")
            raise _refused("this session may read files only")
        if self._open >= MAX_HANDLES:
            raise asyncssh.SFTPFailure("too many open files")
        flags = _open_flags(pflags)
        mode = 0o666 if attrs.permissions is None else stat.S_IMODE(attrs.permissions) & 0o777
        handle = await self._do(
            lambda: self._open_now(path, flags, mode, bool(pflags & asyncssh.FXF_APPEND)),
            what=shown,
        )
        self._open += 1
        return handle

    def _open_now(self, path: bytes, flags: int, mode: int, append: bool) -> _OpenFile:
        real = self._roots.target(path)
        if os.path.lexists(real) and not stat.S_ISREG(os.lstat(real).st_mode):
            if os.path.isdir(real):
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            raise _refused("neither a file nor a folder")
        # `real` holds no link; O_NOFOLLOW and O_NONBLOCK are for what changed a moment ago.
        fd = os.open(real, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _refused("neither a file nor a folder")
        return _OpenFile(fd, real, append=append)

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Read at most `MAX_BLOCK_BYTES`."""
        file = _as_file(file_obj)
        data = await self._do(lambda: os.pread(file.fd, min(size, MAX_BLOCK_BYTES), offset))
        file.read.add(offset, data)
        return data

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Write a block; all of it or an error."""
        file = _as_file(file_obj)

        def act() -> None:
            view, at = memoryview(data), offset
            while view:
                done = os.write(file.fd, view) if file.append else os.pwrite(file.fd, view, at)
                view, at = view[done:], at + done

        await self._do(act)
        file.written.add(offset, data)
        return len(data)

    async def close(self, file_obj: object) -> None:
        """Close a file and note what was done with it."""
        file = _as_file(file_obj)
        self._open -= 1

        def act() -> int:
            try:
                return os.fstat(file.fd).st_size
            finally:
                os.close(file.fd)

        size = await self._do(act)
        if file.written.touched:
            total, sha256 = file.written.summary(size)
            self._actions.add("file-write", file.path, size_bytes=total, sha256=sha256)
        if file.read.touched:
            total, sha256 = file.read.summary(size)
            self._actions.add("file-read", file.path, size_bytes=total, sha256=sha256)

    async def fstat(self, file_obj: object) -> os.stat_result:
        """Return the attributes of an open file."""
        return os.fstat(_as_file(file_obj).fd)

    async def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """Change the attributes of an open file."""
        file = _as_file(file_obj)
        await self._do(
            lambda: _set_attributes(file.fd, attrs), "file-change", f"attributes {file.path}"
        )

    async def fstatvfs(self, file_obj: object) -> os.statvfs_result:
        """Return the room on an open file's disk."""
        return os.fstatvfs(_as_file(file_obj).fd)

    async def fsync(self, file_obj: object) -> None:
        """Wait until an open file is on the disk."""
        file = _as_file(file_obj)
        await self._do(lambda: os.fsync(file.fd))

    # Looking around; not noted, unless refused.

    async def stat(self, path: bytes) -> os.stat_result:
        """Return attributes, links followed."""
        return await self._do(lambda: os.stat(self._roots.target(path)), what=_shown("stat", path))

    async def lstat(self, path: bytes) -> os.stat_result:
        """Return attributes of the entry itself."""
        return await self._do(lambda: os.lstat(self._roots.entry(path)), what=_shown("lstat", path))

    async def statvfs(self, path: bytes) -> os.statvfs_result:
        """Return the room on a disk."""
        return await self._do(
            lambda: os.statvfs(self._roots.target(path)), what=_shown("statvfs", path)
        )

    async def realpath(self, path: bytes) -> bytes:
        """Return the real path; one outside the roots is refused, not shown."""
        return await self._do(
            lambda: os.fsencode(self._roots.target(path)), what=_shown("realpath", path)
        )

    async def readlink(self, path: bytes) -> bytes:
        """Return where a link points."""
        return await self._do(
            lambda: os.fsencode(os.readlink(self._roots.entry(path))),
            what=_shown("readlink", path),
        )

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """List a folder, in pieces."""

        def start() -> Any:
            return os.scandir(self._roots.target(path))

        def more(entries: Any) -> list[asyncssh.SFTPName]:
            names = []
            for entry in entries:
                try:
                    attrs = asyncssh.SFTPAttrs.from_local(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # removed a moment ago
                names.append(asyncssh.SFTPName(os.fsencode(entry.name), attrs=attrs))
                if len(names) == _NAMES_PER_READ:
                    break
            return names

        entries = await self._do(start, what=_shown("list", path))
        try:
            for dots in (b".", b".."):
                yield asyncssh.SFTPName(dots, attrs=asyncssh.SFTPAttrs())
            while names := await self._do(lambda: more(entries)):
                for name in names:
                    yield name
        finally:
            entries.close()

    # Changes.

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Change attributes."""
        await self._do(
            lambda: _set_attributes(self._roots.target(path), attrs),
            "file-change",
            _shown("attributes", path),
        )

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Change attributes of an entry itself; not of a link, whose own say nothing."""

        def act() -> None:
            entry = self._roots.entry(path)
            if not os.path.islink(entry):
                _set_attributes(entry, attrs)

        await self._do(act, "file-change", _shown("attributes", path))

    async def remove(self, path: bytes) -> None:
        """Remove a file or a link."""
        await self._do(
            lambda: os.remove(self._roots.entry(path)), "file-change", _shown("remove", path)
        )

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a folder."""
        mode = 0o777 if attrs.permissions is None else stat.S_IMODE(attrs.permissions) & 0o777
        await self._do(
            lambda: os.mkdir(self._roots.entry(path), mode), "file-change", _shown("mkdir", path)
        )

    async def rmdir(self, path: bytes) -> None:
        """Remove an empty folder."""
        await self._do(
            lambda: os.rmdir(self._roots.entry(path)), "file-change", _shown("rmdir", path)
        )

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, never over something."""

        def act() -> None:
            old, new = self._roots.entry(oldpath), self._roots.entry(newpath)
            if os.path.lexists(new):
                raise asyncssh.SFTPFileAlreadyExists("there is a file of that name")
            os.rename(old, new)

        await self._do(act, "file-change", _shown("rename", oldpath, newpath))

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, replacing what is there."""
        await self._do(
            lambda: os.replace(self._roots.entry(oldpath), self._roots.entry(newpath)),
            "file-change",
            _shown("rename", oldpath, newpath),
        )

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a link that leads somewhere within the roots."""

        def act() -> None:
            entry = self._roots.entry(newpath)
            # As the kernel will see it: relative to the folder that holds the link.
            self._roots.target(os.path.join(os.fsencode(os.path.dirname(entry)), oldpath))
            os.symlink(os.fsdecode(oldpath), entry)

        await self._do(act, "file-change", _shown("symlink", oldpath, newpath))

    async def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a hard link to a file within the roots."""
        await self._do(
            lambda: os.link(self._roots.target(oldpath), self._roots.entry(newpath)),
            "file-change",
            _shown("link", oldpath, newpath),
        )

    async def exit(self) -> None:
        """End: the worker goes, and the console gets exit status 0."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        if not self.channel.is_closing():
            self.channel.exit(0)


class _BoundedHandler(SFTPServerHandler):
    """asyncssh's packet handler with our limits, and without its own extensions.

    `copy-data` would copy without being noted, `ranges@asyncssh.com` serves only its own client.
    """

    _extensions = [  # noqa: RUF012 - declared by asyncssh
        (name, value)
        for name, value in SFTPServerHandler._extensions
        if name not in (b"copy-data", b"ranges@asyncssh.com", b"vendor-id", b"newline")
    ]

    async def recv_packet(self) -> SSHPacket:
        """Read one packet, refusing a large one before it is buffered."""
        assert self._reader is not None
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if length > MAX_PACKET_BYTES:
            raise asyncssh.SFTPBadMessage("the packet is too large")
        return SSHPacket(await self._reader.readexactly(length))

    async def _limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(MAX_PACKET_BYTES, MAX_BLOCK_BYTES, MAX_BLOCK_BYTES, MAX_HANDLES)

    _packet_handlers = {  # noqa: RUF012 - declared by asyncssh
        **{
            kind: handler
            for kind, handler in SFTPServerHandler._packet_handlers.items()
            if kind not in (b"copy-data", b"ranges@asyncssh.com")
        },
        b"limits@openssh.com": _limits,  # type: ignore[dict-item]
    }


async def serve_files(
    server: FileServer, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]
) -> None:
    """Serve one SFTP channel to its end."""
    try:
        await _BoundedHandler(server, reader, writer, 3).run()
    except asyncio.IncompleteReadError:
        # asyncssh does not expect a console that leaves before its first packet.
        await server.exit()


def _as_file(file_obj: object) -> _OpenFile:
    assert isinstance(file_obj, _OpenFile)
    return file_obj


def _shown(verb: str, *paths: bytes) -> str:
    return " ".join([verb, *(posixpath.normpath(os.fsdecode(one) or ".") for one in paths)])


def _open_flags(pflags: int) -> int:
    reading, writing = pflags & asyncssh.FXF_READ, pflags & asyncssh.FXF_WRITE
    flags = os.O_RDWR if reading and writing else os.O_WRONLY if writing else os.O_RDONLY
    wanted = (
        (asyncssh.FXF_APPEND, os.O_APPEND),
        (asyncssh.FXF_CREAT, os.O_CREAT),
        (asyncssh.FXF_TRUNC, os.O_TRUNC),
        (asyncssh.FXF_EXCL, os.O_EXCL),
    )
    for bit, flag in wanted:
        if pflags & bit:
            flags |= flag
    return flags


def _set_attributes(where: str | int, attrs: asyncssh.SFTPAttrs) -> None:
    """Apply the attributes of SFTP version 3; set-id and sticky bits are never set."""
    if attrs.size is not None:
        os.truncate(where, attrs.size)
    if attrs.uid is not None and attrs.gid is not None:
        os.chown(where, attrs.uid, attrs.gid)
    if attrs.permissions is not None:
        os.chmod(where, stat.S_IMODE(attrs.permissions) & 0o777)
    if attrs.atime is not None and attrs.mtime is not None:
        os.utime(where, times=(attrs.atime, attrs.mtime))
