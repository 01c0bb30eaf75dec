"""The device's word on what a piece of a file hashes to (its subsystem `farhand-hash`).

One channel for a whole copy, opened when first needed.  The device says every 64 MiB how far it
is, so silence means that it is gone.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import asyncssh
import msgspec

from farhand_protocol.errors import FarhandError

__all__ = ["DeviceHashes"]

_SILENCE_S = 120.0
_MAX_LINE_BYTES = 8 * 1024


class _Answer(msgspec.Struct, frozen=True):
    """One line of the device."""

    sha256: str | None = None
    length: int = 0
    hashed: int | None = None
    error: dict[str, str] | None = None


class DeviceHashes:
    """Asks one device; an async context manager.

    Args:
        connection: the SSH connection.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._process: asyncssh.SSHClientProcess[bytes] | None = None

    async def __aenter__(self) -> DeviceHashes:
        """Return this."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel."""
        await self._stack.aclose()

    async def of(self, path: bytes, length: int) -> tuple[str, int]:
        """Return (SHA-256 in hex, bytes hashed) of the first `length` bytes of a file.

        Raises:
            FarhandError: `copy-failed` with the device's words; `session-lost` when it is silent.
        """
        request = msgspec.json.encode({"path": path, "offset": 0, "length": length})
        async with self._turn:
            process = self._process or await self._open()
            process.stdin.write(request + b"\n")
            while (answer := await self._next(process)).hashed is not None:
                pass
        if answer.sha256 is None:
            words = (answer.error or {}).get("message", "the device gave no hash")
            raise FarhandError("copy-failed", words[:300])
        return answer.sha256, answer.length

    async def _open(self) -> asyncssh.SSHClientProcess[bytes]:
        opened: asyncssh.SSHClientProcess[bytes] = await self._connection.create_process(
            subsystem="farhand-hash", encoding=None
        )
        self._process = await self._stack.enter_async_context(opened)
        return opened

    async def _next(self, process: asyncssh.SSHClientProcess[bytes]) -> _Answer:
        try:
            async with asyncio.timeout(_SILENCE_S):
                line = await process.stdout.readuntil(b"\n")
            if len(line) > _MAX_LINE_BYTES:
                raise ValueError("too long")
            return msgspec.json.decode(line, type=_Answer)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise FarhandError("session-lost", "the device gives no hash any more") from error
        except (ValueError, msgspec.MsgspecError) as error:
            raise FarhandError("copy-failed", "the device's answer cannot be read") from error
