"""The way of device messages to their services: who may say what, in which order, and answers.

Services bring methods (`LinkHandler`); a bounded pool of workers takes the messages of each link in
order and of all links in turn.  There is no task per link: an idle one costs nothing here.

What a handler raises says what happens: a RemoteError closes the link, a passing failure of our own
closes it too (the device keeps what it said and says it again), any other FarhandError is a Nack.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.link import Role
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.gateway.protocol import CLOSE_OVERLOAD, CLOSE_TROUBLE
from farhand_server.sessions import control
from farhand_server.tasks import Tasks

if TYPE_CHECKING:
    from farhand_server.gateway.link import Link

__all__ = ["Dispatcher", "LinkHandler"]

logger = logging.getLogger(__name__)

# What each role may say; anything else closes the link.
_ALLOWED: dict[Role, frozenset[type[Any]]] = {
    "device": frozenset(
        {
            messages.Present,
            messages.FetchTrust,
            messages.ReportSections,
            messages.OrderProgress,
            messages.ResultReport,
            messages.SessionReport,
            messages.RecordingChunk,
            messages.HelpRequest,
        }
    ),
    "enrol": frozenset({messages.Enrol, messages.FetchTrust}),
    "session": frozenset(
        {
            messages.Present,
            messages.FetchTrust,
            messages.AllocateNameplate,
            messages.MailboxReply,
            messages.SessionReport,
            messages.RecordingChunk,
            messages.JoinReport,
        }
    ),
}
_GUEST = frozenset(
    {
        messages.Present,
        messages.AllocateNameplate,
        messages.MailboxReply,
        messages.SessionReport,
        messages.RecordingChunk,
    }
)
_HANDLERS: dict[type[Any], str] = {
    messages.Present: "on_present",
    messages.Enrol: "on_enrol",
    messages.ReportSections: "on_sections",
    messages.OrderProgress: "on_progress",
    messages.ResultReport: "on_result",
    messages.FetchTrust: "on_fetch_trust",
    messages.SessionReport: "on_session_report",
    messages.RecordingChunk: "on_recording_chunk",
    messages.JoinReport: "on_join_report",
    messages.AllocateNameplate: "on_allocate_nameplate",
    messages.MailboxReply: "on_mailbox_reply",
    messages.HelpRequest: "on_help_request",
}
# What several services may hear.
_SHARED = frozenset({"on_present", "on_session_report", "on_closed"})
# Failures of our own that pass: the device keeps what it said and says it again on its next link.
_PASSING = frozenset(
    {
        "bus-timeout",
        "bus-unreachable",
        "store-busy",
        "store-failed",
        "store-full",
        "store-unreachable",
    }
)


class LinkHandler(Protocol):
    """What services may bring for device messages; each has some of these methods.

    A method gets the link and the message and returns the message to send back, or None.  A
    FarhandError becomes a Nack where the message has a `seq`; a RemoteError closes the link; a
    passing failure (`store-busy`, ...) closes it too, and the device comes again.
    `on_present`, `on_session_report` and `on_closed` may be brought by several services, all
    others by one.
    """

    async def on_present(
        self, link: Link, message: messages.Present
    ) -> messages.RelayMessage | None: ...
    async def on_enrol(
        self, link: Link, message: messages.Enrol
    ) -> messages.RelayMessage | None: ...
    async def on_sections(
        self, link: Link, message: messages.ReportSections
    ) -> messages.RelayMessage | None: ...
    async def on_progress(
        self, link: Link, message: messages.OrderProgress
    ) -> messages.RelayMessage | None: ...
    async def on_result(
        self, link: Link, message: messages.ResultReport
    ) -> messages.RelayMessage | None: ...
    async def on_fetch_trust(
        self, link: Link, message: messages.FetchTrust
    ) -> messages.RelayMessage | None: ...
    async def on_session_report(
        self, link: Link, message: messages.SessionReport
    ) -> messages.RelayMessage | None: ...
    async def on_allocate_nameplate(
        self, link: Link, message: messages.AllocateNameplate
    ) -> messages.RelayMessage | None: ...
    async def on_mailbox_reply(
        self, link: Link, message: messages.MailboxReply
    ) -> messages.RelayMessage | None: ...
    async def on_recording_chunk(
        self, link: Link, message: messages.RecordingChunk
    ) -> messages.RelayMessage | None: ...
    async def on_join_report(
        self, link: Link, message: messages.JoinReport
    ) -> messages.RelayMessage | None: ...
    async def on_help_request(
        self, link: Link, message: messages.HelpRequest
    ) -> messages.RelayMessage | None: ...
    async def on_closed(self, link: Link) -> None: ...


class Dispatcher:
    """Hands messages to services.

    Args:
        tasks: where the workers run.
        limits: bounds.
    """

    def __init__(self, tasks: Tasks, limits: GatewayLimits) -> None:
        self._tasks = tasks
        self._limits = limits
        self._handlers: dict[str, list[Any]] = {}
        self._control: Any = None
        self._ready: deque[Link] = deque()
        self._workers = 0

    def plug(self, service: object) -> None:
        """Take a service's `on_...` methods; see `LinkHandler`.

        Raises:
            ValueError: two services bring the same method that is not one of `_SHARED`.
        """
        for name in (*_HANDLERS.values(), "on_closed"):
            method = getattr(service, name, None)
            if method is None:
                continue
            held = self._handlers.setdefault(name, [])
            if held and name not in _SHARED:
                raise ValueError(f"two services bring {name}")
            held.append(method)

    def serve_control(self, handler: Any) -> None:
        """Take the one function that answers requests to control links."""
        self._control = handler

    async def on_control(self, link: Link, data: bytes) -> bytes | None:
        """Answer a request to a session's control link."""
        answer: bytes | None = await self._control(link, control.decode_request(data))
        return answer

    async def closed(self, link: Link) -> None:
        """Tell the services that a link is over."""
        for handle in self._handlers.get("on_closed", ()):
            try:
                await handle(link)
            except FarhandError as error:
                logger.warning("the end of %r was not noted: %s", link, error)

    def ready(self, link: Link) -> None:
        """Queue a link whose inbox has something for a worker."""
        if link._is_queued or not link.can_be_handled:
            return
        link._is_queued = True
        self._ready.append(link)
        if self._workers < self._limits.workers:
            self._workers += 1
            self._tasks.spawn(self._work(), name="link worker")

    async def _work(self) -> None:
        try:
            while self._ready:
                link = self._ready.popleft()
                data = link.take()
                if data is not None:
                    await self._handle(link, data)
                link._is_queued = False
                self.ready(link)
                if not link._is_queued and not link._inbox:
                    link.worked_off()
        finally:
            self._workers -= 1

    async def _handle(self, link: Link, data: bytes) -> None:
        if not link.is_heard:
            return
        seq: int | None = None
        try:
            message = messages.decode_device_message(data)
            seq = getattr(message, "seq", None)
            self._check_order(link, message)
            async with asyncio.timeout(self._limits.handle_s):
                handlers = self._handlers.get(_HANDLERS[type(message)], ())
                if not handlers and seq is not None:
                    raise FarhandError("message-unserved", "this relay has no use for that")
                for handle in handlers:
                    answer: messages.RelayMessage | None = await handle(link, message)
                    if answer is not None:
                        link.send(answer)
        except RemoteError as error:
            link._refuse(error.code)
        except FarhandError as error:
            self._failed(link, seq, error)
        except TimeoutError:
            logger.error("a message of %s was not handled in time", link.device)
            link.close(CLOSE_OVERLOAD, "relay-busy")
        except Exception:
            # Our bug costs this link, not the relay: the device keeps what was not acknowledged.
            logger.exception("a message of %s failed", link.device)
            link.close(CLOSE_TROUBLE, "internal")

    def _failed(self, link: Link, seq: int | None, error: FarhandError) -> None:
        if error.code in _PASSING:
            logger.warning("a message of %s was not stored: %s", link.device, error)
            link.close(CLOSE_OVERLOAD, error.code)
        elif seq is not None:
            link.send(messages.Nack(seq=seq, code=error.code, message=error.message))
        else:
            logger.info("a message of %s was refused: %s", link.device, error)

    def _check_order(self, link: Link, message: messages.DeviceMessage) -> None:
        kind = type(message)
        allowed = _GUEST if link.is_guest else _ALLOWED[link.role]
        if kind not in allowed:
            raise RemoteError("message-not-allowed", f"a {link.role} link does not say this")
        is_first = not link._is_presented and link.role != "enrol"
        if is_first != (kind is messages.Present):
            raise RemoteError("message-out-of-order", "present comes first, and once")
        link._is_presented = True
