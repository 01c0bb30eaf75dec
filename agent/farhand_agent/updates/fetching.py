"""Brings a release to the device: asked of the relay piece by piece, believed only as a whole.

The resident agent holds the link and passes pieces on (`release-piece` on the local socket).  They
are written behind each other into a file, so that a lost link, a stopped agent or a reboot costs no
more than the piece on its way.  Length and SHA-256 come from the verified metadata; a file that is
another one is thrown away whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from farhand_agent.errors import AgentNotRunning
from farhand_agent.trust.verified import ReleaseEntry
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.messages import TRUST_CHUNK_BYTES
from farhand_protocol.releases import release_name

__all__ = ["fetch_release"]

Ask = Callable[[dict[str, Any]], dict[str, Any]]

PATIENCE_S: Final = 600.0
_PAUSE_S: Final = 1.0
# The link is away, the agent starts again, the relay is slow: all of it passes.
_PASSES: Final = frozenset(
    {"not-connected", "link-lost", "relay-silent", "agent-not-running", "agent-silent"}
)


def fetch_release(
    ask: Ask, path: str, entry: ReleaseEntry, place: Path, *, patience_s: float = PATIENCE_S
) -> None:
    """Fetch a release into a file, going on where an earlier try ended.

    Args:
        ask: asks the resident agent.
        path: the TUF path of the release.
        entry: what the verified metadata say about it.
        place: the file; what lies there is what has arrived so far.
        patience_s: how long no piece may come.

    Raises:
        RemoteError: `release-mismatch` when the relay's file is another one, `release-missing` when
            it has none.
        FarhandError: `release-unreachable` when nothing came for `patience_s`.
    """
    name = release_name(path, entry.sha256)
    with place.open("ab") as file:
        if file.tell() > entry.size_bytes:
            file.truncate(0)
        while (have := os.fstat(file.fileno()).st_size) < entry.size_bytes:
            piece = _piece(ask, name, have, entry.size_bytes, patience_s)
            file.write(piece)
            file.flush()
        os.fsync(file.fileno())
    with place.open("rb") as arrived:
        digest = hashlib.file_digest(arrived, "sha256").hexdigest()
    if digest != entry.sha256:
        place.unlink()
        raise _mismatch()


def _mismatch() -> RemoteError:
    return RemoteError(
        "release-mismatch", "the relay sent a file that is not the release that was approved"
    )


def _piece(ask: Ask, name: str, offset: int, total: int, patience_s: float) -> bytes:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            answer = ask({"do": "release-piece", "name": name, "offset": offset})
        except (AgentNotRunning, FarhandError) as error:
            if error.code not in _PASSES:
                raise
            if time.monotonic() >= deadline:
                raise FarhandError(
                    "release-unreachable",
                    "the release could not be fetched; what has arrived is kept",
                    detail=str(error),
                ) from error
            time.sleep(_PAUSE_S)
            continue
        return _checked(answer, offset, total)


def _checked(answer: dict[str, Any], offset: int, total: int) -> bytes:
    try:
        said, piece = int(answer["total"]), base64.b64decode(answer["body"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise FarhandError("release-unreachable", "the agent's answer cannot be read") from error
    if said < 0:
        raise RemoteError("release-missing", "the relay does not have the release's file")
    fits = 0 < len(piece) <= min(TRUST_CHUNK_BYTES, total - offset)
    if said != total or not fits:
        raise _mismatch()
    return piece
