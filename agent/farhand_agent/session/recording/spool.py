"""Sealed chunks on their way to the relay: one file each, until the relay has witnessed it.

    HOME/recordings/SESSION/00000042.chunk      length of the head as u32, the head, the ciphertext

Nothing here can be read without an audit key, and nothing here encrypts or signs: the resident
agent uses it for what a killed session process left behind.  A chunk is written under another name
and renamed, so a file is whole or not there.  It is not forced to the disk: a power failure costs
the last seconds, and the recording shows that its end is missing.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Final

from farhand_agent.config import Home, read_limited
from farhand_agent.locks import is_held
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id

__all__ = ["MAX_LEFT_BYTES", "Spool", "leftovers", "make_room"]

# What dead sessions may leave on the device before the oldest of it goes.
MAX_LEFT_BYTES: Final = 512 * 1024 * 1024
_MAX_FILE_BYTES: Final = 64 * 1024
_SUFFIX: Final = ".chunk"


class Spool:
    """The chunks of one recording that wait.  All methods block, and may run in any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = folder.name
        self.size_bytes = 0
        self._counting = threading.Lock()

    def make(self) -> None:
        """Create the folder, owner-only.

        Raises:
            OSError: it cannot be created.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, index: int, head: bytes, ciphertext: bytes) -> None:
        """Store a chunk.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing is stored then.
        """
        path = self._path(index)
        data = len(head).to_bytes(4, "big") + head + ciphertext
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(data)
            os.replace(fresh, path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        with self._counting:
            self.size_bytes += len(data)

    def get(self, index: int) -> tuple[bytes, bytes]:
        """Return a chunk's head and ciphertext.

        Raises:
            OSError: it is not there.
            FarhandError: `recording-spool` when the file was damaged.
        """
        try:
            data = read_limited(self._path(index), _MAX_FILE_BYTES)
        except FarhandError as error:
            raise _damaged(self.session, index) from error
        size = int.from_bytes(data[:4], "big")
        if len(data) <= 4 + size:
            raise _damaged(self.session, index)
        return data[4 : 4 + size], data[4 + size :]

    def drop(self, index: int) -> None:
        """Forget a chunk that the relay has witnessed."""
        path = self._path(index)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return  # dropped before
        with self._counting:
            self.size_bytes = max(0, self.size_bytes - size)

    def close(self) -> None:
        """Remove the folder where nothing waits in it."""
        if not self.waiting():
            shutil.rmtree(self.folder, ignore_errors=True)

    def waiting(self) -> list[int]:
        """Return the numbers of the chunks that wait, in order."""
        try:
            names = [path.stem for path in self.folder.iterdir() if path.suffix == _SUFFIX]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:08d}{_SUFFIX}"


def _damaged(session: str, index: int) -> FarhandError:
    return FarhandError("recording-spool", f"chunk {index} of {session} on this disk is damaged")


def leftovers(home: Home) -> list[Spool]:
    """Return the spools of sessions that nobody serves any more, oldest first."""
    found = []
    try:
        folders = sorted(home.recordings.iterdir(), key=lambda path: path.stat().st_mtime)
    except FileNotFoundError:
        return []
    for folder in folders:
        if not is_session_id(folder.name) or is_held(home.session_lock(folder.name)):
            continue
        spool = Spool(folder)
        if spool.waiting():
            found.append(spool)
        else:
            spool.close()
    return found


def make_room(home: Home) -> list[str]:
    """Drop the oldest leftovers past `MAX_LEFT_BYTES`; return their sessions."""
    spools = leftovers(home)
    sizes = {spool.session: _size(spool.folder) for spool in spools}
    total, dropped = sum(sizes.values()), []
    for spool in spools:
        if total <= MAX_LEFT_BYTES:
            break
        shutil.rmtree(spool.folder, ignore_errors=True)
        total -= sizes[spool.session]
        dropped.append(spool.session)
    return dropped


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
