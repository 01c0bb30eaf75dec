"""The bus of a relay that is one process: a dictionary of subjects.

No task waits for messages: a subscription has a worker only while messages wait for it, so that
thousands of idle devices cost a dictionary entry each.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from farhand_protocol.errors import FarhandError
from farhand_server.bus.bus import (
    MAX_BACKLOG,
    Handler,
    check_size,
    decode_reply,
    encode_failure,
    encode_reply,
    no_responders,
    timed_out,
)
from farhand_server.tasks import Tasks

__all__ = ["LocalBus"]

_log = logging.getLogger(__name__)


class _LocalSubscription:
    def __init__(self, bus: LocalBus, subject: str, handler: Handler) -> None:
        self._bus = bus
        self.subject = subject
        self.handler = handler
        self.waiting: deque[bytes] = deque()
        self.busy = False

    async def close(self) -> None:
        self.waiting.clear()
        self._bus.forget(self)

    async def work(self) -> None:
        """Handle what waits, one after another."""
        try:
            while self.waiting:
                data = self.waiting.popleft()
                try:
                    await self.handler(data)
                except FarhandError as error:
                    _log.warning("message on %s not handled: %s", self.subject, error)
        finally:
            self.busy = False


class LocalBus:
    """See `bus.Bus`.

    Args:
        tasks: where handlers run.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._subjects: dict[str, list[_LocalSubscription]] = {}
        self._closed = False

    async def subscribe(self, subject: str, handler: Handler) -> _LocalSubscription:
        """Call `handler` for each message on `subject`."""
        subscription = _LocalSubscription(self, subject, handler)
        self._subjects.setdefault(subject, []).append(subscription)
        return subscription

    def forget(self, subscription: _LocalSubscription) -> None:
        """Drop a closed subscription."""
        held = self._subjects.get(subscription.subject, [])
        if subscription in held:
            held.remove(subscription)
            if not held:
                del self._subjects[subscription.subject]

    async def publish(self, subject: str, data: bytes) -> None:
        """Queue the message for every subscription of `subject`."""
        check_size(data)
        for subscription in self._subjects.get(subject, ()):
            if len(subscription.waiting) >= MAX_BACKLOG:
                _log.warning("backlog full on %s: a message was dropped", subject)
                continue
            subscription.waiting.append(data)
            if not subscription.busy:
                subscription.busy = True
                self._tasks.spawn(subscription.work(), name=f"bus {subject}")

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask the subject's holders; the first answer counts."""
        check_size(data)
        held = list(self._subjects.get(subject, ()))
        if not held:
            raise no_responders(subject)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        for subscription in held:
            self._tasks.spawn(
                _answer(subscription.handler, data, answer), name=f"bus request {subject}"
            )
        try:
            async with asyncio.timeout(timeout_s):
                return decode_reply(await answer)
        except TimeoutError as error:
            raise timed_out(subject) from error

    async def ping(self) -> None:
        """Check that the bus was not closed."""
        if self._closed:
            raise FarhandError("bus-unreachable", "the bus is closed")

    async def close(self) -> None:
        """Drop all subscriptions."""
        self._closed = True
        self._subjects.clear()


async def _answer(handler: Handler, data: bytes, answer: asyncio.Future[bytes]) -> None:
    try:
        reply = encode_reply(await handler(data))
    except FarhandError as error:
        reply = encode_failure(error)
    if not answer.done():
        answer.set_result(reply)
