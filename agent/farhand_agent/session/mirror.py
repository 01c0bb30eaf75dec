"""What the session's terminals show, for whoever else may watch: the subsystem `farhand-watch`.

Output passes here on its way to the console that runs the program; typed input does not.  JSON
lines go to each watcher, and nothing she sends is read:

    {"stream": N, "begin": {"title", "by", "columns", "rows", "terminal"}}
    {"stream": N, "data": BASE64}
    {"stream": N, "size": [COLUMNS, ROWS]}
    {"stream": N, "end": STATUS}
    {"lost": BYTES}          output that she was too slow for

Who comes late gets the beginning of each stream that runs and the last of its output.  A watcher
has a queue of `MAX_QUEUE_BYTES`; what does not fit is dropped and counted, so that nobody's line
slows down the session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import msgspec

from farhand_agent.session.shell import Streams
from farhand_agent.session.subsystems import Lines

__all__ = ["MAX_QUEUE_BYTES", "MAX_WATCHERS", "Mirror", "MirroredStreams"]

MAX_QUEUE_BYTES: Final = 512 * 1024
MAX_WATCHERS: Final = 8
# What a latecomer sees of a stream: about three screens full.
_TAIL_BYTES: Final = 16 * 1024
_MAX_TITLE_CHARS: Final = 200
_MAX_LINE_BYTES: Final = 1024


class _Stream:
    def __init__(self, begin: dict[str, Any]) -> None:
        self.begin = begin
        self.tail = bytearray()


class _Watcher:
    """One queue; never larger than its bound but for the marks that tell of a loss."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._queued = 0
        self._lost = 0
        self._more = asyncio.Event()

    def put(self, line: bytes, size: int) -> None:
        """Queue a line that carries `size` bytes of output, or count them as lost."""
        if self._queued + len(line) > MAX_QUEUE_BYTES:
            self._lost += size
        else:
            self._tell_loss()
            self._lines.append(line)
            self._queued += len(line)
        self._more.set()

    def _tell_loss(self) -> None:
        if self._lost:
            self._lines.append(_line({"lost": self._lost}))
            self._lost = 0

    async def take(self) -> bytes:
        """Return all that is queued, once there is something."""
        while not self._lines and not self._lost:
            self._more.clear()
            await self._more.wait()
        self._tell_loss()
        data = b"".join(self._lines)
        self._lines.clear()
        self._queued = 0
        return data


class Mirror:
    """The streams of one session and who watches them."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._watchers: set[_Watcher] = set()
        self._next = 0

    def open_stream(self, title: str, *, by: str, size: tuple[int, int] | None) -> int:
        """Begin a stream; returns its number."""
        self._next += 1
        columns, rows = size or (80, 24)
        begin = {
            "title": title[:_MAX_TITLE_CHARS].encode("utf-8", "backslashreplace").decode(),
            "by": by,
            "columns": columns,
            "rows": rows,
            "terminal": size is not None,
        }
        self._streams[self._next] = _Stream(begin)
        self._tell({"stream": self._next, "begin": begin})
        return self._next

    def write(self, stream: int, data: bytes) -> None:
        """Show output of a stream."""
        tail = self._streams[stream].tail
        tail += data
        del tail[:-_TAIL_BYTES]
        self._tell({"stream": stream, "data": data}, size=len(data))

    def resize(self, stream: int, columns: int, rows: int) -> None:
        """Tell a terminal's new size."""
        begin = self._streams[stream].begin
        begin["columns"], begin["rows"] = columns, rows
        self._tell({"stream": stream, "size": [columns, rows]})

    def close_stream(self, stream: int, status: int | None) -> None:
        """End a stream; `status` is negative for a signal, None where it never came so far."""
        if self._streams.pop(stream, None) is not None:
            self._tell({"stream": stream, "end": status})

    async def serve(self, lines: Lines) -> None:
        """Show everything to one watcher until she goes (the subsystem `farhand-watch`)."""
        if len(self._watchers) >= MAX_WATCHERS:
            await lines.write(_line({"error": {"code": "watchers-full"}}))
            return
        watcher = _Watcher()
        for number, stream in self._streams.items():
            watcher.put(_line({"stream": number, "begin": stream.begin}), 0)
            if stream.tail:
                tail = bytes(stream.tail)
                watcher.put(_line({"stream": number, "data": tail}), len(tail))
        self._watchers.add(watcher)
        try:
            async with asyncio.TaskGroup() as group:
                showing = group.create_task(_show(watcher, lines))
                while await lines.read_line(_MAX_LINE_BYTES):
                    continue  # she has nothing to say here
                showing.cancel()
        finally:
            self._watchers.discard(watcher)

    def _tell(self, fields: dict[str, Any], *, size: int = 0) -> None:
        if self._watchers:
            line = _line(fields)
            for watcher in self._watchers:
                watcher.put(line, size)


class MirroredStreams:
    """A channel's streams, for `Program`, with the mirror in between.

    Args:
        inner: the channel, or what records it.
        mirror: of the session.
        title: the command, or what else runs.
        by: the operator who joined and runs it; empty for the session's own.
        size: columns and rows where there is a terminal.
    """

    def __init__(
        self, inner: Streams, mirror: Mirror, title: str, *, by: str, size: tuple[int, int] | None
    ) -> None:
        self._inner = inner
        self._mirror = mirror
        self._stream = mirror.open_stream(title, by=by, size=size)

    async def read(self) -> bytes:
        """Return input from the console; empty at its end."""
        return await self._inner.read()

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Show output, then write it."""
        self._mirror.write(self._stream, data)
        await self._inner.write(data, error=error)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal's new size."""
        self._mirror.resize(self._stream, columns, rows)

    def end(self, status: int | None) -> None:
        """Tell that the program has ended."""
        self._mirror.close_stream(self._stream, status)


async def _show(watcher: _Watcher, lines: Lines) -> None:
    try:
        while True:
            await lines.write(await watcher.take())
    except ConnectionResetError:
        return  # she has gone; her input ends, too


def _line(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"
