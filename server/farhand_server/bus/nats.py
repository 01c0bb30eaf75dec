"""The bus between several relay nodes: NATS (nats-py).

NATS's own interest graph is the routing table: the node that holds a device subscribes to its
subject.  Only this module imports nats-py, which is the extra `farhand-server[nats]`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from farhand_protocol.errors import FarhandError
from farhand_server.bus.bus import (
    MAX_BACKLOG,
    MAX_BUS_BYTES,
    Handler,
    check_size,
    decode_reply,
    encode_failure,
    encode_reply,
    no_responders,
    timed_out,
)
from farhand_server.tasks import Tasks

__all__ = ["NatsBus", "connect_nats"]

_log = logging.getLogger(__name__)
_CONNECT_TIMEOUT_S = 5
_RECONNECT_WAIT_S = 1
_PING_TIMEOUT_S = 3


class _NatsSubscription:
    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription
        self._closed = False

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._subscription.unsubscribe()
        except NatsError as error:
            # The connection is gone, and the subscription with it.
            _log.debug("unsubscribe: %s", error)


class NatsBus:
    """See `bus.Bus`; made by `connect_nats`."""

    def __init__(self, connection: Client, tasks: Tasks) -> None:
        self._connection = connection
        self._tasks = tasks

    async def subscribe(self, subject: str, handler: Handler) -> _NatsSubscription:
        """Call `handler` for each message on `subject`."""

        async def receive(message: Msg) -> None:
            if message.reply:
                self._tasks.spawn(_answer(handler, message), name=f"bus request {subject}")
                return
            try:
                await handler(message.data)
            except FarhandError as error:
                _log.warning("message on %s not handled: %s", subject, error)

        try:
            subscription = await self._connection.subscribe(
                subject,
                cb=receive,
                pending_msgs_limit=MAX_BACKLOG,
                pending_bytes_limit=MAX_BACKLOG * MAX_BUS_BYTES,
            )
            # Interest must stand at the server before anybody may rely on it.
            await self._connection.flush(_PING_TIMEOUT_S)
        except (NatsError, OSError) as error:
            raise _unreachable(error) from error
        return _NatsSubscription(subscription)

    async def publish(self, subject: str, data: bytes) -> None:
        """Send to every subscription of `subject` on any node."""
        check_size(data)
        try:
            await self._connection.publish(subject, data)
        except (NatsError, OSError) as error:
            raise _unreachable(error) from error

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask the subject's holders on any node; the first answer counts."""
        check_size(data)
        try:
            message = await self._connection.request(subject, data, timeout=timeout_s)
        except NoRespondersError as error:
            raise no_responders(subject) from error
        except NatsTimeoutError as error:
            raise timed_out(subject) from error
        except (NatsError, OSError) as error:
            raise _unreachable(error) from error
        return decode_reply(message.data)

    async def ping(self) -> None:
        """Check that the server answers."""
        if not self._connection.is_connected:
            raise FarhandError("bus-unreachable", "the message bus is not connected")
        try:
            await self._connection.flush(_PING_TIMEOUT_S)
        except (NatsError, OSError) as error:
            raise _unreachable(error) from error

    async def close(self) -> None:
        """Close the connection and all subscriptions."""
        await self._connection.close()


async def _answer(handler: Handler, message: Msg) -> None:
    try:
        reply = encode_reply(await handler(message.data))
    except FarhandError as error:
        reply = encode_failure(error)
    try:
        await message.respond(reply)
    except (NatsError, OSError) as error:
        _log.warning("an answer on %s was lost: %s", message.subject, error)


def _unreachable(error: Exception) -> FarhandError:
    return FarhandError("bus-unreachable", "the message bus cannot be reached", detail=f"{error!r}")


async def connect_nats(url: str, tasks: Tasks) -> NatsBus:
    """Connect to a NATS server; afterwards it reconnects by itself, for ever.

    Raises:
        FarhandError: `bus-unreachable`.
    """

    async def failed(error: Exception) -> None:
        _log.warning("nats: %r", error)

    async def lost() -> None:
        _log.warning("nats: connection lost")

    async def back() -> None:
        _log.info("nats: connected again")

    connection = Client()
    try:
        # Told to reconnect for ever, nats-py also tries the first time for ever.
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await connection.connect(
                url,
                name="farhand-relay",
                connect_timeout=_CONNECT_TIMEOUT_S,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_WAIT_S,
                error_cb=failed,
                disconnected_cb=lost,
                reconnected_cb=back,
            )
    except (NatsError, OSError, TimeoutError) as error:
        await connection.close()
        raise _unreachable(error) from error
    return NatsBus(connection, tasks)
