"""The servers of tests: closed whole, whatever their handlers and their callers do."""

from __future__ import annotations

import asyncio
import gc
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


def test_a_handlers_own_mistake_is_raised() -> None:
    with pytest.raises(ValueError, match="own mistake"):
        asyncio.run(_call(_err))
