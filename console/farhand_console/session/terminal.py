"""exec and shell: the local terminal at one end of an SSH channel.

`exec` is as ssh does it: one word goes to the device's shell as it is, several are quoted so that
each arrives unchanged.  stdin is forwarded, the exit status is the remote one.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from typing import Any

import asyncssh

from farhand_console.session.partings import parting_of
from farhand_console.session.scopes import not_open
from farhand_console.session.stdio import StdinReader
from farhand_protocol.errors import FarhandError

__all__ = ["join_command", "run_exec", "run_shell"]

_CHUNK = 32 * 1024
_FALLBACK_SIZE = (80, 24)


def join_command(words: Sequence[str]) -> str:
    """Return what the device's shell gets."""
    if len(words) == 1:
        return words[0]
    return " ".join(shlex.quote(word) for word in words)


def exit_status(process: asyncssh.SSHClientProcess[bytes]) -> int:
    """Return the remote exit status, 128 + N for a signal, 255 when there is neither."""
    if process.exit_signal:
        number = getattr(signal, f"SIG{process.exit_signal[0]}", None)
        return 128 + int(number) if number is not None else 255
    return 255 if process.exit_status is None else process.exit_status


async def run_exec(connection: asyncssh.SSHClientConnection, command: str) -> int:
    """Run a command with this process's stdin, stdout and stderr; return its exit status."""
    try:
        process = await connection.create_process(command, encoding=None)
    except asyncssh.ChannelOpenError as error:
        raise not_open("terminal", error) from error
    await _converse(process)
    return _ended(process)


def _ended(process: asyncssh.SSHClientProcess[bytes]) -> int:
    if (error := parting_of(process)) is not None:
        raise error
    if process.exit_status is None and not process.exit_signal:
        raise FarhandError("session-lost", "the session ended before the command did")
    return exit_status(process)


async def _converse(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Carry stdin, stdout and stderr until the remote end is done."""
    async with asyncio.TaskGroup() as group:
        feeder = group.create_task(_feed(process))
        await asyncio.gather(
            _drain(process.stdout, sys.stdout.buffer), _drain(process.stderr, sys.stderr.buffer)
        )
        await process.wait_closed()
        feeder.cancel()


async def _feed(process: asyncssh.SSHClientProcess[bytes]) -> None:
    reader = StdinReader()
    try:
        while data := await reader.read():
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, ConnectionError, asyncssh.Error):
        return  # the command ended without reading all of its input, as commands may


async def _drain(source: asyncssh.SSHReader[bytes], sink: Any) -> None:
    while data := await source.read(_CHUNK):
        await asyncio.to_thread(_write, sink, data)


def _write(sink: Any, data: bytes) -> None:
    sink.write(data)
    sink.flush()


def _terminal_size() -> tuple[int, int]:
    """Return columns and lines of the terminal itself, whatever COLUMNS says."""
    try:
        size = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return _FALLBACK_SIZE
    return (size.columns, size.lines) if size.columns and size.lines else _FALLBACK_SIZE


async def run_shell(connection: asyncssh.SSHClientConnection) -> int:
    """Run an interactive shell on this terminal; return its exit status.

    Raises:
        FarhandError: `no-terminal` when stdin is not a terminal, `scope-missing`.
    """
    if not sys.stdin.isatty():
        raise FarhandError(
            "no-terminal", "a shell needs a terminal", hint="farhand exec S -- COMMAND"
        )
    columns, lines = _terminal_size()
    try:
        process = await connection.create_process(
            term_type=os.environ.get("TERM", "xterm"),
            term_size=(columns, lines),
            encoding=None,
        )
    except asyncssh.ChannelOpenError as error:
        raise not_open("terminal", error) from error

    def resized() -> None:
        if not process.is_closing():
            process.change_terminal_size(*_terminal_size())

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, resized)
    before = termios.tcgetattr(sys.stdin.fileno())
    tty.setraw(sys.stdin.fileno(), termios.TCSADRAIN)  # what was typed ahead is kept
    try:
        await _converse(process)
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
        loop.remove_signal_handler(signal.SIGWINCH)
    return _ended(process)
