"""Which part of the file system a session may see, and how a console's paths are led there.

Every path becomes the real one, links and all, before it is compared with the roots; so a link is
never a way out.  Nothing here opens or changes anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import asyncssh

__all__ = ["Roots", "refused"]


def refused(words: str) -> asyncssh.SFTPPermissionDenied:
    """Return the error of everything that a session may not do."""
    return asyncssh.SFTPPermissionDenied(words)


@dataclass(frozen=True)
class Roots:
    """Which part of the file system a session may see.

    Args:
        folders: real, absolute folders; empty means everything that the session's user can see.
        start: where relative paths begin: the first root, else the user's home.
        read_only: whether every change is refused.
        bytes_max: the largest file that may be read or written, None for any.
    """

    folders: tuple[str, ...]
    start: str
    read_only: bool
    bytes_max: int | None = None

    @classmethod
    def of(
        cls, folders: Sequence[str], home: str, *, read_only: bool, bytes_max: int | None = None
    ) -> Roots:
        """Return the roots of a policy; a root that is not there allows nothing."""
        real = tuple(os.path.realpath(one) for one in folders)
        start = real[0] if real else os.path.realpath(home)
        return cls(real, start, read_only, bytes_max)

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
            raise refused("outside the folders that this session may see")
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
            raise refused("outside the folders that this session may see")
        return real

    def check_size(self, size: int) -> None:
        """Hold a file to the size that the policy allows.

        Raises:
            asyncssh.SFTPPermissionDenied: `size` bytes are more.
        """
        if self.bytes_max is not None and size > self.bytes_max:
            raise refused(f"this session handles files of at most {self.bytes_max} bytes")
