"""Takes mail in over LMTP or SMTP, from the mail server in front or from the world.

It has a thread and an event loop of its own: unfolding 40 MB of dot-stuffed lines stalls nobody
else.  What must be known or kept is asked of the relay's loop, and waited for.

    RCPT    a mailbox of ours, else 550; 451 when the store does not answer
    DATA    250 only after the commit, one answer for each recipient over LMTP; 451 when the store
            does not take it, so that whoever sends keeps it and tries again
    more than `MAX_CONNECTIONS` peers are told 421; a peer that says nothing for a while is cut off

STARTTLS is offered where the relay has a certificate.  Nobody signs in and nothing is relayed on:
mail for other addresses is refused.  SPF, DKIM and DMARC are judged by the mail server in front.
Sources: RFC 5321, RFC 2033.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import Counter

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.config import parse_listen
from farhand_server.mail.intake import make_intake
from farhand_server.mail.keeping import MAX_TAKEN_BYTES, Arrival, keep_mail, marks_of
from farhand_server.mail.mailboxes import list_mailboxes
from farhand_server.metrics import make_metrics
from farhand_server.relay import Relay

__all__ = ["MAX_CONNECTIONS", "MAX_RECIPIENTS", "Listener", "make_listener", "parse_mail_listen"]

_log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 20
MAX_RECIPIENTS: Final = 100
# RFC 5321 s4.5.3.2 asks for minutes; a loopback peer that is quieter than this is gone.
_IDLE_S: Final = 180.0
_STORE_S: Final = 60.0
_STOP_S: Final = 10.0
# Longer than RFC 5321 allows, because real mail is; bounded, because it is buffered.
_MAX_LINE_BYTES: Final = 256 * 1024

_LATER: Final = "451 4.3.0 not now; try again later"
_NOBODY: Final = "550 5.1.1 there is no such mailbox here"

T = TypeVar("T")


def parse_mail_listen(text: str) -> tuple[Literal["lmtp", "smtp"], str, int]:
    """Read `lmtp://HOST:PORT` or `smtp://HOST:PORT`.

    Raises:
        UsageError: `mail-listen`.
    """
    protocol, separator, place = text.partition("://")
    if not separator or protocol not in ("lmtp", "smtp"):
        raise UsageError(
            "mail-listen", f"{text[:80]!r} is not lmtp://HOST:PORT or smtp://HOST:PORT"
        )
    host, port = parse_listen(place)
    return ("lmtp" if protocol == "lmtp" else "smtp"), host, port


def make_listener(relay: Relay) -> Listener:
    """Return the relay's listener; it listens once it is started."""
    return Listener(relay)


class Listener:
    """The port, its thread, and what it counts."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._thread: threading.Thread | None = None
        self._inner: asyncio.AbstractEventLoop | None = None
        self._outer: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._peers: set[_Peer] = set()
        self._empty = asyncio.Event()
        self.protocol: Literal["lmtp", "smtp"] = "lmtp"
        self.port = 0
        self._taken = Counter(
            "farhand_mail_taken",
            "Mails that were offered to the listener, by answer.",
            ["answer"],
            registry=relay.service(make_metrics).registry,
        )

    # From the relay's loop.

    async def start(self, listen: str) -> None:
        """Listen; returns when peers can connect.

        Raises:
            UsageError: `mail-listen`; FarhandError: `listen-failed`, `tls-certificate`.
        """
        self.protocol, host, port = parse_mail_listen(listen)
        bound = _bind(host, port)
        self.port = int(bound.getsockname()[1])
        self._outer = asyncio.get_running_loop()
        ready = threading.Event()
        context = _tls(self._relay)
        self._thread = threading.Thread(
            target=self._run, args=(bound, context, ready), name="mail-listener", daemon=True
        )
        self._thread.start()
        await asyncio.to_thread(ready.wait)
        _log.info("mail listens on %s", listen)

    async def stop(self) -> None:
        """Take no more, let what is being taken be answered, and end the thread."""
        if self._thread is None or self._inner is None or self._stop is None:
            return
        self._inner.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, _STOP_S)
        self._thread = None

    # In the thread.

    def _run(
        self, bound: socket.socket, context: ssl.SSLContext | None, ready: threading.Event
    ) -> None:
        try:
            asyncio.run(self._serve(bound, context, ready))
        except Exception:
            _log.exception("the mail listener ended")
        finally:
            bound.close()
            ready.set()

    async def _serve(
        self, bound: socket.socket, context: ssl.SSLContext | None, ready: threading.Event
    ) -> None:
        self._inner = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._empty.set()
        # aiosmtpd writes every line that a peer says to its log.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        server = await self._inner.create_server(lambda: self._peer(context), sock=bound)
        ready.set()
        await self._stop.wait()
        server.close()
        for peer in list(self._peers):
            peer.let_go()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _STOP_S / 2)
        for peer in list(self._peers):
            peer.cut()
        await server.wait_closed()

    def _peer(self, context: ssl.SSLContext | None) -> _Peer:
        kind = _LmtpPeer if self.protocol == "lmtp" else _Peer
        return kind(
            _Handler(self),
            listener=self,
            data_size_limit=MAX_TAKEN_BYTES,
            enable_SMTPUTF8=True,
            hostname=self._relay.settings.url.partition("://")[2].partition(":")[0] or "farhand",
            ident="Farhand",
            tls_context=context,
            timeout=_IDLE_S,
            command_call_limit={"*": 1000, "RCPT": 10_000, "NOOP": 100},
        )

    def joined(self, peer: _Peer) -> bool:
        """Count a peer in; False where there are too many."""
        if len(self._peers) >= MAX_CONNECTIONS:
            return False
        self._peers.add(peer)
        self._empty.clear()
        return True

    def left(self, peer: _Peer) -> None:
        """Count a peer out."""
        self._peers.discard(peer)
        if not self._peers:
            self._empty.set()

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the relay's loop and wait for it."""
        assert self._outer is not None
        asked = asyncio.run_coroutine_threadsafe(work, self._outer)
        return await asyncio.wait_for(asyncio.wrap_future(asked), _STORE_S)

    async def mailbox_of(self, address: str) -> str | None:
        """Return the name of the active mailbox with an address, whatever stands after a `+`."""
        local, _, domain = address.strip().lower().rpartition("@")
        plain = f"{local.partition('+')[0]}@{domain}"
        async with self._relay.db.read() as c:
            known = await list_mailboxes(c, self._relay.tenant)
        wanted = (f"{local}@{domain}", plain)
        return next((m.name for m in known if m.active and m.address in wanted), None)

    async def keep(self, raw: bytes, mailbox: str, envelope_from: str) -> str:
        """Keep a mail and return what the peer is told; on the relay's loop."""
        arrival = Arrival(mailbox, self.protocol, envelope_from)
        marks = await asyncio.to_thread(marks_of, raw)
        async with self._relay.db.write() as c:
            made = await keep_mail(c, self._relay, raw=raw, marks=marks, arrival=arrival)
        self._relay.service(make_intake).wake()
        return "250 2.0.0 kept" if made is not None else "250 2.0.0 kept already"

    def count(self, answer: str) -> None:
        """Count an answer by its class."""
        self._taken.labels(f"{answer[:1]}xx").inc()


