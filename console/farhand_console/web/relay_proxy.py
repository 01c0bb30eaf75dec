"""The relay's HTTP API at `/relay/...`, with this home's sign-in, for the page.

The page holds no token.  It reads and writes the desk through here; what needs a key goes through
`acts.py`.  An answer keeps its status and its body to a bound.  JSON stays JSON; everything else is
handed on as a file to keep, so that nothing the relay says is ever shown as a page.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

import httpx
from litestar import Request, Response, route
from litestar.params import FromPath

from farhand_console.home import Home
from farhand_console.relay.calls import check_url, tls_context
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_ANSWER_BYTES", "MAX_BODY_BYTES", "RelayLine", "relay_proxy"]

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_BODY_BYTES: Final = 48 * 1024 * 1024
_CONNECT_S: Final = 10.0
# The longest that the relay lets a caller wait for news, and a little.
_READ_S: Final = 70.0
_JSON: Final = ("application/json", "application/problem+json")
_PASSED_ON: Final = ("content-type", "idempotency-key", "if-match", "accept-language")
_PASSED_BACK: Final = ("etag", "content-disposition", "retry-after")
# What would hand the browser a sign-in of its own.
_KEPT_BACK: Final = (b"sign-in", b"sign-out")


class RelayLine:
    """One HTTP connection pool to the relay that this home is signed in to.

    Raises:
        FarhandError: `not-signed-in`.
    """

    def __init__(self, home: Home) -> None:
        settings = home.settings()
        url = check_url(settings.url)
        certificate = home.certificate_file if settings.tls_sha256 else None
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={
                "authorization": f"Bearer {settings.api_token}",
                "accept-encoding": "identity",
            },
            verify=tls_context(certificate) if url.startswith("https:") else True,
            trust_env=False,
            timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=64),
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> tuple[int, dict[str, str], bytes]:
        """Call the relay; return status, headers (lower case) and body.

        Args:
            path: below /api/v1, beginning with a slash.
            query: as it stands in an address.
            content: the body.
            headers: more of them.
            most_bytes: of the answer.

        Raises:
            FarhandError: `not-found` for a path that leaves the API or hands out sign-ins,
                `relay-unreachable`, `relay-timeout`, `relay-lost`, `relay-answer`.
        """
        if not _is_within(path):
            raise FarhandError("not-found", "there is no such page of the relay's API")
        address = f"/api/v1{path}" + (f"?{query}" if query else "")
        try:
            async with self._http.stream(
                method, address, content=content or None, headers=headers or {}
            ) as answer:
                data = bytearray()
                async for piece in answer.aiter_raw():
                    data += piece
                    if len(data) > min(most_bytes, MAX_ANSWER_BYTES):
                        raise FarhandError("relay-answer", "the relay's answer is too large")
                return answer.status_code, dict(answer.headers), bytes(data)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise FarhandError("relay-unreachable", f"cannot reach {self.url}") from error
        except httpx.TimeoutException as error:
            raise FarhandError("relay-timeout", "the relay did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FarhandError("relay-lost", "the connection to the relay was lost") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _is_within(path: str) -> bool:
    """Tell whether a path names something of the API, and no sign-in, as the relay reads it.

    The relay undoes the percent signs before it looks where a call goes; so do we.
    """
    words = [unquote_to_bytes(word) for word in path.split("/")[1:]]
    if not words or words[0] in _KEPT_BACK:
        return False
    return not any(word in (b"", b".", b"..") or b"/" in word or b"\\" in word for word in words)


def _kept(headers: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {name: headers[name] for name in _PASSED_BACK if name in headers}
    kept["cache-control"] = "no-store"
    if headers.get("content-type", "").partition(";")[0] not in _JSON:
        # To be kept as a file: never a page, whatever it is.
        kept["content-security-policy"] = "sandbox; default-src 'none'"
        if not kept.get("content-disposition", "").startswith("attachment"):
            kept["content-disposition"] = "attachment"
    return kept


@route("/relay/{path:path}", http_method=["GET", "POST"], status_code=200)
async def relay_proxy(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
    """Carry one call to the relay and its answer back."""
    line: RelayLine = request.app.state.line
    content = await request.body()
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    raw: bytes = request.scope.get("raw_path") or path.encode()
    below = raw.decode("latin-1").partition("/relay")[2].partition("?")[0]
    status, answered, body = await line.call(
        request.method,
        below,
        query=request.scope.get("query_string", b"").decode("latin-1"),
        content=content,
        headers=headers,
    )
    kind = answered.get("content-type", "application/octet-stream")
    return Response(body, status_code=status, media_type=kind, headers=_kept(answered))
