"""Small files of the system, read whole and bounded: /proc, /sys, /etc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["SystemFiles"]

_MAX_BYTES: Final = 4 * 1024 * 1024
# /proc/sys answers ENOMEM to who asks for 4 MiB at once (proc_sys_call_handler).
_PIECE_BYTES: Final = 256 * 1024


class SystemFiles:
    """Reads files below a root; tests and rescue systems give another root than "/".

    Args:
        root: the folder that stands for "/".
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Return where the absolute path `name` lies below the root."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """Return a file's text (U+FFFD for bytes that are not UTF-8); else as `data`."""
        data = self.data(name)
        return None if data is None else data.decode("utf-8", "replace")

    def data(self, name: str) -> bytes | None:
        """Return a file's bytes, at most 4 MiB.

        Returns:
            None when there is no such file, or the kernel has no answer behind it.

        Raises:
            PermissionError: it is there and this user may not read it.
        """
        try:
            with self.path(name).open("rb") as file:
                data = b""
                while len(data) < _MAX_BYTES and (piece := file.read(_PIECE_BYTES)):
                    data += piece
                return data[:_MAX_BYTES]
        except PermissionError:
            raise
        except OSError:
            # ENOENT, ENOTDIR, and what sysfs answers for an attribute a driver does not serve
            # (EINVAL, ENODEV, EIO): all of them say "no such fact here".
            return None

    def tail(self, name: str, length: int) -> bytes | None:
        """Return the last bytes of a file, however long it is; None when there is no such file.

        Raises:
            PermissionError: it is there and this user may not read it.
        """
        try:
            with self.path(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - length))
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def line(self, name: str) -> str | None:
        """Return a file's text without white space around it; None also when it is empty.

        Raises:
            PermissionError: it is there and this user may not read it.
        """
        text = self.text(name)
        return (text.strip(" \t\r\n\0") or None) if text is not None else None

    def number(self, name: str) -> int | None:
        """Return a file's whole number, None where there is none.

        Raises:
            PermissionError: it is there and this user may not read it.
        """
        text = self.line(name)
        digits = (text or "").removeprefix("-")
        return (
            int(text or "") if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
        )

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder; empty when there is no such folder.

        Raises:
            PermissionError: it is there and this user may not list it.
        """
        try:
            return sorted(os.listdir(self.path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def modified_at(self, name: str) -> float | None:
        """Return a file's time of last change in Unix seconds, None where there is no file."""
        try:
            return self.path(name).stat().st_mtime
        except OSError:
            return None
