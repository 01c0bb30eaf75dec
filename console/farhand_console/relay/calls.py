"""Calls to one relay at a pinned address: bounded answers of a known shape, errors with codes.

Nothing that comes from here is trusted beyond what DESIGN calls the relay's word: device keys,
metadata, manifests and results are verified by whoever asked for them.  An answer is read to a
bound and a deadline, never unpacked, and must have the shape that the caller names; everything
else is `relay-answer`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from farhand_console.home import Home, Settings
from farhand_console.relay.answers import Page
from farhand_console.relay.lean_httpx import httpx
from farhand_protocol.errors import FarhandError, RefusedError, UsageError

__all__ = [
    "Relay",
    "check_url",
    "connect_signed_in",
    "fetch_certificate",
    "read_as",
    "segments",
    "tls_context",
]

# A person, a policy, a role or an approval rule said no: exit code 3.
_REFUSALS = frozenset(
    {
        "consent-refused",
        "consent-timeout",
        "contract-used-up",
        "device-retired",
        "not-permitted",
        "policy-refused",
        "scope-empty",
        "script-not-approved",
    }
)
# The relay's word for what cannot be meant: a person typed it, unless it is about what the console
# itself composed and signed.
_UNPROCESSABLE = 422
_COMPOSED = ("confirmation-", "envelope-", "grant-", "order-", "pipe-", "script-", "trust-")
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_CONNECT_S = 10.0
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

T = TypeVar("T")


def check_url(url: str) -> str:
    """Return the relay address as scheme, host and port.

    Raises:
        FarhandError: `url-malformed`; `url-insecure` for http:// beyond loopback.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    known = host and parts.scheme in ("http", "https")
    if not known or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise FarhandError(
            "url-malformed",
            f"{url[:200]!r} is not the address of a relay",
            hint="such as https://relay.example.org:8443",
        )
    assert host is not None
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise FarhandError("url-insecure", "http:// is only for a relay on this machine")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


def fetch_certificate(url: str, sha256: bytes) -> str:
    """Fetch the relay's certificate, check its fingerprint and return it as PEM.

    Raises:
        FarhandError: `relay-unreachable`, `tls-fingerprint` when it is another certificate.
    """
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint is compared below, before any use
    try:
        with socket.create_connection((parts.hostname, parts.port or 443), _CONNECT_S) as raw:
            with context.wrap_socket(raw, server_hostname=parts.hostname) as tls:
                der = tls.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise FarhandError("relay-unreachable", f"cannot reach {url}", detail=str(error)) from error
    if hashlib.sha256(der).digest() != sha256:
        raise FarhandError(
            "tls-fingerprint",
            "the relay shows another certificate than the token names",
            hint="somebody may be listening in; ask your admin for a new token",
        )
    return ssl.DER_cert_to_PEM_cert(der)


def tls_context(certificate: Path | None) -> ssl.SSLContext:
    """Return a TLS context that accepts the pinned certificate only, or public ones without it."""
    if certificate is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # The pinned certificate itself is the anchor, whoever signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise FarhandError(
            "home-unreadable",
            f"the pinned certificate {certificate} cannot be read",
            hint="sign in again with a new token",
        ) from error
    return context


def segments(*parts: object) -> str:
    """Return an API path of these segments, each quoted, so that no word becomes a path.

    Raises:
        FarhandError: `not-found` for a segment that a path can not carry.
    """
    path = ""
    for part in parts:
        text = str(part)
        if text.strip(".") == "" or len(text) > 400:
            raise FarhandError("not-found", f"{text[:40]!r} names nothing")
        path += "/" + quote(text, safe="")
    return path


