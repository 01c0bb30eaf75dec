"""What every other desk can do for us: one interface, and how its server is called.

    get              a ticket's title, state and requester
    comment          words on it, internal where the desk knows that, with minutes
    link             an address beside it, where it has such a thing
    create           a new ticket
    verify_webhook   what its own webhook says, once it is shown to come from there

Everything that a desk answers is hostile: bounded, and text is made one printable line.  What goes
there is a summary, a link, minutes and a hash, never a code or a transcript (`connectors.summary`).
A comment carries a marker, so that one that may have arrived is looked for before it is repeated.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.outbox.calling import Answer, call
from farhand_server.people.people import normalise_address

__all__ = [
    "MAX_KEY_CHARS",
    "Desk",
    "DeskError",
    "Draft",
    "ForeignEvent",
    "ForeignTicket",
    "Reference",
    "Remark",
    "Site",
    "address_of",
    "field_of",
    "one_line",
    "quoted",
]

MAX_KEY_CHARS: Final = 80
_MAX_WORDS: Final = 200


class ForeignTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket of another desk, as far as we look; `is_done` says that it is solved there.

    `requester` is how she is called there; `address` her mail address, where that desk calls people
    by theirs: a display name that reads as one is none.
    """

    key: str
    title: str
    state: str = ""
    is_done: bool = False
    requester: str = ""
    address: str = ""
    url: str = ""
    fixed_in: str = ""


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said there; `marker` names it, `minutes` is what was worked."""

    text: str
    marker: str
    internal: bool = True
    minutes: int = 0


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An address to put beside a ticket; the same `global_id` again changes that one."""

    url: str
    title: str
    global_id: str


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket to be made there."""

    title: str
    text: str


class ForeignEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What another desk's webhook says of one of its tickets."""

    key: str
    state: str
    is_done: bool = False
    fixed_in: str = ""
    delivery: str = ""


class DeskError(FarhandError):
    """The other desk did not do it; `status` is what its server answered, 0 for nothing."""

    def __init__(
        self, message: str, *, status: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__("connector-failed", message)
        self.status = status
        self.retry_after_s = retry_after_s


class Desk(Protocol):
    """One kind of desk."""

    # Whether strangers read there: then nothing that names a person, a device or a fault goes out.
    is_public: bool

    async def get(self, key: str) -> ForeignTicket:
        """Return a ticket.

        Raises:
            FarhandError: `connector-failed`, and what a call raises.
        """

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Say something on a ticket, once; `again` says that it may be there already."""

    async def link(self, key: str, reference: Reference) -> bool:
        """Put an address beside a ticket; False where this desk has no such thing."""

    async def create(self, draft: Draft) -> ForeignTicket:
        """Make a ticket."""

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Return what a webhook says.

        Raises:
            FarhandError: `hook-refused`, `delivery-malformed`.
        """


class Site:
    """The server of another desk.

    Args:
        base_url: without a slash at its end.
        headers: what shows who we are.
        allow_private: as `outbox.calling.judge` takes it.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, allow_private: bool = False
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"Accept": "application/json", **headers}
        self._allow_private = allow_private

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Call the server and return its JSON, None where it says nothing.

        Args:
            method: of HTTP.
            path: below the base, or a whole address of the same server.
            body: sent as JSON unless None.
            headers: besides the usual ones.

        Raises:
            DeskError: for an answer that is none of success, or no JSON.
            FarhandError: as `outbox.calling.call`.
        """
        sent = {**self._headers, **(headers or {})}
        content = b""
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        answer = await call(
            method, self._address(path), headers=sent, content=content,
            allow_private=self._allow_private,
        )  # fmt: skip
        return _read(answer)

    def _address(self, path: str) -> str:
        """Return the address of a path; what the server names itself must be on it."""
        if "://" not in path:
            return self.base_url + path
        there, ours = urllib.parse.urlsplit(path), urllib.parse.urlsplit(self.base_url)
        if (there.scheme, there.netloc) != (ours.scheme, ours.netloc):
            raise DeskError("the other desk names another server than its own")
        return path


def _read(answer: Answer) -> Any:
    if not 200 <= answer.status < 300:
        raise DeskError(
            f"the other desk answered {answer.status}",
            status=answer.status,
            retry_after_s=answer.retry_after_s,
        )
    if not answer.body.strip():
        return None
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DeskError("the other desk answered something else than JSON") from error


def field_of(answer: Any, *names: str) -> Any:
    """Return what stands at a path of names in an answer, None where there is nothing."""
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def address_of(value: object) -> str:
    """Return a mail address as addresses are compared, "" for what is none."""
    try:
        return normalise_address("mail", one_line(value))
    except UsageError:
        return ""


def one_line(value: object) -> str:
    """Return what another desk says as one printable line."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = "".join(c if c.isprintable() else " " for c in str(value)[: 4 * _MAX_WORDS])
    return " ".join(text.encode("utf-8", "replace").decode().split())[:_MAX_WORDS]


def quoted(key: str) -> str:
    """Return a key as one segment of a path.

    Raises:
        DeskError: it cannot be one.
    """
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable() or key in (".", ".."):
        raise DeskError(f"{key[:80]!r} is no ticket of another desk", status=404)
    return urllib.parse.quote(key, safe="")