class _Peer(SMTP):
    """One connection; refuses the one too many before it may speak."""

    line_length_limit = _MAX_LINE_BYTES

    def __init__(self, handler: _Handler, *, listener: Listener, **options: Any) -> None:
        super().__init__(handler, loop=asyncio.get_running_loop(), **options)
        self._listener = listener
        self._is_in = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in, or say 421 and hang up."""
        if not self._is_in:
            if not self._listener.joined(self):
                assert isinstance(transport, asyncio.WriteTransport)
                transport.write(b"421 4.3.2 too many connections; try again later\r\n")
                transport.close()
                self._refused = True
                return
            self._is_in = True
        super().connection_made(transport)

    _refused = False

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out."""
        if self._refused:
            return
        self._listener.left(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Hear nothing of whom was refused."""
        if not self._refused:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """Say nothing more to whom was refused."""
        return False if self._refused else super().eof_received()

    def let_go(self) -> None:
        """Hang up where no mail is being taken."""
        if self.envelope is None or not self.envelope.rcpt_tos:
            self.cut()

    def cut(self) -> None:
        """Hang up."""
        if self.transport is not None:
            self.transport.close()


class _LmtpPeer(_Peer, LMTP):
    """The same, speaking LMTP."""


class _Handler:
    """What aiosmtpd asks at each step (its hooks' names and arguments)."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient that is a mailbox of ours."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        try:
            name = await self._listener.ask(self._listener.mailbox_of(address))
        except (FarhandError, TimeoutError) as error:
            _log.warning("a recipient could not be looked up: %s", error)
            return _LATER
        if name is None:
            return _NOBODY
        envelope.rcpt_tos.append(name)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 a mailbox of ours"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep the mail for each mailbox; answer when it is committed."""
        sender = (envelope.mail_from or "").strip("<>")
        raw = bytes(envelope.original_content or b"")
        answers: dict[str, str] = {}
        for name in dict.fromkeys(envelope.rcpt_tos):
            answers[name] = await self._keep(raw, name, sender)
            self._listener.count(answers[name])
        if self._listener.protocol == "lmtp":
            return "\r\n".join(answers[name] for name in envelope.rcpt_tos)
        # One answer for all of them: what was kept already is known again when it comes back.
        return max(answers.values())

    async def _keep(self, raw: bytes, name: str, sender: str) -> str:
        try:
            return await self._listener.ask(self._listener.keep(raw, name, sender))
        except FarhandError as error:
            if error.code == "mail-too-large":
                return "552 5.3.4 the mail is too large"
            _log.warning("a mail was not kept: %s", error)
        except TimeoutError:
            _log.warning("a mail was not kept: the store took too long")
        return _LATER

    async def handle_exception(self, error: Exception) -> str:
        """Answer what nobody foresaw so that the mail comes again."""
        _log.error("a mail peer's session failed", exc_info=error)
        return _LATER


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.setblocking(False)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise FarhandError(
            "listen-failed",
            f"mail cannot be listened for on {host}:{port}: {error.strerror or error}",
            hint="mail_listen in config.toml names the place",
        ) from error
    return bound


def _tls(relay: Relay) -> ssl.SSLContext | None:
    """Return what STARTTLS needs, where the relay has a certificate."""
    settings = relay.settings
    if not settings.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(
            Path(settings.path(settings.tls_cert)), Path(settings.path(settings.tls_key))
        )
    except (OSError, ssl.SSLError) as error:
        raise FarhandError(
            "tls-certificate", "the certificate for mail cannot be used", detail=str(error)
        ) from error
    return context
