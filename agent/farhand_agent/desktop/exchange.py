"""One request of the browser and one answer to it, as plain data; no sockets here.

Every answer carries the same head: nothing may be loaded from elsewhere, nothing runs but the
page's own script file, nobody may frame it, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from farhand_protocol.errors import RemoteError

__all__ = ["HEAD", "MAX_BODY_BYTES", "MAX_FIELDS", "Answer", "Request", "see_other"]

# The longest is a text of help beside what was tried.
MAX_BODY_BYTES: Final = 128 * 1024
MAX_FIELDS: Final = 64

HEAD: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    # With no referrer at all browsers would send the Origin of a form as `null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a browser asks for.

    Args:
        headers: with their names in lower case.
        user: whose connection it is, None where that cannot be known.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: int | None = None

    @property
    def path(self) -> str:
        """Return the path, as it came."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Return the fields behind the question mark; of several of one name the last."""
        return dict(_fields(urlsplit(self.target).query))

    def form(self) -> list[tuple[str, str]]:
        """Return the fields of a form, in order.

        Raises:
            RemoteError: `request-malformed`.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise RemoteError("request-malformed", "this is no form")
        try:
            return _fields(self.body.decode("ascii"))
        except UnicodeDecodeError as error:
            raise RemoteError("request-malformed", "this is no form") from error


def _fields(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise RemoteError("request-malformed", "there are too many fields") from error


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the browser gets."""

    status: int = 200
    kind: str = "text/html; charset=utf-8"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def see_other(place: str, **headers: str) -> Answer:
    """Send the browser on to another page of ours, with a GET."""
    return Answer(status=303, kind="text/plain", headers={"Location": place, **headers})
