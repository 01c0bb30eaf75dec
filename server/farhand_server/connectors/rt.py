"""Request Tracker by REST 2: what a ticket can do is what its `_hyperlinks` say.

`TimeTaken` is minutes.  The marker is a comment's subject, because a ticket's history is listed
without its words.  An address is added with `AddRefersTo`: a bare `RefersTo` would take the place
of the links that somebody else made.  RT has no webhooks of its own.

Source: docs.bestpractical.com, RT::REST2: Tickets, Attachments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farhand_protocol.errors import FarhandError
from farhand_server.connectors.desks import (
    DeskError,
    Draft,
    ForeignEvent,
    ForeignTicket,
    Reference,
    Remark,
    Site,
    address_of,
    field_of,
    one_line,
    quoted,
)

__all__ = ["Rt"]

_PER_PAGE = 100
_MAX_PAGES = 50


class Rt:
    """One RT; `queue` is for tickets made there."""

    is_public = False

    def __init__(self, site: Site, *, queue: str = "General") -> None:
        self._site = site
        self._queue = queue

    async def _find(self, key: str) -> Any:
        return await self._site.ask("GET", f"/REST/2.0/ticket/{quoted(key)}")

    def _address(self, key: str) -> str:
        return f"{self._site.base_url}/Ticket/Display.html?id={quoted(key)}"

    async def get(self, key: str) -> ForeignTicket:
        """Return a ticket."""
        found = await self._find(key)
        people = field_of(found, "Requestor") or field_of(found, "Requestors")
        first = people[0] if isinstance(people, list) and people else None
        return ForeignTicket(
            key=key,
            title=one_line(field_of(found, "Subject")),
            state=one_line(field_of(found, "Status")),
            requester=one_line(field_of(first, "id")),
            address=address_of(field_of(first, "id")),
            url=self._address(key),
        )

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Comment, which requesters do not read, or correspond, which they do."""
        wanted = "comment" if remark.internal else "correspond"
        found = await self._find(key)
        links = field_of(found, "_hyperlinks")
        path = next(
            (
                field_of(one, "_url")
                for one in (links if isinstance(links, list) else [])
                if field_of(one, "ref") == wanted
            ),
            None,
        )
        if not isinstance(path, str):
            raise DeskError(f"RT does not let us {wanted} on {key[:80]}", status=403)
        subject = f"Farhand {remark.marker}"
        if again and await self._is_there(key, subject):
            return
        body: dict[str, Any] = {
            "Subject": subject,
            "Content": remark.text,
            "ContentType": "text/plain",
        }
        if remark.minutes:
            body["TimeTaken"] = str(remark.minutes)
        await self._site.ask("POST", path, body)

    async def _is_there(self, key: str, subject: str) -> bool:
        """Look for a comment in all attachments, page by page, in whatever order they come."""
        listed = f"/REST/2.0/ticket/{quoted(key)}/attachments?fields=Subject&per_page={_PER_PAGE}"
        for page in range(1, _MAX_PAGES + 1):
            found = field_of(await self._site.ask("GET", f"{listed}&page={page}"), "items")
            there = found if isinstance(found, list) else []
            if any(field_of(one, "Subject") == subject for one in there):
                return True
            if len(there) < _PER_PAGE:
                return False
        raise DeskError(f"the ticket has more than {_PER_PAGE * _MAX_PAGES} attachments")

    async def link(self, key: str, reference: Reference) -> bool:
        """Add the address to what the ticket refers to; the same one again changes nothing."""
        path = f"/REST/2.0/ticket/{quoted(key)}"
        await self._site.ask("PUT", path, {"AddRefersTo": reference.url})
        return True

    async def create(self, draft: Draft) -> ForeignTicket:
        """Make a ticket."""
        body = {
            "Queue": self._queue,
            "Subject": draft.title,
            "Content": draft.text,
            "ContentType": "text/plain",
        }
        made = await self._site.ask("POST", "/REST/2.0/ticket", body)
        key = one_line(field_of(made, "id"))
        return ForeignTicket(key=key, title=draft.title, url=self._address(key))

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Refuse: RT has none."""
        raise FarhandError("hook-refused", "RT sends no webhooks")
