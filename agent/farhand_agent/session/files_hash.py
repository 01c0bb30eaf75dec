"""The subsystem `farhand-hash`: what a piece of a file on this device hashes to.

So a console knows whether a broken transfer may go on, and whether a finished one is whole.  It
needs the scope `files` and stays inside its roots.  One request per line, one answer per line:

    {"path": BASE64, "offset": N, "length": N or null}
    -> {"hashed": N}                       every 64 MiB, so that a long wait is not taken for a loss
    -> {"sha256": HEX, "offset", "length", "size"}     length: what there was, size: of the file
    -> {"error": {"code", "message"}}

A path is bytes, as SFTP has it; `null` means to the end.  What the session has read whole a moment
ago is not read again.  A hash says something about a file, so one that the session had not read is
noted as a read.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import msgspec

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.files import PART_PREFIX
from farhand_agent.session.files_flow import KnownHashes
from farhand_agent.session.files_roots import Roots, refused
from farhand_agent.session.subsystems import Lines

__all__ = ["MAX_REQUEST_BYTES", "serve_hashes"]

MAX_REQUEST_BYTES = 8 * 1024
PIECE_BYTES = 4 * 1024 * 1024
NEWS_BYTES = 64 * 1024 * 1024


class HashRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a console asks for."""

    path: bytes
    offset: int = 0
    length: int | None = None


@dataclass
class _Reading:
    """One file being hashed, piece by piece in a thread."""

    fd: int
    path: str
    found: os.stat_result
    offset: int
    end: int
    digest: Any = field(default_factory=hashlib.sha256)
    at: int = 0

    def piece(self) -> bool:
        """Hash one piece; False at the end."""
        data = os.pread(self.fd, max(0, min(PIECE_BYTES, self.end - self.at)), self.at)
        self.digest.update(data)
        self.at += len(data)
        return bool(data) and self.at < self.end

    @property
    def is_whole(self) -> bool:
        """Whether that was the whole file."""
        return self.offset == 0 and self.at == self.found.st_size


async def serve_hashes(lines: Lines, roots: Roots, actions: ActionLog, hashes: KnownHashes) -> None:
    """Answer requests until the console has no more.

    Args:
        lines: the channel.
        roots: what may be seen.
        actions: where what was hashed or refused is noted.
        hashes: of this session; filled here too.
    """
    while line := await lines.read_line(MAX_REQUEST_BYTES):
        try:
            request = msgspec.json.decode(line, type=HashRequest)
            if request.offset < 0 or (request.length is not None and request.length < 0):
                raise ValueError("a piece begins within a file")
            await _answer(lines, request, roots, actions, hashes)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            await _fail(lines, "hash-malformed", "the request cannot be read")
        except asyncssh.SFTPError as error:
            path = os.fsdecode(request.path)
            actions.add("denied", f"files: hash {path}", message="files-look", facts={"path": path})
            await _fail(lines, "hash-refused", error.reason)
        except OSError as error:
            await _fail(lines, "hash-failed", error.strerror or "the file cannot be read")


async def _answer(
    lines: Lines, request: HashRequest, roots: Roots, actions: ActionLog, hashes: KnownHashes
) -> None:
    reading = await asyncio.to_thread(_begin, request, roots)
    try:
        everything = request.offset == 0 and reading.end == reading.found.st_size
        sha256 = hashes.of(reading.found) if everything else None
        length = reading.found.st_size
        if sha256 is None:
            said = reading.at
            while await asyncio.to_thread(reading.piece):
                if reading.at - said >= NEWS_BYTES:
                    said = reading.at
                    await lines.write(b'{"hashed":%d}\n' % (said - reading.offset))
            sha256, length = reading.digest.hexdigest(), reading.at - reading.offset
            whole = reading.is_whole
            if whole:
                hashes.note(reading.found, sha256)
            if not os.path.basename(reading.path).startswith(PART_PREFIX):
                size, noted = (reading.found.st_size, sha256) if whole else (None, None)
                actions.add("file-read", reading.path, size_bytes=size, sha256=noted)
    finally:
        os.close(reading.fd)
    answer = {
        "sha256": sha256,
        "offset": request.offset,
        "length": length,
        "size": reading.found.st_size,
    }
    await lines.write(msgspec.json.encode(answer) + b"\n")


def _begin(request: HashRequest, roots: Roots) -> _Reading:
    real = roots.target(request.path)
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise refused("not a file")
        roots.check_size(found.st_size)
    except BaseException:
        os.close(fd)
        raise
    end = found.st_size if request.length is None else request.offset + request.length
    return _Reading(fd, real, found, request.offset, min(end, found.st_size), at=request.offset)


async def _fail(lines: Lines, code: str, message: str) -> None:
    error = {"error": {"code": code, "message": message[:300]}}
    await lines.write(msgspec.json.encode(error) + b"\n")
