"""The file at this end of a copy: parts beside their targets, hashed as they grow.

    open_part     the part of a target, resumed where it may be; locked, never through a link
    Part.finish   mode and time, then the one rename that makes it the target
    Source        a file being sent, with the hash of what was read

All of it blocks and is called in a thread; a call touches at most a megabyte, but for the hash of
what is there already.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from farhand_console.session.files_plan import PART_PREFIX, Item
from farhand_protocol.errors import FarhandError

__all__ = ["Part", "Source", "check_target", "make_folder", "open_part", "part_name"]

_PIECE_BYTES = 1024 * 1024


def part_name(target: bytes) -> bytes:
    """Return the part beside a target; the same for the same target, so that it is found again."""
    folder, name = os.path.split(target)
    digest = hashlib.sha256(name).hexdigest()[:24].encode()
    return os.path.join(folder, PART_PREFIX + digest)


class _Hashed:
    """A descriptor and the hash of everything before `at`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.at = 0
        self._digest: Any = hashlib.sha256()

    def hexdigest(self) -> str:
        """Return the hash of the bytes so far."""
        return str(self._digest.hexdigest())

    def skip(self, length: int) -> None:
        """Hash what is there already, up to `length`; less when the file ends before."""
        while self.at < length and (data := os.pread(self.fd, self._piece(length), self.at)):
            self._took(data)

    def restart(self) -> None:
        """Begin again at the first byte."""
        self.at = 0
        self._digest = hashlib.sha256()

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def _piece(self, length: int) -> int:
        return min(_PIECE_BYTES, length - self.at)

    def _took(self, data: bytes) -> None:
        self._digest.update(data)
        self.at += len(data)


class Source(_Hashed):
    """A file of this machine that is being sent."""

    @classmethod
    def open(cls, path: bytes, *, follow: bool) -> Source:
        """Open a regular file.

        Args:
            path: of the file.
            follow: whether the last name may be a link.

        Raises:
            FarhandError: `copy-failed` when it is no file.
            OSError: it cannot be read.
        """
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        fd = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FarhandError("copy-failed", f"{os.fsdecode(path)[:200]} is no file")
        return cls(fd)

    def read(self, end: int) -> bytes:
        """Return the next piece before `end`, empty when the file ends."""
        data = os.pread(self.fd, self._piece(end), self.at)
        self._took(data)
        return data


class Part(_Hashed):
    """A file of this machine that is being received."""

    def __init__(self, fd: int, path: bytes, target: bytes) -> None:
        super().__init__(fd)
        self.path = path
        self.target = target

    def size(self) -> int:
        """Return how much an earlier try has left."""
        return os.fstat(self.fd).st_size

    def empty(self) -> None:
        """Throw away what an earlier try has left."""
        os.ftruncate(self.fd, 0)
        self.restart()

    def write(self, pieces: list[bytes]) -> None:
        """Append pieces."""
        data = b"".join(pieces)
        view, at = memoryview(data), self.at
        while view:
            done = os.pwrite(self.fd, view, at)
            view, at = view[done:], at + done
        self._took(data)

    def finish(self, item: Item) -> None:
        """Give the part its mode and time and make it the target."""
        os.fchmod(self.fd, item.mode)
        os.utime(self.fd, times=(item.modified_at, item.modified_at))
        os.replace(self.path, self.target)

    def discard(self) -> None:
        """Remove the part."""
        Path(os.fsdecode(self.path)).unlink(missing_ok=True)


def open_part(target: bytes) -> Part:
    """Open the part of a target, and keep other copies to the same target out.

    Raises:
        FarhandError: `copy-failed` when the target is no file, `copy-busy` when another copy
            writes it.
        OSError: it cannot be written.
    """
    check_target(target)
    path = part_name(target)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise FarhandError("copy-failed", f"{os.fsdecode(path)[:300]} is not ours")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.lstat(path), found):
            raise BlockingIOError  # another copy made it the target a moment ago
    except BaseException as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            words = f"another copy is writing {os.fsdecode(target)[:300]}"
            raise FarhandError("copy-busy", words) from error
        raise
    return Part(fd, path, target)


def check_target(target: bytes) -> None:
    """Refuse to replace what is neither a file nor a link to one.

    Raises:
        FarhandError: `copy-failed`.
    """
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise FarhandError("copy-failed", f"{os.fsdecode(target)[:300]} is no file")


def make_folder(path: bytes) -> None:
    """Make a folder, or be content with the one that is there; a link to one does not count.

    Raises:
        FarhandError: `copy-failed` when something else is there.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError as error:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            words = f"{os.fsdecode(path)[:300]} is no folder"
            raise FarhandError("copy-failed", words) from error
