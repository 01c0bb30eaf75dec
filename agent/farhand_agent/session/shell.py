"""Programs that a session runs: the login shell or one command, with or without a terminal.

What runs here runs as the user of the session process, in a process group of its own, so that the
session's end ends all of it.  Nothing is interpreted on the way: a command goes to the device's
login shell as one argument.

asyncssh's `redirect()` is not used: its reader is started a second time after the first pause and
takes the whole connection down.  Each direction is pumped by hand, `write` then `drain`, so that a
slow console slows the program and nothing piles up.  A terminal is read ahead into a bounded buffer
while the pipe is down, so that a program does not stop for a short loss of the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import pwd
import signal
import struct
import termios
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

__all__ = ["Program", "Streams", "login_environment", "login_shell"]

_log = logging.getLogger(__name__)

# Two SSH packets that fit one frame of the pipe with what SSH puts around them.
CHUNK_BYTES = 63 * 1024
# What one read of asyncio's takes (fcntl(2); 64 KiB are usual).
PIPE_BYTES = 256 * 1024
# EternalTerminal keeps 4 MB for a terminal whose network is down; so do we.
AWAY_BUFFER_BYTES = 4 * 1024 * 1024
# After the program ended, something it left behind may still hold its output open.
LINGER_S = 1.0
KILL_GRACE_S = 2.0
MAX_COLUMNS = 10_000

_SIGNAL_NAMES = "ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT TERM USR1 USR2"
_SIGNALS = {name: getattr(signal, f"SIG{name}") for name in _SIGNAL_NAMES.split()}


class Streams(Protocol):
    """The channel's three streams, as raw bytes, and its ways to end."""

    async def read(self) -> bytes:
        """Return input from the console; empty at its end."""

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Write output and wait until there is room for more; OSError when the channel is gone."""


def login_shell() -> str:
    """Return the login shell of the user that this process runs as; /bin/sh when there is none."""
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        shell = ""
    return shell if shell and os.access(shell, os.X_OK) else "/bin/sh"


def login_environment(extra: dict[str, str], term: str | None = None) -> dict[str, str]:
    """Return the environment of a program: that of a fresh login, not that of the agent.

    Args:
        extra: what the console asked for and was allowed (LANG, LC_*).
        term: terminal type, where there is a terminal.
    """
    try:
        user = pwd.getpwuid(os.getuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:
        name, home = str(os.getuid()), "/"
    path = "/usr/local/bin:/usr/bin:/bin"
    if os.getuid() == 0:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {
        "HOME": home,
        "LOGNAME": name,
        "PATH": path,
        "SHELL": login_shell(),
        "USER": name,
        **{key: os.environ[key] for key in ("LANG", "TZ") if key in os.environ},
        **extra,
    }
    if term:
        environment["TERM"] = term
    return environment


def _home() -> str:
    home = login_environment({})["HOME"]
    return home if os.path.isdir(home) else "/"


class Program:
    """One program under one channel.

    Args:
        command: for the shell; None starts a login shell.
        environment: see `login_environment`.
        size: columns, rows and their pixels where a terminal was asked for, else None.
        is_away: tells whether the pipe is down at this moment.
    """

    def __init__(
        self,
        command: str | None,
        environment: dict[str, str],
        *,
        size: tuple[int, int, int, int] | None = None,
        is_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._command = command
        self._environment = environment
        self._size = size
        self._is_away = is_away
        self._process: asyncio.subprocess.Process | None = None
        self._master: int | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._exit: _Exit | None = None
        self._over = False
        self._moved = 0
        self._writing = 0

    async def run(self, streams: Streams) -> int:
        """Run it to its end.

        Returns:
            The exit status as `subprocess` has it: negative for a signal.

        Raises:
            OSError: it could not be started, or the channel is gone.

        Safe to cancel: the process group is then killed.
        """
        try:
            if self._size is None:
                return await self._run_piped(streams)
            return await self._run_on_terminal(streams, self._size)
        finally:
            # Nothing that stayed in the program's process group outlives its channel.
            self.kill(signal.SIGKILL)
            self._over = True
            if self._transport is not None:
                self._transport.close()
            if self._exit is not None:
                await self._exit.seen.wait()  # it was killed, so this is soon

    def hang_up(self) -> None:
        """Tell the program that its console is gone, and kill it when it does not heed that."""
        self.kill(signal.SIGHUP)
        self.kill(signal.SIGCONT)
        asyncio.get_running_loop().call_later(KILL_GRACE_S, self.kill, signal.SIGKILL)

    def signal(self, name: str) -> None:
        """Send the signal that the console named (RFC 4254 s6.10) to the process group."""
        number = _SIGNALS.get(name)
        if number is not None:
            self.kill(number)

    def resize(self, columns: int, rows: int, x_pixels: int, y_pixels: int) -> None:
        """Set the terminal's size; the kernel tells the program."""
        if self._master is not None:
            _set_size(self._master, (columns, rows, x_pixels, y_pixels))

    def kill(self, number: int) -> None:
        """Send a signal to the whole process group, if it is still there."""
        if self._process is None or self._over:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # all of it has ended
        except PermissionError as error:
            _log.warning("process group %d: %s", self._process.pid, error)

    def _arguments(self) -> tuple[str, list[str]]:
        shell = login_shell()
        if self._command is None:
            return shell, ["-" + os.path.basename(shell)]
        return shell, [os.path.basename(shell), "-c", self._command]

    async def _run_piped(self, streams: Streams) -> int:
        shell, arguments = self._arguments()
        process = await self._start(
            arguments,
            executable=shell,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        return await self._watch(
            self._feed(streams, process.stdin),
            self._pump(process.stdout.read, streams, error=False),
            self._pump(process.stderr.read, streams, error=True),
        )

    async def _run_on_terminal(self, streams: Streams, size: tuple[int, int, int, int]) -> int:
        shell, arguments = self._arguments()
        master, slave = os.openpty()
        self._master = master
        try:
            _set_size(master, size)

            def take_terminal() -> None:
                # By the slave's own number: with some event loops standard input is not in place
                # yet when this runs, and a failure here would take the whole connection down.
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                # An agent that a script put into the background ignores Ctrl-C; its shells heed it.
                for number in (signal.SIGINT, signal.SIGQUIT):
                    signal.signal(number, signal.SIG_DFL)

            try:
                await self._start(
                    arguments,
                    executable=shell,
                    stdin=slave,
                    stdout=slave,
                    stderr=slave,
                    preexec_fn=take_terminal,
                )
            finally:
                os.close(slave)
            os.set_blocking(master, False)
            terminal = _Terminal(master, self._is_away)
            try:
                return await self._watch(
                    terminal.feed(streams), self._pump(terminal.read, streams, error=False)
                )
            finally:
                terminal.close()
        finally:
            self._master = None
            os.close(master)

    async def _start(self, arguments: list[str], **options: Any) -> asyncio.subprocess.Process:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Exit(CHUNK_BYTES * 2, loop),
            *arguments,
            env=self._environment,
            cwd=_home(),
            start_new_session=True,
            **options,
        )
        self._transport = transport
        self._exit = protocol
        self._process = asyncio.subprocess.Process(transport, protocol, loop)
        output = transport.get_pipe_transport(1)
        if output is not None and not (pipe := output.get_extra_info("pipe")).closed:
            _widen(pipe.fileno())  # a short program may have ended already
        return self._process

    async def _watch(
        self, feed: Coroutine[Any, Any, None], *pumps: Coroutine[Any, Any, None]
    ) -> int:
        """Run the pumps until the program ended and its output is written."""
        assert self._process is not None
        assert self._exit is not None
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(feed)
            pumping = {group.create_task(pump) for pump in pumps}
            await self._exit.seen.wait()
            while pending := {task for task in pumping if not task.done()}:
                moved = self._moved
                await asyncio.wait(pending, timeout=LINGER_S)
                if moved == self._moved and not self._writing:
                    # Something in the background holds the output open and says nothing.
                    for task in pending:
                        task.cancel()
                    break
            feeding.cancel()
        status = self._process.returncode
        assert status is not None
        return status

    async def _feed(self, streams: Streams, stdin: asyncio.StreamWriter) -> None:
        try:
            while data := await streams.read():
                stdin.write(data)
                await stdin.drain()
            stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            return  # the program does not read its input; it may well still write

    async def _pump(
        self, read: Callable[[int], Awaitable[bytes]], streams: Streams, *, error: bool
    ) -> None:
        while data := await read(CHUNK_BYTES):
            self._writing += 1
            try:
                await streams.write(data, error=error)
            except OSError:
                self.hang_up()  # the channel is gone
                return
            finally:
                self._writing -= 1
                self._moved += 1


