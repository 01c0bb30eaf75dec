"""Waiting for a ticket's next words, so that a chat is one: a hint over the bus, then the rows.

Whoever writes tells by `tell_ticket` after the commit; a hint that is lost costs a few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from farhand_server.relay import Relay

__all__ = ["LOOK_AGAIN_S", "tell_ticket", "ticket_subject", "wait_for"]

T = TypeVar("T")

LOOK_AGAIN_S: Final = 5.0


def ticket_subject(tenant: str, number: int) -> str:
    """Return the bus subject on which it is told that something was said on a ticket."""
    return f"ticket.{tenant}.{number}"


async def tell_ticket(relay: Relay, number: int) -> None:
    """Wake whoever waits for a ticket's next words; after they were committed."""
    await relay.bus.publish(ticket_subject(relay.tenant, number), b"")


async def wait_for(
    relay: Relay, subject: str, look: Callable[[], Awaitable[list[T]]], *, wait_s: float
) -> list[T]:
    """Look until something is there, at every hint and now and then without one.

    Args:
        relay: the wiring.
        subject: on which hints come.
        look: reads the rows.
        wait_s: nothing is returned only once so many seconds are over.
    """
    moved = asyncio.Event()

    async def hear(_data: bytes) -> None:
        moved.set()

    subscription = await relay.bus.subscribe(subject, hear)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    try:
        while True:
            # It may have moved between the caller's look and the subscription.
            moved.clear()
            if found := await look():
                return found
            left = until - loop.time()
            if left <= 0:
                return []
            try:
                async with asyncio.timeout(min(left, LOOK_AGAIN_S)):
                    await moved.wait()
            except TimeoutError:
                continue  # no hint came: a last look, or another one
    finally:
        await subscription.close()
