"""What passes through an open file: positions and hashes, as the receipt wants to know them.

A `Flow` hashes one direction while it has no gap.  `KnownHashes` remembers what whole files hashed
to, for a transfer that went through the session in two halves: the console asks for the hash of
the result (session/files_hash.py), and the note about the write then carries it.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MAX_KNOWN_HASHES", "MAX_OUT_OF_ORDER_BYTES", "Flow", "KnownHashes", "OpenFile"]

# Parallel writes arrive in order; parallel reads of one file may be a few blocks apart.
MAX_OUT_OF_ORDER_BYTES = 1024 * 1024
MAX_KNOWN_HASHES = 256


@dataclass
class Flow:
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
class OpenFile:
    """One open handle."""

    fd: int
    path: str
    read: Flow = field(default_factory=Flow)
    written: Flow = field(default_factory=Flow)
    append: bool = False


class KnownHashes:
    """The last whole-file hashes of a session, each good while its file is unchanged."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, int, int], str] = OrderedDict()

    def note(self, found: os.stat_result, sha256: str) -> None:
        """Remember what the file behind `found` hashed to; the oldest is forgotten."""
        self._known[_identity(found)] = sha256
        while len(self._known) > MAX_KNOWN_HASHES:
            self._known.popitem(last=False)

    def of(self, found: os.stat_result) -> str | None:
        """Return the hash of that file, None where it is not known or the file has changed."""
        return self._known.get(_identity(found))


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
