"""Errors over HTTP: RFC 9457 problem details with the stable code.

    {"type": "about:blank", "title", "status", "detail": message, "code", "hint"}

`STATUS` maps codes to statuses; each area adds its own (`api.areas.Area.statuses`).  A code that no
table names gets the status of its class.  What only the log may see (`FarhandError.detail`, a
traceback) never leaves.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from sqlalchemy.exc import IntegrityError

from farhand_protocol.complaints import plain_words
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_server.errors import RateLimited

__all__ = ["STATUS", "Problem", "problem_handlers", "problem_of"]

_log = logging.getLogger(__name__)
_MEDIA_TYPE = "application/problem+json"

STATUS: dict[str, int] = {
    "not-signed-in": 401,
    "sign-in-failed": 401,
    "password-wrong": 403,
    "not-permitted": 403,
    "not-found": 404,
    "conflict": 409,
    "account-exists": 409,
    "account-disabled": 409,
    "last-admin": 409,
    "idempotency-lost": 409,
    "idempotency-mismatch": 409,
    "idempotency-running": 409,
    "no-trust-root": 409,
    "trust-conflict": 409,
    "token-exists": 409,
    "revision-mismatch": 412,
    "body-too-large": 413,
    "invalid": 422,
    "trust-invalid": 422,
    "trust-malformed": 422,
    "envelope-malformed": 422,
    "key-malformed": 422,
    "time-malformed": 422,
    "revision-required": 428,
    "rate-limited": 429,
    "store-busy": 503,
    "store-unreachable": 503,
    "bus-unreachable": 503,
    "bus-timeout": 504,
    "store-full": 507,
    "store-failed": 500,
    "no-responders": 409,
}

_HTTP_CODES = {
    400: "invalid",
    401: "not-signed-in",
    403: "not-permitted",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "media-type",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 s3.1, and our `code` and `hint`."""

    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    type: str = "about:blank"


def status_of(error: FarhandError, statuses: Mapping[str, int]) -> int:
    """Return the HTTP status of an error."""
    if error.code in statuses:
        return statuses[error.code]
    if isinstance(error, RefusedError):
        return 403
    if isinstance(error, UsageError):
        return 422
    return 400


def problem_of(error: FarhandError, statuses: Mapping[str, int]) -> Response[Problem]:
    """Return the response that tells of an error."""
    status = status_of(error, statuses)
    if status >= 500:
        _log.error("%s: %s", error, error.detail)
    headers: dict[str, str] = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        headers["Retry-After"] = "1"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _response(status, error.code, error.message, error.hint, headers)


def _response(
    status: int, code: str, message: str, hint: str | None, headers: dict[str, str] | None = None
) -> Response[Problem]:
    title = http.HTTPStatus(status).phrase
    return Response(
        Problem(title=title, status=status, detail=message, code=code, hint=hint),
        status_code=status,
        media_type=_MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem_handlers(statuses: Mapping[str, int]) -> dict[Any, Any]:
    """Return Litestar's exception handlers.

    Args:
        statuses: code to HTTP status, of all areas.
    """

    def known(_request: Request[Any, Any, Any], error: FarhandError) -> Response[Problem]:
        return problem_of(error, statuses)

    def invalid(_request: Request[Any, Any, Any], error: ValidationException) -> Response[Problem]:
        return _response(422, "invalid", _invalid_words(error), None)

    def framework(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
        status = error.status_code
        if status == 400:  # the framework's word for a body that does not fit its type
            return _response(422, "invalid", "the request cannot be read", None)
        code = _HTTP_CODES.get(status, "http-error" if status < 500 else "internal")
        return _response(status, code, http.HTTPStatus(status).phrase.lower(), None)

    def nested(request: Request[Any, Any, Any], error: RecursionError) -> Response[Problem]:
        # msgspec's word for JSON deeper than the stack; any other recursion is our own bug.
        if not _is_of_decoder(error):
            return bug(request, error)
        return _response(422, "invalid", "the request is nested too deep", None)

    def constraint(_request: Request[Any, Any, Any], error: IntegrityError) -> Response[Problem]:
        # Two requests wrote the same thing at once, and the other was first.
        _log.warning("constraint: %s", error.orig)
        return _response(409, "conflict", "somebody else changed this just now", "try again")

    def bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _response(500, "internal", "the relay failed; its log says why", None)

    return {
        FarhandError: known,
        ValidationException: invalid,
        HTTPException: framework,
        RecursionError: nested,
        IntegrityError: constraint,
        Exception: bug,
    }


def _is_of_decoder(error: RecursionError) -> bool:
    """Tell whether the framework's reading of a body raised it."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    return where is not None and where.tb_frame.f_globals["__name__"].startswith(
        "litestar.serialization"
    )


def _invalid_words(error: ValidationException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    parts = [
        plain_words(str(one.get("message", "")), str(one.get("key", "")))
        for one in extra[:5]
        if isinstance(one, dict)
    ]
    return "; ".join(parts) or "the request cannot be read"