def _widen(pipe: int) -> None:
    """Let a program write more before it waits for us: fewer, larger reads."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        # The system bounds what one user's pipes may hold; then it stays as it is.
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class _Exit(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells when the program itself has ended.

    `Process.wait` waits for its pipes as well, which anything left in the background holds open.
    """

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=limit, loop=loop)
        self.seen = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.seen.set()


class _Terminal:
    """The master side of a pseudo-terminal, read ahead into a bounded buffer."""

    def __init__(self, master: int, is_away: Callable[[], bool]) -> None:
        self._fd = master
        self._is_away = is_away
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._filled = asyncio.Event()
        self._ended = False
        self._paused = False
        self._writable = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(master, self._on_readable)

    def close(self) -> None:
        """Stop watching the terminal; its owner closes the descriptor."""
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        if self._timer is not None:
            self._timer.cancel()

    async def read(self, limit: int) -> bytes:
        """Return what the program wrote, at most `limit` bytes; empty at its end."""
        while not self._buffer:
            if self._ended:
                return b""
            self._filled.clear()
            await self._filled.wait()
        data = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        self._consider()
        return data

    async def feed(self, streams: Streams) -> None:
        """Type what the console sends; its end is typed as the end-of-file character."""
        while data := await streams.read():
            await self._type(data)
        await self._type(b"\x04")

    async def _type(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                self._writable.clear()
                self._loop.add_writer(self._fd, self._writable.set)
                try:
                    await self._writable.wait()
                finally:
                    self._loop.remove_writer(self._fd)
            except OSError:
                return  # the program closed its terminal

    def _room(self) -> int:
        limit = AWAY_BUFFER_BYTES if self._is_away() else 2 * CHUNK_BYTES
        return limit - len(self._buffer)

    def _consider(self) -> None:
        """Go on reading when there is room; else look again soon, for the pipe may be lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._paused or self._ended:
            return
        if self._room() > 0:
            self._paused = False
            self._loop.add_reader(self._fd, self._on_readable)
        else:
            self._timer = self._loop.call_later(0.5, self._consider)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # Linux answers EIO once nobody holds the slave
        if not data:
            self._ended = True
            self._loop.remove_reader(self._fd)
        self._buffer += data
        self._filled.set()
        if not self._ended and self._room() <= 0:
            self._paused = True
            self._loop.remove_reader(self._fd)
            self._consider()


def _set_size(fd: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, x_pixels, y_pixels = (min(max(0, one), MAX_COLUMNS) for one in size)
    packed = struct.pack("HHHH", rows or 24, columns or 80, x_pixels, y_pixels)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, packed)
