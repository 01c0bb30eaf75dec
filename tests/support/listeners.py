"""TCP servers and connections of tests that leave nothing behind, whichever way a test ends.

A writer that is collected after its loop was closed warns in whatever test happens to run then, and
`async with asyncio.start_server(...)` does not wait for its handlers before Python 3.12.  So here
every connection that was taken is closed, and its handler ended, before the loop goes on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Serve", "hang_up", "listener"]

# Steps of the loop from what the selector saw to a connection's handler, and one to spare.
_ARRIVING = 5

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hang_up(writer: asyncio.StreamWriter, *, at_once: bool = False) -> None:
    """Close a connection and wait until its socket is gone.

    Args:
        writer: of either end.
        at_once: drop what is not sent yet, and do not wait for a peer that says no goodbye.
    """
    if at_once:
        writer.transport.abort()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def listener(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve each connection on loopback; yields the port.

    A handler need not close anything; a caller that is gone is none of its business.  Any other
    error of a handler is raised at the end of the block.
    """
    taken: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
    is_over = False

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            # Waited for below: a wait that is cancelled would cancel that of others as well.
            writer.close()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_over:
            writer.transport.abort()  # nobody would wait for its handler
        else:
            taken[asyncio.ensure_future(handle(reader, writer))] = writer

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        # A closed server drops, and never closes, a connection that it has just accepted: so
        # no more are accepted first, and those arrive here.
        for one in server.sockets:
            asyncio.get_running_loop().remove_reader(one.fileno())
        for _ in range(_ARRIVING):
            await asyncio.sleep(0)
        is_over = True
        server.close()
        outcomes: list[BaseException | None] = []
        while taken:
            ending = dict(taken)
            taken.clear()
            for task in ending:
                task.cancel()
            outcomes += await asyncio.gather(*ending, return_exceptions=True)
            for writer in ending.values():
                await hang_up(writer, at_once=True)
        await server.wait_closed()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
