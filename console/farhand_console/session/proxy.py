"""proxy (stdin and stdout to a pipe) and forward (a local port to a destination)."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

import asyncssh

from farhand_console.home import Home
from farhand_console.relay import Relay
from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import open_pipe
from farhand_console.session.stdio import StdinReader
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["listen_forward", "run_proxy"]

_LOOK_S = 1.0


class _Stdout(asyncio.Protocol):
    """Writes what comes out of the pipe to stdout and slows the pipe when stdout is slow."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._transport: asyncio.Transport | None = None
        self._behind = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.drained = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._writer.write(data)
        if not self._behind and self._writer.transport.get_write_buffer_size() > 256 * 1024:
            self._behind = True
            if self._transport is not None:
                self._transport.pause_reading()
            self.drained.set()

    async def keep_draining(self) -> None:
        """Resume the pipe whenever stdout has caught up; runs until cancelled."""
        while True:
            await self.drained.wait()
            self.drained.clear()
            try:
                await self._writer.drain()
            except ConnectionError:
                return  # whoever read our stdout is gone; `run_proxy` hears of it too
            self._behind = False
            if self._transport is not None:
                self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()


class _Outlet(asyncio.streams.FlowControlMixin):
    """Notices when whoever reads our stdout is gone."""

    def __init__(self, gone: asyncio.Event) -> None:
        super().__init__()
        self._gone = gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # That of a pipe calls itself a Transport as well, and cannot read.
        is_socket = transport.get_extra_info("socket") is not None
        if is_socket and isinstance(transport, asyncio.Transport):
            transport.pause_reading()  # what comes the other way is stdin's

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gone.set()


def _is_one_socket() -> bool:
    """Tell whether stdin and stdout are one socket, as some programs give it to their proxy."""
    try:
        there, back = os.fstat(sys.stdin.fileno()), os.fstat(sys.stdout.fileno())
    except (AttributeError, ValueError, OSError):
        return False  # started without one of them
    return stat.S_ISSOCK(back.st_mode) and os.path.samestat(there, back)


async def _open_stdout(gone: asyncio.Event) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    flow = _Outlet(gone)
    out: asyncio.WriteTransport
    if _is_one_socket():
        # As a pipe it would be taken for closed as soon as something came.
        connection = socket.socket(fileno=os.dup(sys.stdout.fileno()))
        out, _ = await loop.create_connection(lambda: flow, sock=connection)
    else:
        out, _ = await loop.connect_write_pipe(lambda: flow, sys.stdout)
    return asyncio.StreamWriter(out, flow, None, loop)


async def _until_hung_up() -> None:
    """Wait until the other end of the one socket is closed, not only for writing."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    while not poll.poll(0):  # noqa: ASYNC110 - no loop tells of it
        await asyncio.sleep(_LOOK_S)


async def run_proxy(
    home: Home, relay: Relay, record: SessionRecord, *, notice: Callable[[str], None]
) -> None:
    """Carry stdin and stdout over one pipe until the device or the reader of stdout is gone.

    The end of stdin is not the end of the pipe: ssh may half-close, and the device may still have
    something to say.  ssh ends its ProxyCommand by a signal, or by closing both.
    """
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    for number in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(number, gone.set)
    reader = StdinReader()
    try:
        writer = await _open_stdout(gone)
    except ValueError as error:
        raise UsageError(
            "usage", "proxy is started by ssh, as its ProxyCommand", hint="farhand ssh-config"
        ) from error
    async with open_pipe(home, relay, record, notice=notice) as pipe:
        protocol = _Stdout(writer)
        transport = pipe.connect(protocol)

        async def upward() -> None:
            while data := await reader.read():
                await protocol.may_write.wait()
                transport.write(data)
            if _is_one_socket():
                await _until_hung_up()
                gone.set()

        async with asyncio.TaskGroup() as group:
            # The end of stdin ends nothing: a live ssh may have half-closed only.
            tasks = [
                group.create_task(upward()),
                group.create_task(protocol.keep_draining()),
            ]
            ends = [group.create_task(pipe.closed.wait()), group.create_task(gone.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, *ends):
                task.cancel()
        if pipe.reason not in ("", "done"):
            raise FarhandError(
                pipe.reason if pipe.reason.startswith("session-") else "session-lost",
                f"the pipe to the device closed: {pipe.reason}",
            )


async def listen_forward(
    connection: asyncssh.SSHClientConnection, spec: str, *, say: Callable[[str], None]
) -> None:
    """Listen on 127.0.0.1 and carry each connection; runs until the session ends.

    A connection that the device refuses is closed, and a line says so.

    Raises:
        UsageError: `usage` when the words are not LPORT:HOST:PORT.
    """
    local, _, rest = spec.partition(":")
    host, _, port = rest.rpartition(":")
    if not (re.fullmatch("[0-9]{1,5}", local) and re.fullmatch("[0-9]{1,5}", port) and host):
        raise UsageError("usage", f"{spec[:80]!r} is not LPORT:HOST:PORT")
    host = host.strip("[]")
    if int(local) > 65_535 or not 1 <= int(port) <= 65_535:
        raise UsageError("usage", f"{spec[:80]!r} names a port that does not exist")
    _tell_refused(connection, f"{host}:{port}", say)
    try:
        listener = await connection.forward_local_port("127.0.0.1", int(local), host, int(port))
    except OSError as error:
        raise FarhandError(
            "port-taken", f"cannot listen on 127.0.0.1:{local}: {error.strerror}"
        ) from error
    say(f"listening on 127.0.0.1:{listener.get_port()}")
    await connection.wait_closed()


def _tell_refused(
    connection: asyncssh.SSHClientConnection, where: str, say: Callable[[str], None]
) -> None:
    """Say a line for each carried connection that does not come about.

    asyncssh carries what its listener accepts with the connection's `create_connection`, and tells
    nobody but its log when that fails; whoever connected here sees an empty answer.
    """
    create = connection.create_connection

    async def told(*args: Any, **options: Any) -> Any:
        try:
            return await create(*args, **options)
        except asyncssh.ChannelOpenError as error:
            say(f"a connection to {where} was refused: {error.reason[:200]}")
            raise

    connection.create_connection = told  # type: ignore[method-assign]
