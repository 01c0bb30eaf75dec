"""Where `farhand proxy` writes: a pipe of stock ssh, or the one socket of other programs.

Whatever it says on stderr, ssh shows to the person; so neither may end in a word of Python.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from farhand_console.session.proxy import _open_stdout


@contextmanager
def stdout(kind: str) -> Iterator[tuple[IO[bytes], IO[bytes], int]]:
    """Yield (stdin, stdout, where it can be read)."""
    if kind == "pipe":
        (stdin, feed), (there, back) = os.pipe(), os.pipe()
        os.close(feed)
        read = there
    else:
        ours, theirs = socket.socketpair()
        stdin, back, read = theirs.detach(), -1, ours.detach()
        back = os.dup(stdin)
    with open(stdin, "rb") as first, open(back, "wb", buffering=0) as second:
        try:
            yield first, second, read
        finally:
            os.close(read)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
async def test_what_ssh_gives_us_is_written_to_without_a_word(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    gone = asyncio.Event()
    with stdout(kind) as (first, second, read):
        monkeypatch.setattr(sys, "stdin", first)
        monkeypatch.setattr(sys, "stdout", second)
        writer = await _open_stdout(gone)
        writer.write(b"SSH-2.0-x\r\n")
        async with asyncio.timeout(20):
            await writer.drain()
            assert await asyncio.to_thread(os.read, read, 100) == b"SSH-2.0-x\r\n"
            writer.close()
            await gone.wait()
    assert told == []
