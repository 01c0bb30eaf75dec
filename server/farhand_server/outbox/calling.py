"""Calls somebody else's web server: judged, pinned, bounded, and following nothing.

The relay stands where strangers may not, so an address that an admin typed, or that a name leads to
later, must not open the inside to the outside (SSRF).  Only `https://` is called, or `http://` on
this machine itself where it is written as such; private addresses where the admin allowed them for
this one; link-local ones (metadata services among them) never.  The name is looked up here once,
the address is judged, and that address is connected to, with the certificate checked against the
name.  Redirects are answers.  Nothing of the environment (proxies, netrc) is used.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple

import httpx

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.config import is_loopback

__all__ = [
    "CALL_S",
    "MAX_ANSWER_BYTES",
    "MAX_URL_CHARS",
    "Answer",
    "call",
    "check_address",
    "judge",
]

CALL_S: Final = 10.0
# The deadline is the caller's; this one only says that no single read waits for ever.
_IDLE_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 1024 * 1024
MAX_URL_CHARS: Final = 1000

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """Return how long it asks to be left alone, where it says so in seconds."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def check_address(url: str) -> str:
    """Return an address that may be called at all, as it was written.

    Raises:
        UsageError: `url-malformed`; `url-insecure` for http:// to another machine.
    """
    url = url.strip()
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError("url-malformed", f"{url[:80]!r} is not an address") from error
    is_odd = len(url) > MAX_URL_CHARS or not url.isprintable() or parts.userinfo or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.host or is_odd:
        raise UsageError(
            "url-malformed",
            f"{url[:80]!r} is not an address to call",
            hint="write it as https://HOST/PATH, without a user and a password",
        )
    if parts.scheme == "http" and parts.host not in _LOOPBACK:
        raise UsageError("url-insecure", "a server elsewhere is called with https:// only")
    return url


def _behind(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 one stands for: mapped, behind NAT64, by 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


def judge(address: _Address, *, host: str, allow_private: bool) -> bool:
    """Tell whether a call may go to this address.

    Args:
        address: where the name leads.
        host: the name as it was written.
        allow_private: whether the admin allowed addresses of the own network.
    """
    address = _behind(address)
    if address.is_loopback:
        # Written as such it is meant; a name that leads here is a trick.
        return host in _LOOPBACK
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return allow_private
    return address.is_global or (allow_private and address.is_private)


async def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    allow_private: bool = False,
    deadline_s: float = CALL_S,
    max_bytes: int = MAX_ANSWER_BYTES,
    trusted: ssl.SSLContext | None = None,
) -> Answer:
    """Call once and return the answer, whatever its status.

    Args:
        method: of HTTP.
        url: checked again here.
        headers: besides what HTTP needs.
        content: the body.
        allow_private: as `judge` takes it.
        deadline_s: for everything, the look-up included.
        max_bytes: of the answer's body.
        trusted: certificates that count, for tests; None for the system's.

    Raises:
        FarhandError: `address-refused`; `call-failed` when there was no answer, or a larger one.
        UsageError: as `check_address`.
    """
    target = httpx.URL(check_address(url))
    try:
        async with asyncio.timeout(deadline_s):
            address = await _pinned(target, allow_private=allow_private)
            return await _send(
                method, target, address, headers or {}, content, max_bytes, trusted or _trusted()
            )
    except TimeoutError as error:
        raise FarhandError("call-failed", f"no answer in {deadline_s:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError) as error:
        raise FarhandError(
            "call-failed", f"{target.host[:80]}: {type(error).__name__}", detail=str(error)
        ) from error


@functools.cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _pinned(target: httpx.URL, *, allow_private: bool) -> str:
    loop = asyncio.get_running_loop()
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        found = await loop.getaddrinfo(target.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FarhandError("call-failed", f"{target.host[:80]}: no such name") from error
    for one in found:
        text = str(one[4][0]).partition("%")[0]
        address = ipaddress.ip_address(text)
        if judge(address, host=target.host, allow_private=allow_private):
            return text
    raise FarhandError(
        "address-refused",
        f"{target.host[:80]} leads to {text}, which is not called",
        hint="an admin may allow addresses of the own network for it",
    )


async def _send(
    method: str,
    target: httpx.URL,
    address: str,
    headers: Mapping[str, str],
    content: bytes,
    max_bytes: int,
    trusted: ssl.SSLContext,
) -> Answer:
    sent = {
        "User-Agent": "farhand",
        "Accept-Encoding": "identity",
        **headers,
        "Host": target.netloc.decode("ascii"),
    }
    extensions = {} if is_loopback(target.host) else {"sni_hostname": target.host}
    # One connection for one call: nothing of one server is left over for the next.
    async with httpx.AsyncClient(
        verify=trusted, trust_env=False, follow_redirects=False, timeout=_IDLE_S
    ) as client:
        request = client.build_request(
            method,
            target.copy_with(host=address),
            headers=sent,
            content=content,
            extensions=extensions,
        )
        answer = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > max_bytes:
                    raise FarhandError("call-failed", f"an answer of more than {max_bytes} bytes")
            return Answer(answer.status_code, dict(answer.headers), bytes(body))
        finally:
            await answer.aclose()
