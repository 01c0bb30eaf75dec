"""The link to the relay: one websocket, the handshake, then messages both ways.

A thin driver over `websockets` and `farhand_protocol.link`.  It starts no task: whoever owns the
link calls `receive` in a loop, which also completes the `request`s of other tasks; `exchange` is
for an owner with nothing else to do.  Used by the resident agent (role `device`), by enrolment
(`enrol`) and by session processes (`session`).

TLS: with a pin, the saved certificate is the only authority, and its fingerprint is compared as
well; plain http is for loopback addresses alone.  HTTP redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from farhand_agent.child import ask_child
from farhand_agent.config import Home, Settings
from farhand_agent.errors import LinkLost
from farhand_protocol.errors import FarhandError, RemoteError, UsageError
from farhand_protocol.link import NONCE_BYTES, DeviceHandshake, Role
from farhand_protocol.messages import (
    MAX_MESSAGE_BYTES,
    Ack,
    DeviceMessage,
    Nack,
    Nameplate,
    Present,
    RelayMessage,
    TrustFile,
    Welcome,
    Witnessed,
    decode_relay_message,
    encode_message,
)

__all__ = [
    "KeeperProver",
    "Link",
    "Prover",
    "RelayAddress",
    "RelayUnavailable",
    "check_url",
    "open_link",
    "open_websocket",
]

OPEN_TIMEOUT_S: Final = 20.0
HANDSHAKE_TIMEOUT_S: Final = 20.0
REPLY_TIMEOUT_S: Final = 60.0
MAX_WAITING: Final = 64
_KEEPER_TIMEOUT_S: Final = 15.0


class RelayUnavailable(FarhandError):
    """The relay cannot be reached, or said to come back later."""

    def __init__(self, detail: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__("relay-unavailable", "the relay cannot be reached", detail=detail)
        self.retry_after_s = retry_after_s


def check_url(url: str) -> None:
    """Check that an address is one the agent may talk to.

    Raises:
        UsageError: `url-insecure` for plain http to anything but loopback, `url-malformed`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("url-malformed", "the relay's address cannot be read") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise UsageError("url-malformed", "the relay's address must be https://HOST[:PORT]")
    if parts.scheme == "http" and not _is_loopback(host):
        raise UsageError(
            "url-insecure",
            "plain http is only for a relay on this same machine",
            hint="use an https:// address",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address, with the scheme's port where none is given."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Where the relay is and how its TLS is judged.

    `certificate` is the pinned PEM file, with its SHA-256 (of the DER form) beside it; None means
    the system's authorities and the host name.
    """

    url: str
    certificate: Path | None = None
    tls_sha256: bytes = b""

    @classmethod
    def of(cls, home: Home, settings: Settings) -> RelayAddress:
        """Return the address that an enrolment pinned."""
        if settings.tls != "pinned":
            return cls(settings.url)
        return cls(settings.url, home.certificate, bytes.fromhex(settings.tls_sha256))

    def websocket(self, path: str) -> str:
        """Return the websocket URL of a path on the relay."""
        check_url(self.url)
        scheme, host, port = origin(self.url)
        name = f"[{host}]" if ":" in host else host
        return f"{'wss' if scheme == 'https' else 'ws'}://{name}:{port}{path}"

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context, or None for plain http.

        Raises:
            FarhandError: `tls-pin-missing` when the pinned certificate cannot be read.
        """
        if not self.url.startswith("https://"):
            return None
        if self.certificate is None:
            return ssl.create_default_context()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The pin says who it is; the name in a self-signed certificate adds nothing.
        context.check_hostname = False
        try:
            context.load_verify_locations(cafile=str(self.certificate))
        except (OSError, ssl.SSLError) as error:
            raise FarhandError(
                "tls-pin-missing",
                "the relay's pinned certificate cannot be read",
                detail=str(error),
            ) from error
        return context


class Prover(Protocol):
    """Whoever holds the device key: checks the relay's signature, then signs."""

    async def prove(
        self, *, relay_key: bytes, relay_signature: bytes, relay_message: bytes, message: bytes
    ) -> bytes:
        """Return the device's signature.

        Raises:
            RemoteError: `relay-signature-wrong`.
        """


class KeeperProver:
    """Leaves both to the keeper, a child process.

    Args:
        key: the device key's file.
        also: what is to be signed in the same go, once the relay has proved itself.

    Attributes:
        also_signature: over `also`; empty before, and without it.
    """

    def __init__(self, key: Path, also: bytes = b"") -> None:
        self._key = key
        self._also = also
        self.also_signature = b""

    async def prove(
        self, *, relay_key: bytes, relay_signature: bytes, relay_message: bytes, message: bytes
    ) -> bytes:
        """Return the device's signature (see `Prover`)."""
        answer = await ask_child(
            "farhand_agent.keeper",
            {
                "do": "link",
                "path": str(self._key),
                "relay_key": relay_key,
                "relay_signature": relay_signature,
                "relay_message": relay_message,
                "message": message,
                "also": self._also,
            },
            timeout_s=_KEEPER_TIMEOUT_S,
        )
        self.also_signature = bytes(answer["also"])
        return bytes(answer["signature"])


class _Connection(ClientConnection):
    """Notes when anything was heard, pings of the relay included."""

    heard_at = 0.0

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)


