"""One look at one address: does it answer, is its name found, its certificate good, its page there.

The relay stands where strangers may not, so a look goes to registered addresses alone, never to the
relay's own host, its link or a metadata service; the address that was judged is the one connected
to, whatever its name says later.  Each look has `LOOK_S`, reads a few bytes, and follows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from cryptography import x509

__all__ = ["KINDS", "LOOK_S", "Seen", "is_reachable", "look"]

Kind = Literal["ping", "dns", "tls", "http"]
KINDS: Final[tuple[Kind, ...]] = ("ping", "dns", "tls", "http")
State = Literal["ok", "warning", "critical"]

LOOK_S: Final = 10.0
_USUAL_PORTS: Final = (443, 80, 22, 631, 9100)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
_MAX_LINE_BYTES: Final = 1024
_SLOW_MS: Final = {"ping": (150, 500), "dns": (500, 3000), "http": (3000, 8000)}
_DAYS: Final = (30, 7)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Seen(NamedTuple):
    """What one look came to."""

    state: State
    summary: str
    value: float | None
    unit: str | None


def is_reachable(address: Address) -> bool:
    """Tell whether the relay may connect to an address at all."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (isinstance(address, ipaddress.IPv4Address) and address.is_reserved)
    )


async def look(
    kind: Kind,
    host: str,
    *,
    port: int | None,
    now: datetime,
    may_connect: Callable[[Address], bool] = is_reachable,
    trusted: ssl.SSLContext | None = None,
) -> Seen:
    """Look once; whatever happens is a result.

    Args:
        kind: of `KINDS`.
        host: registered name or address.
        port: None for the usual one of the kind.
        now: for the days that a certificate has left.
        may_connect: judges the address that the name leads to.
        trusted: certificates that count, for tests.
    """
    try:
        async with asyncio.timeout(LOOK_S):
            started = time.monotonic()
            address = await _resolved(host)
            if address is None:
                return Seen("critical", f"{host}: no such name", None, None)
            if kind == "dns":
                return _timed("dns", f"{host}: {address}", started)
            if not may_connect(address):
                return Seen("critical", f"{host}: {address} is not looked at", None, None)
            if kind == "ping":
                return await _ping(host, str(address), port)
            if kind == "tls":
                return await _tls(host, str(address), port or 443, now, trusted)
            return await _http(host, str(address), port, trusted)
    except TimeoutError:
        return Seen("critical", f"{host}: no answer in {LOOK_S:g} s", None, None)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        return Seen("critical", f"{host}: {type(error).__name__}", None, None)


async def _resolved(host: str) -> Address | None:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])


def _timed(kind: str, words: str, started: float) -> Seen:
    elapsed = (time.monotonic() - started) * 1000
    slow, very_slow = _SLOW_MS[kind]
    state: State = "critical" if elapsed >= very_slow else "warning" if elapsed >= slow else "ok"
    return Seen(state, f"{words} in {elapsed:.0f} ms", round(elapsed, 1), "milliseconds")


async def _ping(host: str, address: str, port: int | None) -> Seen:
    for one in (port,) if port else _USUAL_PORTS:
        started = time.monotonic()
        try:
            async with asyncio.timeout(2.0):
                _, writer = await asyncio.open_connection(address, one)
        except ConnectionRefusedError:
            if port:
                return Seen("critical", f"{host}:{port} is refused", None, None)
            return _timed("ping", f"{host}: {one} refused", started)
        except (TimeoutError, OSError):
            continue
        seen = _timed("ping", f"{host}:{one}", started)
        await _let_go(writer)
        return seen
    return Seen("critical", f"{host}: no answer", None, None)


async def _tls(
    host: str, address: str, port: int, now: datetime, trusted: ssl.SSLContext | None
) -> Seen:
    distrust = ""
    context = trusted or ssl.create_default_context()
    try:
        certificate = await _shown(host, address, port, context)
    except ssl.SSLCertVerificationError as error:
        distrust = error.verify_message[:100] or "not trusted"
        # It is only looked at, and nothing is sent to it.
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        certificate = await _shown(host, address, port, blind)
    ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc.astimezone(UTC)
    days = round((ends - now).total_seconds() / 86_400, 1)
    words = f"{host}: until {ends:%Y-%m-%d}" + (f", {distrust}" if distrust else "")
    warning, critical = _DAYS
    state: State = "warning" if days <= warning else "ok"
    if distrust or days <= critical:
        state = "critical"
    return Seen(state, words, days, "days")


async def _shown(host: str, address: str, port: int, context: ssl.SSLContext) -> bytes:
    _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    secured: Any = writer.get_extra_info("ssl_object")
    certificate: bytes = secured.getpeercert(binary_form=True)
    await _let_go(writer)
    return certificate


async def _let_go(writer: asyncio.StreamWriter) -> None:
    """End a connection without a goodbye: a peer that does not answer one is no finding."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _http(host: str, address: str, port: int | None, trusted: ssl.SSLContext | None) -> Seen:
    port = port or 443
    context = None if port == 80 else trusted or ssl.create_default_context()
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(
        address, port, ssl=context, server_hostname=host if context else None,
        limit=_MAX_LINE_BYTES,
    )  # fmt: skip
    try:
        name = f"[{host}]" if ":" in host else host
        asked = (
            f"GET / HTTP/1.1\r\nHost: {name}\r\nUser-Agent: farhand\r\nConnection: close\r\n\r\n"
        )
        writer.write(asked.encode("ascii"))
        line = await reader.readuntil(b"\n")
    finally:
        await _let_go(writer)
    status = _STATUS.match(line)
    if status is None:
        return Seen("critical", f"{host}: what answers is no web server", None, None)
    seen = _timed("http", f"{host}: HTTP {int(status[1])}", started)
    if int(status[1]) >= 500:
        return seen._replace(state="critical")
    if int(status[1]) >= 400 and seen.state == "ok":
        return seen._replace(state="warning")
    return seen
