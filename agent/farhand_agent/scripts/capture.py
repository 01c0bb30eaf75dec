"""What a script prints, kept in bounded memory: the head, the tail, and how much there was."""

from __future__ import annotations

from farhand_protocol.outputs import head_bytes

__all__ = ["Capture"]


class Capture:
    """Keeps at most `limit_bytes` of a stream, a quarter from its beginning, the rest from its end.

    Args:
        limit_bytes: 4 or more.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._head_bytes = head_bytes(limit_bytes)
        self._tail_bytes = limit_bytes - self._head_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def add(self, data: bytes) -> None:
        """Take more of the stream."""
        self.total_bytes += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        # Trimmed only at twice the size, so that each byte is moved about once.
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: -self._tail_bytes]

    @property
    def is_truncated(self) -> bool:
        """Whether something in the middle was dropped."""
        return self.total_bytes > self._head_bytes + self._tail_bytes

    def kept(self) -> bytes:
        """Return what was kept."""
        return bytes(self._head + self._tail[-self._tail_bytes :])
