"""The servers of tests: closed whole, whatever their handlers and their callers do."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from tests.support.listeners import hang_up, listener


async def _wait_for_ever(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _leave(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    raise ConnectionResetError


async def _err(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    raise ValueError("the test's own mistake")


async def _call(serve: object) -> None:
    async with listener(serve) as port:  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        _, unread = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"hello")
            if serve is not _wait_for_ever:
                await reader.read()
        finally:
            await hang_up(writer)
            await hang_up(unread, at_once=True)


@pytest.mark.parametrize("serve", [_wait_for_ever, _leave])
def test_nothing_is_left_to_warn_after_the_loop_is_closed(serve: object) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(_call(serve))
        gc.collect()
    assert [str(one.message) for one in said if one.category is ResourceWarning] == []


@pytest.mark.parametrize("steps", range(8))
async def test_whoever_comes_while_it_stops_is_hung_up_on(steps: int) -> None:
    """However far the loop has got with a connection when the block ends."""
    before = asyncio.all_tasks()
    with socket.socket() as late:
        async with listener(_wait_for_ever) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            late.connect(("127.0.0.1", port))
            for _ in range(steps):
                await asyncio.sleep(0)
        await hang_up(writer)
        for _ in range(8):
            await asyncio.sleep(0)  # what was on its way arrives now
        assert asyncio.all_tasks() == before
        gc.collect()
        late.settimeout(20)
        try:
            assert late.recv(1) == b""
        except ConnectionResetError:
            return  # it never got as far as a connection


def test_a_handlers_own_mistake_is_raised() -> None:
    with pytest.raises(ValueError, match="own mistake"):
        asyncio.run(_call(_err))