class Relay:
    """Calls to one relay; may be used from several threads.

    Args:
        url: as `check_url` returns it.
        token: API token, None before sign-in.
        certificate: PEM file to pin, None for plain loopback or a public certificate.
    """

    def __init__(self, url: str, token: str | None, certificate: Path | None) -> None:
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.url = url
        self.certificate = certificate
        # Seconds that the relay's clock (its Date header) is ahead of ours, once it has answered.
        self.clock_offset_s: float | None = None
        if url.startswith("https:"):
            verify = tls_context(certificate)
        else:
            # It trusts no certificate at all, and reading those that others trust takes longer
            # than a short command does.
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.Client(
            base_url=url, headers=headers, verify=verify, trust_env=False, timeout=_CONNECT_S
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, kind: type[T], /, *, wait_s: float = 20.0, **query: object) -> T:
        """GET an answer of this shape; None among the query values are left out.

        Raises:
            FarhandError: `relay-unreachable`, `relay-timeout`, `relay-lost`, `relay-answer`, and
                every code that the relay answers.
        """
        given = {name: str(value) for name, value in query.items() if value is not None}
        return _decode(self._call("GET", path, wait_s=wait_s, params=given), kind)

    def get_bytes(self, path: str, *, wait_s: float = 60.0) -> bytes:
        """GET a file."""
        return self._call("GET", path, wait_s=wait_s)

    def post(
        self,
        path: str,
        kind: type[T],
        body: object = None,
        *,
        wait_s: float = 30.0,
        if_match: int | None = None,
    ) -> T:
        """POST JSON and return the answer.

        A fresh Idempotency-Key goes along, so that the one retry after a lost connection can not
        do the thing twice; with `if_match` the revision that the change was made against.
        """
        content = msgspec.json.encode({} if body is None else body)
        headers = {
            "content-type": "application/json",
            "idempotency-key": secrets.token_hex(16),
        }
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        try:
            answer = self._call("POST", path, wait_s=wait_s, content=content, headers=headers)
        except FarhandError as error:
            if error.code != "relay-lost":
                raise
            answer = self._call("POST", path, wait_s=wait_s, content=content, headers=headers)
        return _decode(answer, kind)

    def pages(
        self, path: str, kind: type[T], *, limit: int = 500, **query: str | None
    ) -> Iterator[T]:
        """Yield the items of a paged list, page after page."""
        cursor: str | None = None
        while True:
            page: Page[T] = self.get(
                path,
                Page[kind],  # type: ignore[valid-type]
                wait_s=60.0,
                cursor=cursor,
                limit=limit,
                **query,
            )
            yield from page.items
            if not page.next:
                return
            if page.next == cursor or not page.items:
                raise FarhandError("relay-answer", "the relay's list does not come to an end")
            cursor = page.next

    def _call(
        self,
        method: str,
        path: str,
        *,
        wait_s: float,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        timeout = httpx.Timeout(wait_s, connect=_CONNECT_S)
        deadline = time.monotonic() + wait_s + _CONNECT_S
        try:
            with self._http.stream(
                method,
                f"/api/v1{path}",
                timeout=timeout,
                params=params,
                content=content,
                headers=headers,
            ) as answer:
                data = _read(answer, deadline)
                self._note_clock(answer.headers.get("date", ""))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise FarhandError(
                "relay-unreachable",
                f"cannot reach {self.url}",
                hint="is the relay running, and the address right?",
                detail=str(error),
            ) from error
        except httpx.TimeoutException as error:
            raise FarhandError("relay-timeout", "the relay did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FarhandError(
                "relay-lost", "the connection to the relay was lost", detail=str(error)
            ) from error
        if not answer.is_success:
            raise _problem(answer.status_code, data)
        return data

    def _note_clock(self, date: str) -> None:
        try:
            self.clock_offset_s = parsedate_to_datetime(date).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return  # no date, or none that means anything


def _read(answer: httpx.Response, deadline: float) -> bytes:
    """Read an answer to its end; a bomb, a flood or a trickle ends it early."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FarhandError("relay-answer", "the relay's answer is packed, which nobody asked for")
    data = bytearray()
    for piece in answer.iter_raw():
        data += piece
        if len(data) > _MAX_ANSWER_BYTES:
            raise FarhandError("relay-answer", "the relay's answer is too large")
        if time.monotonic() > deadline:
            raise FarhandError("relay-timeout", "the relay did not answer in time")
    return bytes(data)


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 with our code."""

    code: str
    detail: str = "refused"
    hint: str | None = None


def _problem(status: int, data: bytes) -> FarhandError:
    try:
        problem = msgspec.json.decode(data, type=_Problem)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        problem = _Problem(code="")
    if not _CODE.match(problem.code):
        return FarhandError("relay-answer", f"the relay answered {status} without a reason")
    kind: type[FarhandError] = FarhandError
    if problem.code in _REFUSALS:
        kind = RefusedError
    elif status == _UNPROCESSABLE and not problem.code.startswith(_COMPOSED):
        kind = UsageError
    hint = problem.hint[:2000] if problem.hint else None
    if problem.code == "not-signed-in":
        hint = "sign in again: farhand login URL --token TOKEN (an admin makes one)"
    return kind(problem.code, problem.detail[:2000], hint=hint)


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data or b"null", type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> FarhandError:
    return FarhandError(
        "relay-answer",
        "the relay's answer cannot be read",
        hint="console and relay may be of different versions",
        detail=str(error),
    )


def read_as(answer: object, kind: type[T]) -> T:
    """Return what is read of an answer that is itself handed on, unknown fields and all.

    Raises:
        FarhandError: `relay-answer`.
    """
    try:
        return msgspec.convert(answer, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _unreadable(error) from error


def connect_signed_in(home: Home) -> tuple[Settings, Relay]:
    """Return the settings and a relay connection with this home's API token.

    Raises:
        FarhandError: `not-signed-in`.
    """
    settings = home.settings()
    certificate = home.certificate_file if settings.tls_sha256 else None
    return settings, Relay(check_url(settings.url), settings.api_token, certificate)
