"""One address in front of a relay's nodes that a test can steer, slow down, cut and close.

It runs on a thread of its own, looks at the first line of each connection to know devices
(`/agent`, `/pipe`) from others, and copies bytes; all else it leaves alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Self

from tests.support.listeners import hang_up, listener

__all__ = ["Front"]

_CHUNK = 64 * 1024


class Front:
    """The address; a context manager.

    Attributes:
        devices_go_to, others_go_to: ports of the nodes; may be changed at any time.
        rate: bytes a second and direction of one connection, 0 for as fast as it goes.
    """

    def __init__(self, *, devices_go_to: int = 0, others_go_to: int = 0) -> None:
        self.devices_go_to = devices_go_to
        self.others_go_to = others_go_to
        self.rate = 0
        self.port = 0
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> int:
        """Reset every connection that is open now; return how many."""
        return self._call(self._cut)

    def close_for_now(self) -> None:
        """Cut, and drop whoever comes until `open_again`."""
        self._is_open = False
        self.cut()

    def open_again(self) -> None:
        """Take connections again."""
        self._is_open = True

    def _cut(self) -> int:
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    def _call(self, work: Callable[[], int]) -> int:
        async def run() -> int:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)

    async def _run(self) -> None:
        async with listener(self._serve) as port:
            self.port = port
            self._is_ready.set()
            await self._stop.wait()
            self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.transport.abort()
            return
        first = await reader.readuntil(b"\r\n")
        is_device = first.split()[1] in (b"/agent", b"/pipe")
        port = self.devices_go_to if is_device else self.others_go_to
        from_node, to_node = await asyncio.open_connection("127.0.0.1", port)
        to_node.write(first)
        self._writers |= {writer, to_node}
        try:
            await asyncio.gather(self._copy(reader, to_node), self._copy(from_node, writer))
        finally:
            self._writers -= {writer, to_node}
            await hang_up(to_node, at_once=True)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(_CHUNK):
                sink.write(data)
                await sink.drain()
                if self.rate:
                    await asyncio.sleep(len(data) / self.rate)
        finally:
            sink.close()
