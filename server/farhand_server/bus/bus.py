"""What goes between relay nodes: small messages on named subjects.

`Bus` is the interface; `local.LocalBus` is inside one process, `nats.NatsBus` between several.
Both keep the same rules, and the same tests run on both:

- a subject is dot-separated words: `device.{tenant}.{device}` (resident link),
  `session.{tenant}.{session}` (control link), `order.{tenant}.{order}` (a result came),
  `trust.{tenant}` (newer trust metadata);
- published messages reach each subscription one after another, in order;
- requests are handled side by side, so a slow answer holds nobody up; the handler's bytes are the
  answer, None means an empty one, and a FarhandError in the handler is raised at the asker;
- where several subscriptions hold a subject, the first answer counts;
- nothing is kept: who is not subscribed misses it.  Rows in the database are the truth, messages
  are wake-ups.

Sizes: a message has at most `MAX_BUS_BYTES`; a subscription that falls `MAX_BACKLOG` messages
behind loses the newest, with a log line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "MAX_BACKLOG",
    "MAX_BUS_BYTES",
    "Bus",
    "Handler",
    "Subscription",
    "check_size",
    "decode_reply",
    "encode_failure",
    "encode_reply",
    "no_responders",
    "timed_out",
]

MAX_BUS_BYTES = 1024 * 1024
MAX_BACKLOG = 1024

Handler = Callable[[bytes], Awaitable[bytes | None]]


class Subscription(Protocol):
    """One handler on one subject."""

    async def close(self) -> None:
        """Take no more messages; safe to call twice."""


class Bus(Protocol):
    """Subjects, messages, requests."""

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Call `handler` for each message on `subject` until the subscription is closed."""

    async def publish(self, subject: str, data: bytes) -> None:
        """Send to every subscription of `subject`; none is fine."""

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Send and wait for the first answer.

        Raises:
            FarhandError: `no-responders` when nobody holds the subject, `bus-timeout` when nobody
                answered in time, `bus-unreachable` when the bus is down, or what the handler
                raised.
        """

    async def ping(self) -> None:
        """Check that the bus works; raises `bus-unreachable`."""

    async def close(self) -> None:
        """End all subscriptions."""


class _Failure(msgspec.Struct, frozen=True, array_like=True):
    code: str
    message: str
    hint: str | None


def check_size(data: bytes) -> None:
    """Refuse a message that is too large (a bug of ours)."""
    if len(data) > MAX_BUS_BYTES:
        raise ValueError(f"a bus message of {len(data)} bytes is too large")


def encode_reply(answer: bytes | None) -> bytes:
    """Frame an answer."""
    return b"+" + (answer or b"")


def encode_failure(error: FarhandError) -> bytes:
    """Frame a handler's failure for the asker."""
    return b"-" + msgspec.msgpack.encode(_Failure(error.code, error.message, error.hint))


def decode_reply(frame: bytes) -> bytes:
    """Read a framed answer; raises the FarhandError that it carries."""
    if frame[:1] == b"+":
        return frame[1:]
    failure = msgspec.msgpack.decode(frame[1:], type=_Failure)
    raise FarhandError(failure.code, failure.message, hint=failure.hint)


def no_responders(subject: str) -> FarhandError:
    """Return `no-responders`."""
    return FarhandError("no-responders", "nobody is connected there", detail=subject)


def timed_out(subject: str) -> FarhandError:
    """Return `bus-timeout`."""
    return FarhandError("bus-timeout", "there was no answer in time", detail=subject)
