"""Both buses keep the same rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.bus.bus import MAX_BUS_BYTES, Bus
from farhand_server.bus.nats import connect_nats
from farhand_server.tasks import Tasks
from tests.server.relays import RelayParts


@pytest.fixture
async def other(bus: Bus, relay_parts: RelayParts, tasks: Tasks) -> AsyncIterator[Bus]:
    """Another node's bus; in one process the same."""
    if not relay_parts.bus_url:
        yield bus
        return
    opened = await relay_parts.open_bus(tasks)
    yield opened
    await opened.close()


async def test_published_messages_arrive_in_order(
    bus: Bus, other: Bus, request: pytest.FixtureRequest
) -> None:
    seen: list[bytes] = []
    done = asyncio.Event()

    async def handler(data: bytes) -> None:
        seen.append(data)
        await asyncio.sleep(0)
        if len(seen) == 200:
            done.set()

    await bus.subscribe("test.order", handler)
    for number in range(200):
        await other.publish("test.order", b"%d" % number)
    async with asyncio.timeout(10):
        await done.wait()
    assert seen == [b"%d" % number for number in range(200)]


async def test_a_request_is_answered(bus: Bus, other: Bus) -> None:
    async def handler(data: bytes) -> bytes:
        return b"got " + data

    await bus.subscribe("test.ask", handler)
    assert await other.request("test.ask", b"it", timeout_s=5) == b"got it"


async def test_none_is_an_empty_answer(bus: Bus, other: Bus) -> None:
    async def handler(_data: bytes) -> None:
        return None

    await bus.subscribe("test.none", handler)
    assert await other.request("test.none", b"", timeout_s=5) == b""


async def test_a_handlers_error_is_raised_at_the_asker(bus: Bus, other: Bus) -> None:
    async def handler(_data: bytes) -> bytes:
        raise FarhandError("some-code", "some words", hint="some hint")

    await bus.subscribe("test.fail", handler)
    with pytest.raises(FarhandError) as caught:
        await other.request("test.fail", b"", timeout_s=5)
    error = caught.value
    assert (error.code, error.message, error.hint) == ("some-code", "some words", "some hint")


async def test_nobody_there_is_told_at_once(bus: Bus) -> None:
    with pytest.raises(FarhandError, match="no-responders"):
        await bus.request("test.nobody", b"", timeout_s=60)


async def test_after_close_nobody_is_there(bus: Bus, other: Bus) -> None:
    async def handler(_data: bytes) -> bytes:
        return b""

    subscription = await bus.subscribe("test.closed", handler)
    await subscription.close()
    await subscription.close()
    await bus.ping()
    with pytest.raises(FarhandError, match="no-responders"):
        await other.request("test.closed", b"", timeout_s=60)


async def test_silence_is_a_timeout(bus: Bus, other: Bus) -> None:
    async def handler(_data: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    await bus.subscribe("test.silent", handler)
    with pytest.raises(FarhandError, match="bus-timeout"):
        await other.request("test.silent", b"", timeout_s=0.05)


async def test_a_slow_answer_holds_nobody_up(bus: Bus, other: Bus) -> None:
    release = asyncio.Event()

    async def handler(data: bytes) -> bytes:
        if data == b"slow":
            await release.wait()
        return data

    await bus.subscribe("test.slow", handler)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(other.request("test.slow", b"slow", timeout_s=10))
        assert await other.request("test.slow", b"quick", timeout_s=5) == b"quick"
        assert not slow.done()
        release.set()
    assert slow.result() == b"slow"


async def test_a_message_to_nobody_is_no_error(bus: Bus) -> None:
    await bus.publish("test.void", b"x")


async def test_oversized_messages_are_our_bug(bus: Bus) -> None:
    with pytest.raises(ValueError, match="too large"):
        await bus.publish("test.large", b"x" * (MAX_BUS_BYTES + 1))


async def test_an_unreachable_nats_is_told(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farhand_server.bus.nats._CONNECT_TIMEOUT_S", 1)
    with pytest.raises(FarhandError, match="bus-unreachable"):
        await connect_nats("nats://127.0.0.1:1", tasks)
