"""Bounded lines from a byte stream: a line that is too long is an error before it is buffered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from farhand_protocol.errors import RemoteError

__all__ = ["read_line"]


async def read_line(
    read: Callable[[], Awaitable[bytes]], limit: int, left_over: bytearray
) -> bytes:
    """Return the next line without its newline.

    Args:
        read: returns some bytes, empty at the end.
        limit: bytes of the longest line.
        left_over: what was read beyond the line before; kept by the caller between calls.

    Returns:
        The line; empty for an empty line and at the end of the stream.

    Raises:
        RemoteError: `line-too-long`.
    """
    while (end := left_over.find(b"\n")) < 0:
        if len(left_over) > limit:
            raise RemoteError("line-too-long", "the peer sent a line that is too long")
        piece = await read()
        if not piece:
            line = bytes(left_over)
            left_over.clear()
            return line
        left_over += piece
    if end > limit:
        raise RemoteError("line-too-long", "the peer sent a line that is too long")
    line = bytes(left_over[:end])
    del left_over[: end + 1]
    return line
