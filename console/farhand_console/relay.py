"""The relay's HTTP API as the console sees it: one pinned address, errors with their codes.

Nothing that comes from here is trusted beyond what DESIGN calls the relay's word: device keys,
metadata, manifests and results are verified by whoever asked for them.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from farhand_console.home import Home, Settings
from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["Relay", "check_url", "connect_signed_in", "fetch_certificate", "tls_context"]

_REFUSALS = {"consent-refused", "consent-timeout", "scope-empty", "policy-refused"}
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_CONNECT_S = 10.0


def check_url(url: str) -> str:
    """Return the relay address without a trailing slash.

    Raises:
        FarhandError: `url-malformed`; `url-insecure` for http:// beyond loopback.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FarhandError("url-malformed", f"{url[:200]!r} is not the address of a relay")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise FarhandError("url-insecure", "http:// is only for a relay on this machine")
    return url.rstrip("/")


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
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context


class Relay:
    """Calls to one relay.

    Args:
        url: as `check_url` returns it.
        token: API token, None before sign-in.
        certificate: PEM file to pin, None for plain loopback or a public certificate.
    """

    def __init__(self, url: str, token: str | None, certificate: Path | None) -> None:
        headers = {"accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.url = url
        self.certificate = certificate
        verify: ssl.SSLContext | bool = True
        if url.startswith("https:"):
            verify = tls_context(certificate)
        self._http = httpx.Client(
            base_url=url, headers=headers, verify=verify, trust_env=False, timeout=_CONNECT_S
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, *, wait_s: float = 20.0, **query: object) -> Any:
        """GET a JSON answer; None among the query values are left out."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._json(self._call("GET", path, wait_s=wait_s, params=given))

    def get_bytes(self, path: str, *, wait_s: float = 60.0) -> bytes:
        """GET a file."""
        return self._call("GET", path, wait_s=wait_s).content

    def post(self, path: str, body: object = None, *, wait_s: float = 30.0) -> Any:
        """POST JSON and return the JSON answer (None when empty).

        A fresh Idempotency-Key goes along, so that the one retry after a lost connection can not
        do the thing twice.
        """
        content = msgspec.json.encode({} if body is None else body)
        headers = {
            "content-type": "application/json",
            "idempotency-key": secrets.token_hex(16),
        }
        try:
            answer = self._call("POST", path, wait_s=wait_s, content=content, headers=headers)
        except FarhandError as error:
            if error.code != "relay-lost":
                raise
            answer = self._call("POST", path, wait_s=wait_s, content=content, headers=headers)
        return self._json(answer)

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a paged list, page after page."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return

    def _call(self, method: str, path: str, *, wait_s: float, **extra: Any) -> httpx.Response:
        timeout = httpx.Timeout(wait_s, connect=_CONNECT_S)
        try:
            with self._http.stream(method, f"/api/v1{path}", timeout=timeout, **extra) as answer:
                if int(answer.headers.get("content-length", 0)) > _MAX_ANSWER_BYTES:
                    raise FarhandError("relay-answer", "the relay's answer is too large")
                answer.read()
        except httpx.ConnectError as error:
            raise FarhandError(
                "relay-unreachable",
                f"cannot reach {self.url}",
                hint="is the relay running, and the address right?",
                detail=str(error),
            ) from error
        except httpx.TimeoutException as error:
            raise FarhandError("relay-timeout", "the relay did not answer in time") from error
        except httpx.HTTPError as error:
            raise FarhandError(
                "relay-lost", "the connection to the relay was lost", detail=str(error)
            ) from error
        if answer.status_code >= 400:
            raise self._problem(answer)
        return answer

    def _problem(self, answer: httpx.Response) -> FarhandError:
        try:
            problem = answer.json()
            code, detail = str(problem["code"]), str(problem.get("detail") or "refused")
            hint = problem.get("hint")
        except (ValueError, KeyError, TypeError):
            return FarhandError(
                "relay-answer", f"the relay answered {answer.status_code} without a reason"
            )
        kind = RefusedError if code in _REFUSALS else FarhandError
        return kind(code[:80], detail[:2000], hint=str(hint)[:2000] if hint else None)

    def _json(self, answer: httpx.Response) -> Any:
        if not answer.content:
            return None
        try:
            return msgspec.json.decode(answer.content)
        except msgspec.DecodeError as error:
            raise FarhandError("relay-answer", "the relay's answer cannot be read") from error


def connect_signed_in(home: Home) -> tuple[Settings, Relay]:
    """Return the settings and a relay connection with this home's API token.

    Raises:
        FarhandError: `not-signed-in`.
    """
    settings = home.settings()
    certificate = home.certificate_file if settings.tls_sha256 else None
    return settings, Relay(settings.url, settings.api_token, certificate)
