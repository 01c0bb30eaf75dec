"""One file, up or down, over SFTP: in bounded blocks, into a part, checked, then renamed.

    1  the part of an earlier try counts if its bytes hash to the same at both ends
    2  blocks of at most 128 KiB, `REQUESTS` of them under way, written in order
    3  the whole is hashed at both ends; only if they agree does the part become the target

So a target is either what it was or all of the source, and a part never has a hole.  A part stays
when the connection is lost, and goes when the copy failed for another reason.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import asyncssh

from farhand_console.session.files_hash import DeviceHashes
from farhand_console.session.files_here import Part, Source, open_part, part_name
from farhand_console.session.files_plan import Item
from farhand_protocol.errors import FarhandError

__all__ = ["BLOCK_BYTES", "REQUESTS", "Sent", "Wire", "fetch_file", "is_loss", "send_file"]

BLOCK_BYTES = 128 * 1024
REQUESTS = 16
# Blocks that one turn of a thread writes and hashes.
_BATCH = 8


@dataclass(frozen=True)
class Sent:
    """One file that arrived: its hash, its size and what of it an earlier try had brought."""

    sha256: str
    size: int
    resumed: int


class Wire:
    """What a copy has of a connection: SFTP, the device's hashes, and room for blocks under way.

    Args:
        sftp: the SFTP client, with paths as bytes.
        hashes: the device's word on its files.
        advance: is told of bytes that arrived.
    """

    def __init__(
        self, sftp: asyncssh.SFTPClient, hashes: DeviceHashes, advance: Callable[[int], None]
    ) -> None:
        self.sftp = sftp
        self.hashes = hashes
        self.advance = advance
        self.block = min(BLOCK_BYTES, sftp.limits.max_read_len, sftp.limits.max_write_len)
        self.room = asyncio.Semaphore(REQUESTS)


def is_loss(error: BaseException) -> bool:
    """Tell whether an error is the connection's and not the file's."""
    if isinstance(error, FarhandError):
        return error.code == "session-lost"
    lost = asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection
    if isinstance(error, asyncssh.SFTPError):
        return isinstance(error, lost)
    return isinstance(error, asyncssh.Error | ConnectionError)


# Up.


async def send_file(
    wire: Wire, source: bytes, target: bytes, item: Item, *, resume: bool, follow: bool = False
) -> Sent:
    """Copy a file of this machine to the device.

    Args:
        wire: the connection.
        source: path here.
        target: path there; replaced, unless it is no file.
        item: as the walk found it; size, mode and time are taken again when it is opened.
        resume: whether the part of an earlier try counts.
        follow: whether `source` may be a link.

    Raises:
        FarhandError: `copy-failed`, `copy-differs`.
        asyncssh.Error, OSError: as they come; `is_loss` tells which end the connection.
    """
    here = await asyncio.to_thread(Source.open, source, follow=follow)
    try:
        found = os.fstat(here.fd)
        part = part_name(target)
        start = await _prepare_part(wire, part, here, found.st_size if resume else 0)
        flags = asyncssh.FXF_WRITE | (0 if start else asyncssh.FXF_CREAT | asyncssh.FXF_EXCL)
        attrs = asyncssh.SFTPAttrs(permissions=0o600)
        there = await wire.sftp.open(part, flags, attrs, encoding=None, block_size=0)
        wire.advance(start)
        try:
            async with there:
                await _send_blocks(wire, here, there, found)
            await _check(wire, part, here.at, here.hexdigest())
            await wire.sftp.posix_rename(part, target)
        except BaseException as error:
            await _forget_part(wire, part, error)
            raise
        return Sent(here.hexdigest(), here.at, start)
    finally:
        here.close()


async def _prepare_part(wire: Wire, part: bytes, here: Source, size: int) -> int:
    """Return where to go on: after what both ends have alike, else 0 with no part there."""
    try:
        found = await wire.sftp.lstat(part)
    except asyncssh.SFTPNoSuchFile:
        return 0
    there = found.size or 0
    if found.type == asyncssh.FILEXFER_TYPE_REGULAR and 0 < there <= size:
        await asyncio.to_thread(here.skip, there)
        if here.at == there and await wire.hashes.of(part, there) == (here.hexdigest(), there):
            return there
        here.restart()
    await wire.sftp.remove(part)
    return 0


async def _send_blocks(
    wire: Wire, here: Source, there: asyncssh.SFTPClientFile, found: os.stat_result
) -> None:
    async with asyncio.TaskGroup() as group:
        waiting: deque[asyncio.Task[None]] = deque()
        while data := await asyncio.to_thread(here.read, found.st_size):
            offset, view = here.at - len(data), memoryview(data)
            for at in range(0, len(data), wire.block):
                if len(waiting) >= REQUESTS:
                    await waiting.popleft()
                block = bytes(view[at : at + wire.block])
                waiting.append(group.create_task(_send(wire, there, block, offset + at)))
    if here.at != found.st_size:
        raise FarhandError("copy-failed", "the file became shorter while it was read")
    mode, modified_at = found.st_mode & 0o777, int(found.st_mtime)
    await there.setstat(asyncssh.SFTPAttrs(permissions=mode, atime=modified_at, mtime=modified_at))


async def _send(wire: Wire, there: asyncssh.SFTPClientFile, block: bytes, offset: int) -> None:
    async with wire.room:
        await there.write(block, offset)
    wire.advance(len(block))


async def _forget_part(wire: Wire, part: bytes, error: BaseException) -> None:
    """Remove the part of a copy that failed for good; what is lost or stopped may go on later."""
    leaves = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    if any(is_loss(one) or not isinstance(one, Exception) for one in leaves):
        return
    try:
        await wire.sftp.remove(part)
    except (asyncssh.Error, OSError) as trouble:
        error.add_note(f"the part could not be removed: {trouble}")


# Down.


async def fetch_file(wire: Wire, source: bytes, target: bytes, item: Item, *, resume: bool) -> Sent:
    """Copy a file of the device to this machine; as `send_file`, but of the size in `item`."""
    part = await asyncio.to_thread(open_part, target)
    try:
        start = await _resume_part(wire, source, part, item.size if resume else 0)
        wire.advance(start)
        try:
            await _fetch_blocks(wire, source, part, item.size)
            await _check(wire, source, part.at, part.hexdigest())
            await asyncio.to_thread(part.finish, item)
        except BaseException as error:
            leaves = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
            if not any(is_loss(one) or not isinstance(one, Exception) for one in leaves):
                await asyncio.to_thread(part.discard)
            raise
        return Sent(part.hexdigest(), part.at, start)
    finally:
        part.close()


async def _resume_part(wire: Wire, source: bytes, part: Part, size: int) -> int:
    here = part.size()
    if 0 < here <= size:
        await asyncio.to_thread(part.skip, here)
        if await wire.hashes.of(source, here) == (part.hexdigest(), here):
            return here
    await asyncio.to_thread(part.empty)
    return 0


async def _fetch_blocks(wire: Wire, source: bytes, part: Part, size: int) -> None:
    async with wire.sftp.open(source, asyncssh.FXF_READ, encoding=None, block_size=0) as there:
        async with asyncio.TaskGroup() as group:
            waiting: deque[asyncio.Task[bytes]] = deque()
            asked = part.at
            batch: list[bytes] = []
            while asked < size or waiting:
                while asked < size and len(waiting) < REQUESTS:
                    length = min(wire.block, size - asked)
                    waiting.append(group.create_task(_fetch(wire, there, asked, length)))
                    asked += length
                batch.append(await waiting.popleft())
                if len(batch) >= _BATCH or not waiting:
                    await asyncio.to_thread(partial(part.write, batch))
                    wire.advance(sum(map(len, batch)))
                    batch = []


async def _fetch(wire: Wire, there: asyncssh.SFTPClientFile, offset: int, length: int) -> bytes:
    """Return exactly `length` bytes; a device may answer with fewer at a time."""
    data = b""
    async with wire.room:
        while len(data) < length:
            more = cast(bytes, await there.read(length - len(data), offset + len(data)))
            if not more:
                raise FarhandError("copy-failed", "the file became shorter while it was read")
            data = data + more if data else more
    if len(data) > length:
        raise FarhandError("copy-failed", "the device sent more than it was asked for")
    return data


async def _check(wire: Wire, there: bytes, size: int, sha256: str) -> None:
    if await wire.hashes.of(there, size) != (sha256, size):
        raise FarhandError(
            "copy-differs",
            f"{os.fsdecode(there)[:300]} differs from the copy",
            hint="it changed while it was copied, or the disk is bad; copy it again",
        )
