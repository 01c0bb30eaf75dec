"""The screen of a device, as a stream of RFB that any viewer understands.

`open_rfb` opens it on a session's SSH connection and gives bytes, both ways; `serve_viewer` puts
one local viewer on it, by a port of this computer that takes a single connection.  Nothing of what
the device sends is read here: it is the viewer's to judge, and the viewer's name for security is
None because SSH did that already.

The stream ends where the device ends it.  Why, it says beside the stream: as a line of JSON on the
error output, or, where a scope was taken back, in the channel's exit-signal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncssh
import msgspec

from farhand_console.output import printable
from farhand_console.session.channel import raise_error
from farhand_console.session.partings import parting_of
from farhand_console.session.scopes import not_open
from farhand_protocol.errors import FarhandError

__all__ = ["RfbStream", "open_rfb", "serve_viewer"]

_PIECE_BYTES: Final = 64 * 1024
_MAX_ERROR_BYTES: Final = 16 * 1024
# The device starts a process, which looks at the screen.
_FIRST_S: Final = 30.0
_CLOSE_S: Final = 2.0


class RfbStream:
    """RFB from and to a device."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], first: bytes) -> None:
        self._process = process
        self._first = first

    async def read(self) -> bytes:
        """Return what the device sends next, at most 64 KiB; empty at the end.

        Safe to cancel.

        Raises:
            FarhandError: `session-lost`.
        """
        if self._first:
            data, self._first = self._first, b""
            return data
        return await _read(self._process)

    async def write(self, data: bytes) -> None:
        """Send what the viewer says, and wait until there is room for more.

        Raises:
            FarhandError: `session-lost`.
        """
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (asyncssh.Error, OSError) as error:
            raise _lost(error) from error

    async def gone(self) -> None:
        """Wait until the device has ended it; what was not read by then still can be."""
        await self._process.wait_closed()

    def end(self) -> None:
        """Say that the viewer has gone."""
        with contextlib.suppress(OSError):  # the device went first
            self._process.stdin.write_eof()

    async def check(self) -> None:
        """Look why the stream has ended, once it has.

        Raises:
            FarhandError: what the device said: a code of docs/errors.md with `rfb-` or `screen-`,
                or `scope-withdrawn`; nothing where the viewer had gone.
        """
        with contextlib.suppress(TimeoutError):  # an end without a reason is an end
            async with asyncio.timeout(_CLOSE_S):
                await _raise_told(self._process)
                await self._process.wait_closed()
        if (error := parting_of(self._process)) is not None:
            raise error


@asynccontextmanager
async def open_rfb(
    connection: asyncssh.SSHClientConnection, *, view_only: bool = False
) -> AsyncIterator[RfbStream]:
    """Open the screen of the device, and close it at the end of the block.

    Args:
        connection: of the session (`connect_ssh`).
        view_only: the device lets nothing through, whatever scopes are open.

    Raises:
        FarhandError: `scope-missing` where the session does not include it, the device's own
            `screen-...`, `session-lost`.
    """
    name = "farhand-rfb-view" if view_only else "farhand-rfb"
    try:
        process: Any = await connection.create_process(subsystem=name, encoding=None)
    except asyncssh.ChannelOpenError as error:
        raise not_open("screen", error) from error
    except (asyncssh.Error, OSError) as error:
        raise _lost(error) from error
    try:
        async with asyncio.timeout(_FIRST_S):
            first = await _read(process)
            if not first:
                await _raise_told(process)
                raise parting_of(process) or _lost("the device ended the channel")
        yield RfbStream(process, first)
    except TimeoutError as error:
        raise _lost(error) from error
    finally:
        process.close()


async def serve_viewer(
    connection: asyncssh.SSHClientConnection,
    *,
    port: int,
    view_only: bool,
    ready: Callable[[int], None],
) -> None:
    """Wait for one viewer on this computer and carry its screen until either has gone.

    Args:
        connection: of the session.
        port: on 127.0.0.1; 0 for one that is free.
        view_only: see `open_rfb`.
        ready: is told the port when a viewer may connect.

    Raises:
        FarhandError: as `open_rfb` and `RfbStream`; `port-taken`.
    """
    async with open_rfb(connection, view_only=view_only) as stream:
        viewer = await _first_viewer(stream, port, ready)
        if viewer is None:
            await stream.check()
            return
        reader, writer = viewer
        try:
            await _carry(stream, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):  # the viewer went first
                await writer.wait_closed()
        await stream.check()


_Viewer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _first_viewer(
    stream: RfbStream, port: int, ready: Callable[[int], None]
) -> _Viewer | None:
    """Return the first who connects; None where the device ended the screen before."""
    came: asyncio.Future[_Viewer] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if came.done():
            writer.close()  # it is for one
        else:
            came.set_result((reader, writer))

    try:
        server = await asyncio.start_server(take, "127.0.0.1", port)
    except OSError as error:
        raise FarhandError(
            "port-taken", f"cannot listen on 127.0.0.1:{port}: {error.strerror}"
        ) from error
    try:
        ready(int(server.sockets[0].getsockname()[1]))
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(stream.gone())
            await asyncio.wait((came, gone), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
    finally:
        server.close()
    return came.result() if came.done() else None


async def _carry(
    stream: RfbStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async def show() -> None:
        while data := await stream.read():
            writer.write(data)
            await writer.drain()

    async def tell() -> None:
        while data := await reader.read(_PIECE_BYTES):
            await stream.write(data)
        stream.end()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_until_gone(one())) for one in (show, tell)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _until_gone(carry: Coroutine[Any, Any, None]) -> None:
    """Carry until the viewer has gone, in whichever way."""
    try:
        await carry
    except ConnectionError:
        return


async def _read(process: asyncssh.SSHClientProcess[bytes]) -> bytes:
    try:
        return bytes(await process.stdout.read(_PIECE_BYTES))
    except (asyncssh.Error, OSError) as error:
        raise _lost(error) from error


async def _raise_told(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Raise what the device said beside the stream, if it said anything.

    Raises:
        FarhandError: the device's own; `session-lost`.
    """
    try:
        line = await process.stderr.read(_MAX_ERROR_BYTES)
    except (asyncssh.Error, OSError) as error:
        raise _lost(error) from error
    if not line:
        return
    try:
        told = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _lost(error) from error
    try:
        raise_error(told)
    except FarhandError as error:
        raise FarhandError(error.code, printable(error.message, 300)) from error


def _lost(why: object) -> FarhandError:
    return FarhandError("session-lost", "the device shows its screen no longer", detail=str(why))
