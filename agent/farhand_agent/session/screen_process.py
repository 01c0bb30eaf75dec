"""The process that shows the screen: started as the person at the desktop, ended with its viewer.

The session's process reads no pixel and moves no pointer.  It starts this one
(farhand_agent.screen) for each viewer, holds one end of a pair of sockets and hands the other over.
The screen's process ends when that end closes, also where the session's process was killed; it
carries no mark of the session, so that the kill that ends programs at Stop does not come before it
lets the keys go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from farhand_agent.processes import command
from farhand_agent.screen.seat import Seat, find_seat
from farhand_agent.screen.wire import Kind, encode_json, read_frame, write_frame
from farhand_protocol.errors import RemoteError

__all__ = ["END_S", "ScreenProcess"]

# So long it has to let go of what it holds down.
END_S: Final = 1.0
_MODULE: Final = "farhand_agent.screen"


class ScreenProcess:
    """One running process; use as an asynchronous context manager.

    Args:
        begin: how it begins (farhand_agent.screen.worker).
        hear: takes the JSON that it says when it ends.
    """

    def __init__(self, begin: dict[str, Any], hear: Callable[[bytes], None]) -> None:
        self._begin = begin
        self._hear = hear
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> ScreenProcess:
        """Start it.

        Raises:
            FarhandError: `screen-unavailable` where there is no desktop.
            OSError: it cannot be started.
        """
        seat = await asyncio.to_thread(find_seat)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await _start(seat, theirs)
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            await self._kill()
            raise
        self.tell(self._begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Have it let go of everything, and end it."""
        try:
            self.tell({"do": "end"})
            async with asyncio.timeout(END_S):
                while (frame := await read_frame(self._reader)) is not None:
                    if frame[0] == "J":  # nobody waits for pictures any more
                        self._hear(frame[1])
                assert self._process is not None
                await self._process.wait()
        except (TimeoutError, ConnectionError, RemoteError):
            pass  # it had its moment; what follows ends it
        finally:
            self._writer.close()
            await self._kill()
            with contextlib.suppress(ConnectionError):  # it is gone, which is what was wanted
                await self._writer.wait_closed()

    def tell(self, fields: dict[str, Any]) -> None:
        """Say something to it, before whatever is sent later; must not block, and does not."""
        data = encode_json(fields)
        self._writer.write(b"J" + len(data).to_bytes(4, "big") + data)

    async def send(self, data: bytes) -> None:
        """Pass on bytes of the viewer.

        Raises:
            ConnectionError: it is gone.
        """
        await write_frame(self._writer, "R", data)

    async def receive(self) -> tuple[Kind, bytes] | None:
        """Return its next frame; None where it has ended.

        Raises:
            RemoteError: `screen-failed`.
        """
        return await read_frame(self._reader)

    async def _kill(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


async def _start(seat: Seat, theirs: socket.socket) -> asyncio.subprocess.Process:
    environment = {**_kept(), **seat.environment}
    if sys.platform == "win32":
        return await _start_windows(environment, theirs)
    whose: dict[str, Any] = {}
    if seat.uid is not None:
        whose, home = _as_user(seat.uid)
        environment["HOME"] = home
    return await asyncio.create_subprocess_exec(
        *command(_MODULE, "fd"),
        stdin=theirs.fileno(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
        **whose,
    )


async def _start_windows(
    environment: dict[str, str], theirs: socket.socket
) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *command(_MODULE, "share"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdin is not None
    share: bytes = getattr(theirs, "share")(process.pid)  # noqa: B009  # Windows alone has it
    process.stdin.write(len(share).to_bytes(4, "big") + share)
    await process.stdin.drain()
    return process


def _kept() -> dict[str, str]:
    """Return what a program needs anywhere, and nothing of the service's own."""
    names = ("PATH", "HOME", "LANG", "SYSTEMROOT", "TEMP", "TMPDIR", "PYTHONPATH", "USERPROFILE")
    return {name: os.environ[name] for name in names if name in os.environ}


def _as_user(uid: int) -> tuple[dict[str, Any], str]:
    import pwd  # POSIX alone has it

    try:
        account = pwd.getpwuid(uid)
    except KeyError as error:
        raise OSError("whoever sits at this device has no account here") from error
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    switch = {"user": uid, "group": account.pw_gid, "extra_groups": groups}
    return switch, account.pw_dir
