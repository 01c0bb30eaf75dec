"""What the relay offers of the agent: the files that an admin put into its home's `downloads`.

They are what `make packages` builds, or an installer of one's own; the relay makes none and changes
none.  Only plain files with names that begin with `farhand-agent` count, no links.  What is said of
them, size and SHA-256, is read from the file, beside the loop, and again only when it has changed.
A relay that is not honest can say what it likes here: docs/threat-model.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final, NamedTuple

from farhand_server.errors import not_found
from farhand_server.relay import Relay

__all__ = ["MAX_DOWNLOADS", "MAX_DOWNLOAD_BYTES", "Download", "downloads_of", "open_download"]

FOLDER: Final = "downloads"
MAX_DOWNLOADS: Final = 20
MAX_DOWNLOAD_BYTES: Final = 200 * 1024 * 1024
_NAME = re.compile(r"farhand-agent[A-Za-z0-9._+~-]{0,100}\.(?:deb|rpm|pyz|msi|exe|pkg|dmg|zip)\Z")
# Name, size, time of change in nanoseconds.
_Mark = tuple[str, int, int]


class Download(NamedTuple):
    """A file on offer."""

    name: str
    size: int
    sha256: str

    @property
    def kind(self) -> str:
        """Return how its name ends."""
        return self.name.rpartition(".")[2]


class _Known:
    """What was read of files, by path, size and time of change."""

    def __init__(self, _relay: Relay) -> None:
        self.digests: dict[_Mark, str] = {}
        # One reading at a time: they are large, and everybody may ask.
        self.turn = asyncio.Lock()


async def downloads_of(relay: Relay) -> list[Download]:
    """Return what is on offer, by name."""
    known = relay.service(_Known)
    async with known.turn:
        return await asyncio.to_thread(_read_all, relay.settings.path(FOLDER), known.digests)


async def open_download(relay: Relay, name: str) -> Path:
    """Return where a file on offer is.

    Raises:
        FarhandError: `not-found`.
    """
    path = relay.settings.path(FOLDER) / name
    if _NAME.match(name) is None or await asyncio.to_thread(_size_of, path) is None:
        raise not_found("download", name)
    return path


def _size_of(path: Path) -> int | None:
    """Return a plain file's size; None for what is not given out."""
    try:
        about = path.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISREG(about.st_mode) and about.st_size <= MAX_DOWNLOAD_BYTES
    return about.st_size if is_ours else None


def _read_all(folder: Path, digests: dict[_Mark, str]) -> list[Download]:
    try:
        names = sorted(name for name in os.listdir(folder) if _NAME.match(name))
    except OSError:
        return []  # an admin who offers nothing has made no folder
    found: list[Download] = []
    seen: dict[_Mark, str] = {}
    for name in names[:MAX_DOWNLOADS]:
        path = folder / name
        if (size := _size_of(path)) is None:
            continue
        try:
            mark = (name, size, path.stat().st_mtime_ns)
            if mark not in digests:
                with path.open("rb") as file:
                    digests[mark] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue  # gone meanwhile, or not for the relay to read
        seen[mark] = digests[mark]
        found.append(Download(name, size, seen[mark]))
    digests.clear()
    digests.update(seen)
    return found
