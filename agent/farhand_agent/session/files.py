"""The `files` scope: an SFTP server (version 3) that stays inside its roots.

asyncssh's own server serves the whole file system, reads 4 MiB at a time and follows links out of
its chroot.  This one
  - resolves every path to the real one, links and all, and refuses what lies outside the roots;
  - makes no link that leads out, and refuses all changes where the policy says read-only, and files
    beyond the size that it allows;
  - reads and writes at most 128 KiB per request and takes no larger packet, so that neither end
    holds hundreds of megabytes (session/files_protocol.py);
  - opens regular files and folders only, so that no pipe or device can hang it;
  - notes each file read or written, with its hash where that was done whole, and each refusal;
  - answers exit status 0 at its end, without which OpenSSH's scp calls a good copy failed.

Paths are checked and used by one worker thread, one request after the other, so that a request
cannot slip a link in between the check and the use of another.  Another program on the device
still can; it runs with rights of its own there.  Blocks that the kernel holds in memory are read at
once (RWF_NOWAIT): a thread's turn for each costs a third of the speed.

`farhand cp` writes beside its target, under a name that begins with `PART_PREFIX`, and renames when
the hashes agree.  The receipt shall name the file that was meant, so the note about such a part
waits for its renaming; what is never renamed is noted as it stands when the channel ends.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

import asyncssh

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.files_flow import KnownHashes, OpenFile
from farhand_agent.session.files_protocol import (
    MAX_BLOCK_BYTES,
    MAX_HANDLES,
    MAX_UNSENT_BYTES,
    BoundedHandler,
)
from farhand_agent.session.files_roots import Roots, refused
from farhand_agent.session.files_worker import FileWorker
from farhand_agent.session.manners import Manners

__all__ = ["MAX_BLOCK_BYTES", "MAX_PARTS", "PART_PREFIX", "FileServer", "Roots", "serve_files"]

_log = logging.getLogger(__name__)

PART_PREFIX = ".farhand-part-"
# Parts whose note waits for a renaming; past this many they are noted at once.
MAX_PARTS = 256
_NAMES_PER_READ = 128
# Not on every system, nor for every file system of those that have it.
_NOWAIT = getattr(os, "RWF_NOWAIT", None)

T = TypeVar("T")


# Operations that are the same to a person.
_SAME: Final = {
    **dict.fromkeys(("stat", "lstat", "statvfs", "realpath", "readlink"), "look"),
    "symlink": "link",
}


class _Deed(NamedTuple):
    """What an operation is, in English and as a sentence of farhand_agent.deeds."""

    words: str
    message: str
    facts: dict[str, str | int]


class FileServer(asyncssh.SFTPServer):
    """Answers the requests of one SFTP channel.

    Args:
        chan: the channel.
        roots: what may be seen.
        actions: where files and refusals are noted.
        hashes: what whole files of this session hashed to.
    """

    def __init__(
        self,
        chan: asyncssh.SSHServerChannel[bytes],
        roots: Roots,
        actions: ActionLog,
        hashes: KnownHashes | None = None,
    ) -> None:
        super().__init__(chan)
        self._roots = roots
        self._actions = actions
        self._hashes = hashes or KnownHashes()
        self._parts: dict[str, tuple[int | None, str | None]] = {}
        self._worker = FileWorker()
        self._open = 0
        self._block = bytearray(MAX_BLOCK_BYTES)

    def _deny(self, what: _Deed, *, read_only: bool = False, limit: str = "") -> None:
        facts = {**what.facts, "read_only": 1} if read_only else what.facts
        words = f"files: {what.words}{limit}" + (" (read-only)" if read_only else "")
        self._actions.add("denied", words, message=what.message, facts=facts)

    def _changed(self, what: _Deed) -> None:
        self._actions.add("file-change", what.words, message=what.message, facts=what.facts)

    async def _do(
        self, act: Callable[[], T], what: _Deed | None = None, *, changes: bool = False
    ) -> T:
        """Run a path operation in the worker; note it when it is a change, or was refused."""
        if what is not None and changes and self._roots.read_only:
            self._deny(what, read_only=True)
            raise refused("this session may read files only")
        try:
            result = await self._worker.add(act)
        except asyncssh.SFTPPermissionDenied:
            if what is not None:
                self._deny(what)
            raise
        except ValueError as error:
            raise asyncssh.SFTPInvalidFilename("the path cannot be used") from error
        if what is not None and changes:
            self._changed(what)
        return result

    # Files.

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Open a regular file."""
        writing = bool(pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT))
        shown = _shown("open", path)
        if writing and self._roots.read_only:
            self._deny(shown, read_only=True, limit=" for writing")
            raise refused("this session may read files only")
        if self._open >= MAX_HANDLES:
            raise asyncssh.SFTPFailure("too many open files")
        flags = _open_flags(pflags)
        mode = 0o666 if attrs.permissions is None else stat.S_IMODE(attrs.permissions) & 0o777
        handle = await self._do(
            lambda: self._open_now(path, flags, mode, bool(pflags & asyncssh.FXF_APPEND)),
            shown,
        )
        self._open += 1
        return handle

    def _open_now(self, path: bytes, flags: int, mode: int, append: bool) -> OpenFile:
        # Whoever plants a link under a part's name shall not lead a copy elsewhere.
        is_part = os.path.basename(path).startswith(PART_PREFIX.encode())
        real = self._roots.entry(path) if is_part else self._roots.target(path)
        if os.path.lexists(real) and not stat.S_ISREG(os.lstat(real).st_mode):
            if os.path.isdir(real):
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            raise refused("neither a file nor a folder")
        if not flags & (os.O_WRONLY | os.O_TRUNC) and os.path.lexists(real):
            self._roots.check_size(os.lstat(real).st_size)
        # `real` holds no link; O_NOFOLLOW and O_NONBLOCK are for what changed a moment ago.
        fd = os.open(real, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise refused("neither a file nor a folder")
        return OpenFile(fd, real, append=append)

    def read(self, file_obj: object, offset: int, size: int) -> bytes | Awaitable[bytes]:
        """Read at most `MAX_BLOCK_BYTES`: at once what is in memory, else by the worker."""
        file = _as_file(file_obj)
        size = min(size, MAX_BLOCK_BYTES)
        data = self._read_cached(file.fd, offset, size)
        if data is None:
            return self._read_slowly(file, offset, size)
        file.read.add(offset, data)
        return data

    def _read_cached(self, fd: int, offset: int, size: int) -> bytes | None:
        """Return a block if the kernel can give it without waiting, else None."""
        if _NOWAIT is None:
            return None
        block = memoryview(self._block)[:size]
        try:
            length = os.preadv(fd, [block], offset, _NOWAIT)
        except OSError:
            return None  # not in memory, or not supported here: the worker reads, and tells errors
        # Short: the end, or all that was in memory; the worker tells them apart.
        return bytes(block) if length == size else None

    async def _read_slowly(self, file: OpenFile, offset: int, size: int) -> bytes:
        data = await self._do(lambda: os.pread(file.fd, size, offset))
        file.read.add(offset, data)
        return data

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Write a block; all of it or an error."""
        file = _as_file(file_obj)

        def act() -> None:
            at = os.fstat(file.fd).st_size if file.append else offset
            self._roots.check_size(at + len(data))
            view = memoryview(data)
            while view:
                done = os.write(file.fd, view) if file.append else os.pwrite(file.fd, view, at)
                view, at = view[done:], at + done
            file.written.add(offset, data)

        await self._do(act, _Deed(f"write {file.path}", "files-write", {"path": file.path}))
        return len(data)

    async def close(self, file_obj: object) -> None:
        """Close a file and note what was done with it."""
        file = _as_file(file_obj)
        self._open -= 1

        def act() -> os.stat_result:
            try:
                return os.fstat(file.fd)
            finally:
                os.close(file.fd)

        found = await self._do(act)
        if file.written.touched:
            total, sha256 = file.written.summary(found.st_size)
            named = os.path.basename(file.path).startswith(PART_PREFIX)
            if named and len(self._parts) < MAX_PARTS:
                self._parts[file.path] = total, sha256
            else:
                self._actions.add("file-write", file.path, size_bytes=total, sha256=sha256)
        if file.read.touched:
            total, sha256 = file.read.summary(found.st_size)
            self._actions.add("file-read", file.path, size_bytes=total, sha256=sha256)
            if sha256 is not None:
                self._hashes.note(found, sha256)

    async def fstat(self, file_obj: object) -> os.stat_result:
        """Return the attributes of an open file."""
        return os.fstat(_as_file(file_obj).fd)

    async def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """Change the attributes of an open file."""
        file = _as_file(file_obj)
        # Those of a part belong to its writing, and are noted with that.
        deed = _Deed(f"attributes {file.path}", "files-attributes", {"path": file.path})
        await self._do(
            lambda: self._set_attributes(file.fd, attrs), deed, changes=not file.written.touched
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
        return await self._do(lambda: os.stat(self._roots.target(path)), _shown("stat", path))

    async def lstat(self, path: bytes) -> os.stat_result:
        """Return attributes of the entry itself."""
        return await self._do(lambda: os.lstat(self._roots.entry(path)), _shown("lstat", path))

    async def statvfs(self, path: bytes) -> os.statvfs_result:
        """Return the room on a disk."""
        return await self._do(lambda: os.statvfs(self._roots.target(path)), _shown("statvfs", path))

    async def realpath(self, path: bytes) -> bytes:
        """Return the real path; one outside the roots is refused, not shown."""
        return await self._do(
            lambda: os.fsencode(self._roots.target(path)), _shown("realpath", path)
        )

    async def readlink(self, path: bytes) -> bytes:
        """Return where a link points."""
        return await self._do(
            lambda: os.fsencode(os.readlink(self._roots.entry(path))),
            _shown("readlink", path),
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

        entries = await self._do(start, _shown("list", path))
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
            lambda: self._set_attributes(self._roots.target(path), attrs),
            _shown("attributes", path),
            changes=True,
        )

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Change attributes of an entry itself; not of a link, whose own say nothing."""

        def act() -> None:
            entry = self._roots.entry(path)
            if not os.path.islink(entry):
                self._set_attributes(entry, attrs)

        await self._do(act, _shown("attributes", path), changes=True)

    def _set_attributes(self, where: str | int, attrs: asyncssh.SFTPAttrs) -> None:
        """Apply the attributes of SFTP version 3; set-id and sticky bits are never set."""
        if attrs.size is not None:
            self._roots.check_size(attrs.size)
            os.truncate(where, attrs.size)
        if attrs.uid is not None and attrs.gid is not None:
            os.chown(where, attrs.uid, attrs.gid)
        if attrs.permissions is not None:
            os.chmod(where, stat.S_IMODE(attrs.permissions) & 0o777)
        if attrs.atime is not None and attrs.mtime is not None:
            os.utime(where, times=(attrs.atime, attrs.mtime))

    async def remove(self, path: bytes) -> None:
        """Remove a file or a link."""
        await self._do(
            lambda: os.remove(self._roots.entry(path)), _shown("remove", path), changes=True
        )

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a folder."""
        mode = 0o777 if attrs.permissions is None else stat.S_IMODE(attrs.permissions) & 0o777
        await self._do(
            lambda: os.mkdir(self._roots.entry(path), mode), _shown("mkdir", path), changes=True
        )

    async def rmdir(self, path: bytes) -> None:
        """Remove an empty folder."""
        await self._do(
            lambda: os.rmdir(self._roots.entry(path)), _shown("rmdir", path), changes=True
        )

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, never over something."""
        await self._rename(oldpath, newpath, replace=False)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, replacing what is there."""
        await self._rename(oldpath, newpath, replace=True)

    async def _rename(self, oldpath: bytes, newpath: bytes, *, replace: bool) -> None:
        def act() -> tuple[str, str, os.stat_result]:
            old, new = self._roots.entry(oldpath), self._roots.entry(newpath)
            if not replace and os.path.lexists(new):
                raise asyncssh.SFTPFileAlreadyExists("there is a file of that name")
            os.replace(old, new)
            return old, new, os.lstat(new)

        shown = _shown("rename", oldpath, newpath)
        if self._roots.read_only:
            await self._do(act, shown, changes=True)  # refused there
        old, new, found = await self._do(act, shown)
        part = self._parts.pop(old, None)
        if part is None:
            self._changed(shown)
            return
        total, sha256 = part
        if sha256 is None and (sha256 := self._hashes.of(found)) is not None:
            total = found.st_size
        self._actions.add("file-write", new, size_bytes=total, sha256=sha256)

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a link that leads somewhere within the roots."""

        def act() -> None:
            entry = self._roots.entry(newpath)
            # As the kernel will see it: relative to the folder that holds the link.
            self._roots.target(os.path.join(os.fsencode(os.path.dirname(entry)), oldpath))
            os.symlink(os.fsdecode(oldpath), entry)

        await self._do(act, _shown("symlink", oldpath, newpath), changes=True)

    async def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a hard link to a file within the roots."""
        await self._do(
            lambda: os.link(self._roots.target(oldpath), self._roots.entry(newpath)),
            _shown("link", oldpath, newpath),
            changes=True,
        )

    async def exit(self) -> None:
        """End: the worker goes, and the console gets exit status 0."""
        for path, (total, sha256) in self._parts.items():
            self._actions.add("file-write", path, size_bytes=total, sha256=sha256)
        self._parts.clear()
        self._worker.close()
        if not self.channel.is_closing():
            self.channel.exit(0)


async def serve_files(
    server: FileServer,
    reader: asyncssh.SSHReader[bytes],
    writer: asyncssh.SSHWriter[bytes],
    manners: Manners,
) -> None:
    """Serve one SFTP channel to its end."""
    server.channel.set_write_buffer_limits(MAX_UNSENT_BYTES)
    try:
        await BoundedHandler(server, reader, writer, manners).run()
    except asyncio.IncompleteReadError:
        # asyncssh does not expect a console that leaves before its first packet.
        await server.exit()


def _as_file(file_obj: object) -> OpenFile:
    assert isinstance(file_obj, OpenFile)
    return file_obj


def _shown(verb: str, *paths: bytes) -> _Deed:
    """Say what was done, or asked for, with one path or two."""
    named = [posixpath.normpath(os.fsdecode(one) or ".") for one in paths]
    facts: dict[str, str | int] = dict(zip(("path", "new"), named, strict=False))
    return _Deed(" ".join([verb, *named]), f"files-{_SAME.get(verb, verb)}", facts)


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