class _Connect(connect):
    """Follows no HTTP redirect: a relay may not send a device elsewhere by a status line."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _retry_after(error: InvalidStatus) -> float:
    try:
        return float(error.response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0  # an HTTP date: the usual backoff serves as well


@contextlib.asynccontextmanager
async def open_websocket(
    address: RelayAddress, path: str, *, max_size: int = MAX_MESSAGE_BYTES
) -> AsyncIterator[ClientConnection]:
    """Open a websocket to the relay, pinned and bounded.

    Raises:
        RelayUnavailable: it does not answer or asks to come back later.
        RemoteError: `tls-pin-mismatch`.
        UsageError: `url-insecure`, `url-malformed`.
    """
    context = address.tls()
    options: dict[str, Any] = {"ssl": context} if context else {}
    if address.certificate is not None:
        options["server_hostname"] = origin(address.url)[1]
    try:
        connection = await _Connect(
            address.websocket(path),
            compression=None,
            max_size=max_size,
            max_queue=16,
            write_limit=128 * 1024,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=3,
            user_agent_header=None,
            proxy=None,
            create_connection=_Connection,
            **options,
        )
    except InvalidStatus as error:
        raise RelayUnavailable(str(error), retry_after_s=_retry_after(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise RemoteError(
            "tls-pin-mismatch",
            "the relay shows another certificate than the one this device knows",
            hint="if the relay's certificate was changed on purpose, enrol this device again",
            detail=str(error),
        ) from error
    except (OSError, TimeoutError, WebSocketException, EOFError) as error:
        raise RelayUnavailable(f"{type(error).__name__}: {error}") from error
    try:
        if address.certificate is not None:
            shown = connection.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if hashlib.sha256(shown or b"").digest() != address.tls_sha256:
                raise RemoteError(
                    "tls-pin-mismatch",
                    "the relay shows another certificate than the one this device knows",
                )
        yield connection
    finally:
        await connection.close()


class Link:
    """An open link, after the relay's Welcome.

    Attributes:
        welcome: what the relay said about this device.
        relay_key: the key that the relay proved.
    """

    def __init__(self, connection: ClientConnection, welcome: Welcome, relay_key: bytes) -> None:
        self.welcome = welcome
        self.relay_key = relay_key
        self._connection = connection
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[RelayMessage]] = {}
        self._silence_s = 3.0 * min(max(welcome.ping_s, 1), 600)

    async def send(self, message: DeviceMessage) -> None:
        """Send a message that has no answer of its own.

        Raises:
            LinkLost: the link is gone.
        """
        try:
            await self._connection.send(encode_message(message))
        except (ConnectionClosed, OSError) as error:
            raise LinkLost(str(error)) from error

    async def request(
        self, build: Callable[[int], DeviceMessage], *, timeout_s: float = REPLY_TIMEOUT_S
    ) -> RelayMessage:
        """Send a message with a fresh `seq` and wait for its answer; somebody must `receive`.

        Args:
            build: makes the message from its `seq`.
            timeout_s: how long to wait.

        Returns:
            Ack, Nack, Witnessed, TrustFile or Nameplate with that `seq`.

        Raises:
            LinkLost: the link is gone.
            RemoteError: `relay-silent` when no answer came in time.
        """
        sequence, future = self._expect()
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(build(sequence))
                return await future
        except TimeoutError as error:
            raise RemoteError("relay-silent", "the relay did not answer in time") from error
        finally:
            self._waiting.pop(sequence, None)

    async def exchange(
        self, build: Callable[[int], DeviceMessage], *, timeout_s: float = REPLY_TIMEOUT_S
    ) -> RelayMessage:
        """As `request`, for an owner that is not receiving: other messages are dropped."""
        sequence, future = self._expect()
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(build(sequence))
                while not future.done():
                    await self.receive()
                return future.result()
        except TimeoutError as error:
            raise RemoteError("relay-silent", "the relay did not answer in time") from error
        finally:
            self._waiting.pop(sequence, None)

    def _expect(self) -> tuple[int, asyncio.Future[RelayMessage]]:
        if len(self._waiting) >= MAX_WAITING:
            raise RuntimeError("too many requests wait on one link")
        self._sequence += 1
        future: asyncio.Future[RelayMessage] = asyncio.get_running_loop().create_future()
        self._waiting[self._sequence] = future
        return self._sequence, future

    async def receive(self) -> RelayMessage | None:
        """Wait for one message; None when it was the answer to a request.

        Safe to cancel.

        Raises:
            LinkLost: the link ended, or was silent for three ping intervals.
            RemoteError: the relay broke the protocol; close the link.
        """
        try:
            message = decode_relay_message(await self._read())
        except FarhandError as error:
            self._fail(error)
            raise
        if isinstance(message, Ack | Nack | TrustFile | Nameplate | Witnessed):
            future = self._waiting.pop(message.seq, None)
            if future is not None and not future.done():
                future.set_result(message)
            # An answer that nobody waits for any more came after its deadline.
            return None
        return message

    async def _read(self) -> bytes:
        connection, loop = self._connection, asyncio.get_running_loop()
        while True:
            heard_at = getattr(connection, "heard_at", loop.time())
            try:
                async with asyncio.timeout_at(heard_at + self._silence_s):
                    data = await connection.recv()
            except TimeoutError as error:
                if getattr(connection, "heard_at", heard_at) > heard_at:
                    continue
                raise LinkLost("the relay fell silent") from error
            except ConnectionClosed as error:
                raise LinkLost(
                    str(error), reason=error.rcvd.reason if error.rcvd else ""
                ) from error
            except OSError as error:
                raise LinkLost(str(error)) from error
            if isinstance(data, str):
                raise RemoteError("message-malformed", "the relay sent text on the link")
            return data

    def _fail(self, error: FarhandError) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkLost(str(error)))
                # Its waiter may have been cancelled already; then nobody else asks.
                future.exception()
        self._waiting.clear()


@contextlib.asynccontextmanager
async def open_link(
    address: RelayAddress,
    *,
    role: Role,
    tenant: str,
    device_key: bytes,
    relay_key: bytes | None,
    prover: Prover,
    present: Present | Callable[[], Present] | None,
) -> AsyncIterator[Link]:
    """Open the link: websocket, mutual handshake, Welcome, and Present where there is one.

    Args:
        address: the relay.
        role: what the link is for.
        tenant: the organisation; empty on a guest.
        device_key: raw public key of the device.
        relay_key: the pinned key; None on a guest.
        prover: holds the device key.
        present: sent first; a function where it needs what the prover signed; None for role
            `enrol`.

    Raises:
        RelayUnavailable, LinkLost: try again later.
        RemoteError: `relay-key-mismatch`, `relay-signature-wrong`, `tls-pin-mismatch`,
            `handshake-malformed`, `link-refused`, `relay-silent`.
    """
    async with open_websocket(address, "/agent") as connection:
        handshake = DeviceHandshake(
            role, tenant, device_key, relay_key, nonce=os.urandom(NONCE_BYTES)
        )
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await connection.send(handshake.hello())
                challenge = await connection.recv()
                if isinstance(challenge, str):
                    raise RemoteError("handshake-malformed", "the relay sent text")
                key, signature, message = handshake.receive_challenge(challenge)
                proof = await prover.prove(
                    relay_key=key,
                    relay_signature=signature,
                    relay_message=message,
                    message=handshake.message_to_sign(),
                )
                await connection.send(proof)
                first = await connection.recv()
        except TimeoutError as error:
            raise RemoteError("relay-silent", "the relay did not finish the handshake") from error
        except ConnectionClosed as error:
            reason = error.rcvd.reason if error.rcvd else "no reason given"
            raise RemoteError(
                "link-refused", "the relay ended the handshake", detail=reason
            ) from error
        welcome = decode_relay_message(first) if isinstance(first, bytes) else None
        if not isinstance(welcome, Welcome):
            raise RemoteError("handshake-malformed", "the relay's first message is no welcome")
        link = Link(connection, welcome, key)
        if present is not None:
            await link.send(present() if callable(present) else present)
        yield link
