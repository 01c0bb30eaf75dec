"""One device link: its handshake, its inbox, and how it ends.

    state       event                                     -> state
    hello       HELLO frame: CHALLENGE goes out              proof
    proof       PROOF frame, signature right                 admitting   (row looked up, in batches)
    admitting   standing found: WELCOME goes out             open
    open        messages, each role its own                  open
    open        a newer link of the same device              superseded  (probed, then closed)
    any         broken rule, silence, drain                  closed

A session's device says how it ended and hangs up.  What it said before is handled before its link
counts as gone, unless the relay cut the link itself.

Before PROOF is verified exactly two frames of fixed length are read.  A link with too much waiting,
or that does not read its answers, is not read from.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.keys import verify
from farhand_protocol.link import RelayHandshake, Role
from farhand_server.bus.bus import Subscription
from farhand_server.gateway import heartbeat
from farhand_server.gateway.admission import Standing
from farhand_server.gateway.protocol import CLOSE_POLICY, HOLD_INBOX, HOLD_WRITE, Connection

if TYPE_CHECKING:
    from farhand_server.gateway.links import Links

__all__ = ["Link", "LinkState"]

logger = logging.getLogger(__name__)

LinkState = Literal["hello", "proof", "admitting", "open", "superseded", "closed"]


class Link:
    """One websocket on `/agent`.

    Attributes:
        role: what the device opened it for; proved together with `device_key`.
        tenant: organisation, empty on a guest.
        device, device_key: id and raw key, proved.
        standing: how the relay knows the key.
        session: the session that this link controls, if any.
        mailbox: the rendezvous' place for the pairing on this link.
    """

    __slots__ = (
        "_caught_up",
        "_ending",
        "_handshake",
        "_inbox",
        "_inbox_bytes",
        "_is_cut",
        "_is_presented",
        "_is_queued",
        "_links",
        "_probed_at",
        "_state",
        "_subscription",
        "connection",
        "device",
        "device_key",
        "mailbox",
        "role",
        "session",
        "standing",
        "tenant",
    )

    def __init__(self, links: Links, connection: Connection, handshake: RelayHandshake) -> None:
        self._links = links
        self._handshake: RelayHandshake | None = handshake
        self._state: LinkState = "hello"
        self._inbox: deque[bytes] | None = None
        self._inbox_bytes = 0
        self._is_cut = False
        self._is_queued = False
        self._is_presented = False
        self._ending: tuple[LinkState, int, str] | None = None
        self._caught_up: asyncio.Event | None = None
        self._probed_at = 0.0
        self._subscription: Subscription | None = None
        self.connection = connection
        self.role: Role = "device"
        self.tenant = ""
        self.device = ""
        self.device_key = b""
        self.standing: Standing = "unknown"
        self.session: str | None = None
        self.mailbox: Any = None

    def __repr__(self) -> str:
        return f"Link({self.role} {self.device} {self._state})"

    # For services.

    @property
    def address(self) -> str:
        """Return the address that the connection came from."""
        return self.connection.address

    @property
    def is_open(self) -> bool:
        """Whether the device was welcomed and is still there."""
        return self._state == "open" and self.connection.is_open

    @property
    def is_guest(self) -> bool:
        """Whether this is a device that was never enrolled here."""
        return self.standing == "guest"

    @property
    def is_heard(self) -> bool:
        """Whether what was received is still to be handled."""
        return self.is_open or (self._says_last_words and not self._is_cut)

    @property
    def _says_last_words(self) -> bool:
        # Devices repeat on their next link what was not acknowledged, sessions may have none.
        return self.role == "session" and (self._state == "open" or self._ending is not None)

    async def caught_up(self) -> None:
        """Wait until everything received so far was handled."""
        if self._is_queued or self._inbox or self._ending is not None:
            if self._caught_up is None:
                self._caught_up = asyncio.Event()
            await self._caught_up.wait()

    def send(self, message: messages.RelayMessage) -> bool:
        """Send a message; False when the link is not open any more."""
        return self.send_encoded(messages.encode_message(message))

    def send_encoded(self, data: bytes) -> bool:
        """Send an encoded message; a device that takes nothing in is cut off, not buffered for."""
        if not self.is_open:
            return False
        if self.connection.unsent_bytes + len(data) > self._links.limits.outbound_bytes:
            self.close(CLOSE_POLICY, "link-slow")
            return False
        self.connection.send(data)
        return True

    def close(self, code: int, reason: str) -> None:
        """Close the link; what it said and was not handled yet counts no more."""
        self._is_cut = True
        self.connection.close(code, reason)

    async def on_bus(self, data: bytes) -> bytes | None:
        """Pass a message from the bus to the device; the asker learns that it was sent."""
        if not self.send_encoded(data):
            raise FarhandError("no-responders", "the device has just gone")
        return b""

    async def follow(self, session: str) -> None:
        """Make this the control link of a session, in place of any other."""
        await self._links.follow(self, session)

    # The endpoint of a connection.

    def on_message(self, data: bytes) -> None:
        """Take the next frame of the handshake, or queue a message."""
        if self._state == "open":
            self._queue(data)
        elif self._state in ("hello", "proof"):
            try:
                self._step(data)
            except RemoteError as error:
                self._refuse(error.code)
        elif self._state == "admitting":
            # The device may speak only after WELCOME.
            self._refuse("handshake-early")

    def _step(self, frame: bytes) -> None:
        links, handshake = self._links, self._handshake
        if handshake is None:
            raise RemoteError("handshake-malformed", "the handshake is over")
        if self._state == "hello":
            to_sign = handshake.receive_hello(frame)
            if handshake.tenant not in links.tenants_of(handshake.role):
                raise RemoteError("tenant-unknown", "this relay serves another organisation")
            self._state = "proof"
            self.connection.send(handshake.challenge(links.sign(to_sign)))
            return
        key, signature, message = handshake.receive_proof(frame)
        if not verify(key, signature, message):
            raise RemoteError("handshake-signature", "the device did not prove its key")
        self.role, self.tenant = handshake.role, handshake.tenant
        self.device, self.device_key = handshake.device, key
        self._handshake = None
        self._state = "admitting"
        links.admission.ask(self)

    def _refuse(self, code: str) -> None:
        self._links.count(code)
        logger.info("link refused from %s: %s", self.address, code)
        self.close(CLOSE_POLICY, code)

    def _queue(self, data: bytes) -> None:
        limits = self._links.limits
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(data)
        self._inbox_bytes += len(data)
        self._links.inbound_bytes += len(data)
        if len(self._inbox) > limits.flood_messages:
            self._forget_inbox()
            self._refuse("link-flooded")
            return
        if (
            len(self._inbox) >= limits.inbox_messages
            or self._inbox_bytes >= limits.inbox_bytes
            or self._links.inbound_bytes >= limits.inbound_bytes
        ):
            self.connection.hold(HOLD_INBOX)
        self._links.dispatcher.ready(self)

    def take(self) -> bytes | None:
        """Return the next message to handle, and read again when few are left."""
        if not self._inbox:
            return None
        data = self._inbox.popleft()
        self._inbox_bytes -= len(data)
        self._links.inbound_bytes -= len(data)
        if len(self._inbox) * 2 <= self._links.limits.inbox_messages:
            self.connection.release(HOLD_INBOX)
        return data

    def _forget_inbox(self) -> None:
        self._links.inbound_bytes -= self._inbox_bytes
        self._inbox, self._inbox_bytes = None, 0

    @property
    def can_be_handled(self) -> bool:
        """Whether a message waits, and its answer could be written."""
        if not self._inbox:
            self._inbox = None
            return False
        # A device that has gone waits for no answer.
        return self._ending is not None or not self.connection.is_held(HOLD_WRITE)

    def on_writable(self, writable: bool) -> None:
        """Go on with the inbox once the device reads again."""
        if writable and self._inbox:
            self._links.dispatcher.ready(self)

    def on_deadline(self, now: float) -> None:
        """Beat; or give up on a handshake, or on a superseded link."""
        if self._state == "open":
            if not heartbeat.beat(self.connection, now, self._links.limits.ping_s):
                logger.info("link of %s is silent", self.device)
                self.connection.abort()
        elif self._state == "superseded":
            self._links.probed(self, is_alive=self.connection.heard > self._probed_at)
        else:
            self._refuse("handshake-timeout")

    def on_lost(self, code: int, reason: str) -> None:
        """Leave all places, once what a session said last was handled."""
        was, self._state = self._state, "closed"
        self._handshake = None
        self._ending = (was, code, reason)
        if was == "open" and self.role == "session" and not self._is_cut:
            self._links.dispatcher.ready(self)
        else:
            self._forget_inbox()
        if not self._is_queued or self.role != "session":
            self.worked_off()

    def worked_off(self) -> None:
        """Hear from the worker that nothing of this link waits to be handled."""
        ending, self._ending = self._ending, None
        if ending is not None:
            self._forget_inbox()
            self._links.left(self, *ending)
        event, self._caught_up = self._caught_up, None
        if event is not None:
            event.set()

    # For `Links`.

    def supersede(self, now: float) -> None:
        """Step aside for a newer link, and find out whether this one still lives."""
        self._state = "superseded"
        self._forget_inbox()
        self._probed_at = now
        self.connection.ping()
        self.connection.set_deadline(now + self._links.limits.conflict_probe_s)
