"""Sealed chunks on their way to the relay: one file each, until the relay has witnessed it.

    HOME/recordings/SESSION/00000042.chunk      length of the head, head, ciphertext
    HOME/recordings/SESSION/chain.json          where the chain stands, until its end is written

A session process that takes up a session goes on with the chain that the one before left.  Nothing
here can be read without an audit key, and nothing here encrypts or signs: the resident
agent uses it for what a killed session process left behind.  A chunk is written under another name
and renamed, so a file is whole or not there.  It is not forced to the disk: a power failure costs
the last seconds, and the recording shows that its end is missing.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Final

import msgspec

from farhand_agent.config import Home, read_limited
from farhand_agent.locks import is_held
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id

__all__ = ["MAX_LEFT_BYTES", "ChainState", "Spool", "leftovers", "make_room"]

# What dead sessions may leave on the device before the oldest of it goes.
MAX_LEFT_BYTES: Final = 512 * 1024 * 1024
_MAX_FILE_BYTES: Final = 64 * 1024
_SUFFIX: Final = ".chunk"
_CHAIN: Final = "chain.json"
# No session lasts longer than its grant, 24 hours; then nobody goes on with a chain.
_CHAIN_S: Final = 48 * 3600


class ChainState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chain stands: `index` and `previous` of the next chunk.

    `begun` is Unix time; `paused` says that nothing was lost behind it.
    """

    index: int
    previous: str
    streams: int
    begun: float
    dropped: bool = False
    paused: bool = False


class Spool:
    """The chunks of one recording that wait.  All methods block, and may run in any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = folder.name
        self._sizes: dict[int, int] = {}

    @property
    def size_bytes(self) -> int:
        """How much waits, as far as this object has seen."""
        return sum(list(self._sizes.values()))

    def make(self) -> None:
        """Create the folder, owner-only, or count what is in it.

        Raises:
            OSError: it cannot be created.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sizes = {index: self._path(index).stat().st_size for index in self.waiting()}

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
        self._sizes[index] = len(data)

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
        self._path(index).unlink(missing_ok=True)
        self._sizes.pop(index, None)

    def keep_chain(self, state: ChainState) -> None:
        """Store where the chain stands.

        Raises:
            OSError: the disk is full or the folder cannot be written; the old state stands.
        """
        fresh = self.folder / f"{_CHAIN}.new"
        fresh.write_bytes(msgspec.json.encode(state))
        os.replace(fresh, self.folder / _CHAIN)

    def chain(self) -> ChainState | None:
        """Return where the chain stands, None where there is none to go on with."""
        try:
            return msgspec.json.decode(read_limited(self.folder / _CHAIN, 4096), type=ChainState)
        except (OSError, FarhandError, msgspec.MsgspecError):
            return None  # never begun, ended, or damaged: what follows then has no place

    def end_chain(self) -> None:
        """Forget where the chain stands: its end is written."""
        (self.folder / _CHAIN).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder where nothing waits in it, and nobody goes on with it."""
        if not self.waiting() and not self._goes_on():
            shutil.rmtree(self.folder, ignore_errors=True)

    def waiting(self) -> list[int]:
        """Return the numbers of the chunks that wait, in order."""
        try:
            names = [path.stem for path in self.folder.iterdir() if path.suffix == _SUFFIX]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def _goes_on(self) -> bool:
        try:
            written_at = (self.folder / _CHAIN).stat().st_mtime
        except FileNotFoundError:
            return False
        return abs(time.time() - written_at) < _CHAIN_S

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
