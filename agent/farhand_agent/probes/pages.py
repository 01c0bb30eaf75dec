"""One web page: whether it answers, with which status, how fast.  Redirects are an answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import Final, NamedTuple

from farhand_agent.probes.reaching import TIMEOUT_S, address_of
from farhand_protocol.errors import FarhandError

__all__ = ["Answered", "ask_page"]

_MAX_READ_BYTES: Final = 64 * 1024


class Answered(NamedTuple):
    """What came back."""

    status: int
    elapsed_ms: float


def ask_page(
    host: str,
    *,
    scheme: str = "https",
    port: int = 0,
    path: str = "/",
    trusted: ssl.SSLContext | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answered:
    """GET a page and return its status; at most the beginning of its body is read.

    Raises:
        FarhandError: `probe-no-name`, `probe-failed`.
    """
    port = port or (443 if scheme == "https" else 80)
    address = address_of(host, port)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    started = time.monotonic()
    try:
        plain = socket.socket(address.family, socket.SOCK_STREAM)
        connection.sock = plain
        plain.settimeout(timeout_s)
        plain.connect(address.where)
        if scheme == "https":
            context = trusted or ssl.create_default_context()
            connection.sock = context.wrap_socket(plain, server_hostname=host)
        connection.request("GET", path, headers={"User-Agent": "farhand-agent"})
        answer = connection.getresponse()
        answer.read(_MAX_READ_BYTES)
        return Answered(answer.status, (time.monotonic() - started) * 1000)
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = f"{host}:{port}: {type(error).__name__}"
        raise FarhandError("probe-failed", words, detail=str(error)) from error
    finally:
        connection.close()
