"""Terminals in the page: a shell on the device at the other end of a websocket.

    page  -> {"size": [80, 24]}      first, and when it changes
    page  -> bytes                   what was typed, in pieces
    page  -> {"shown": N}            so many bytes of output have been drawn
    page <-  {"ready": true}         the shell runs
    page <-  bytes                   its output
    page <-  {"took": N}             so many typed bytes went on to the device
    page <-  {"say": WORDS}          about the line
    page <-  {"end": STATUS}         the shell has ended;  {"error": {...}}: or something ended it

Both ways no more is under way than the other end takes: past `MAX_UNSHOWN_BYTES` nothing is read
from the device, which then stops whoever prints, and of typed input the page sends no more than
half of `MAX_TYPED_BYTES` ahead of what was taken.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncssh
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath

from farhand_console.session.scopes import not_open
from farhand_console.web.session_lines import SessionLine, SessionLines
from farhand_console.web.sockets import Socket, error_body, first_of
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["MAX_TERMINALS", "MAX_TYPED_BYTES", "MAX_UNSHOWN_BYTES", "terminal_socket"]

MAX_TERMINALS: Final = 32
MAX_UNSHOWN_BYTES: Final = 256 * 1024
MAX_TYPED_BYTES: Final = 256 * 1024
_CHUNK_BYTES: Final = 32 * 1024
_MAX_SIDE: Final = 1000
_TERM: Final = "xterm-256color"


class _Terminal:
    """One shell, and what is under way to and from it."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._unshown = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._typed_bytes = 0
        self._words: asyncio.Queue[str] = asyncio.Queue(maxsize=64)

    def notice(self, words: str) -> None:
        """Take a line of words about the connection; too many at once are left out."""
        if not self._words.full():
            self._words.put_nowait(words)

    async def run(self, line: SessionLine, size: tuple[int, int]) -> None:
        """Run a shell until it or the page ends."""
        try:
            process = await line.connection.create_process(
                term_type=_TERM, term_size=size, encoding=None
            )
        except asyncssh.ChannelOpenError as error:
            raise not_open("terminal", error) from error
        except (asyncssh.Error, OSError) as error:
            raise await line.reason(error) from error
        try:
            await self._socket.say({"ready": True})
            await first_of(
                self._output(process), self._input(process), self._listen(process), self._tell()
            )
            await process.wait_closed()
        except (BrokenPipeError, ConnectionError, asyncssh.Error) as error:
            raise await line.reason(error) from error
        finally:
            process.close()
        if process.exit_status is None and not process.exit_signal:
            raise await line.reason()
        status = 255 if process.exit_status is None else process.exit_status
        await self._socket.say({"end": status})

    async def _output(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        while data := await process.stdout.read(_CHUNK_BYTES):
            self._unshown += len(data)
            await self._socket.send(data)
            if self._unshown >= MAX_UNSHOWN_BYTES:
                self._has_room.clear()
                await self._has_room.wait()

    async def _input(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        while True:
            data = await self._typed.get()
            try:
                process.stdin.write(data)
                await process.stdin.drain()
            except (BrokenPipeError, ConnectionError):
                await process.wait_closed()  # it has ended, and its last output is still read
                await asyncio.Event().wait()
            self._typed_bytes -= len(data)
            await self._socket.say({"took": len(data)})

    async def _listen(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        while True:
            message = await self._socket.receive()
            if isinstance(message, bytes):
                self._typed_bytes += len(message)
                if self._typed_bytes > MAX_TYPED_BYTES:
                    raise UsageError("terminal-flood", "more was typed than the device takes")
                self._typed.put_nowait(message)
            elif "size" in message:
                if not process.is_closing():
                    process.change_terminal_size(*_size(message))
            elif isinstance(shown := message.get("shown"), int) and shown > 0:
                self._unshown = max(0, self._unshown - shown)
                if self._unshown < MAX_UNSHOWN_BYTES:
                    self._has_room.set()

    async def _tell(self) -> None:
        while True:
            await self._socket.say({"say": await self._words.get()})


def _size(message: dict[str, Any]) -> tuple[int, int]:
    size = message.get("size")
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(one, int) and 1 <= one <= _MAX_SIDE for one in size)
    ):
        raise UsageError("act-values", "a terminal has 1 to 1000 columns and lines")
    return size[0], size[1]


@websocket("/local/sessions/{session:str}/terminal")
async def terminal_socket(socket: WebSocket[Any, Any, Any], session: FromPath[str]) -> None:
    """Run one shell in a session."""
    await socket.accept()
    page = Socket(socket)
    lines: SessionLines = socket.app.state.session_lines
    running: set[int] = socket.app.state.terminals
    try:
        first = await page.receive()
        size = _size(first if isinstance(first, dict) else {})
        if len(running) >= MAX_TERMINALS:
            raise FarhandError("web-busy", f"{MAX_TERMINALS} terminals are open already")
        running.add(id(page))
        terminal = _Terminal(page)
        async with lines.use(session, terminal.notice) as line:
            await terminal.run(line, size)
    except FarhandError as error:
        await page.try_say({"error": error_body(error)})
    except WebSocketDisconnect:
        return
    finally:
        running.discard(id(page))
    await page.close()
