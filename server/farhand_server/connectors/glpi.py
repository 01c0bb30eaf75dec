"""GLPI by its legacy REST API (`apirest.php`): a session for each call, which is ended.

A followup is HTML, so words are escaped; minutes are among them, because a followup has none.
There is no webhook in that API.

Source: GLPI, apirest.md: Init session, Kill session, Get an item, Add item(s).
"""

from __future__ import annotations

import contextlib
import html
import logging
from collections.abc import AsyncIterator, Mapping
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
    field_of,
    one_line,
    quoted,
)

__all__ = ["Glpi"]

_log = logging.getLogger(__name__)

_STATES = {1: "new", 2: "assigned", 3: "planned", 4: "waiting", 5: "solved", 6: "closed"}


class Glpi:
    """One GLPI.

    Args:
        site: base address, without a token among its headers.
        app_token: names the client; may be empty where GLPI asks for none.
        user_token: names the user.
    """

    is_public = False

    def __init__(self, site: Site, *, app_token: str, user_token: str) -> None:
        self._site = site
        self._app = {"App-Token": app_token} if app_token else {}
        self._user_token = user_token

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[dict[str, str]]:
        """Lend the headers of a session, and end it whatever happens."""
        authorization = {"Authorization": f"user_token {self._user_token}", **self._app}
        made = await self._site.ask("GET", "/apirest.php/initSession", headers=authorization)
        token = field_of(made, "session_token")
        if not isinstance(token, str) or not token.isprintable():
            raise DeskError("GLPI gave no session")
        headers = {"Session-Token": token, **self._app}
        try:
            yield headers
        finally:
            try:
                await self._site.ask("GET", "/apirest.php/killSession", headers=headers)
            except FarhandError as error:
                # What was done is done; a session that nobody uses ends by itself.
                _log.info("a session of GLPI was not ended: %s", error)

    async def get(self, key: str) -> ForeignTicket:
        """Return a ticket."""
        async with self._session() as headers:
            found = await self._site.ask(
                "GET", f"/apirest.php/Ticket/{quoted(key)}", headers=headers
            )
        status = field_of(found, "status")
        return ForeignTicket(
            key=key,
            title=html.unescape(one_line(field_of(found, "name"))),
            state=_STATES.get(status, one_line(status)) if isinstance(status, int) else "",
            url=f"{self._site.base_url}/front/ticket.form.php?id={quoted(key)}",
        )

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Add a followup, private where it is internal."""
        number = _number(key)
        async with self._session() as headers:
            if again:
                there = await self._site.ask(
                    "GET", f"/apirest.php/Ticket/{number}/ITILFollowup?range=0-199&order=DESC",
                    headers=headers,
                )  # fmt: skip
                if any(remark.marker in str(field_of(one, "content")) for one in there or []):
                    return
            spent = f"\n\n{remark.minutes} min" if remark.minutes else ""
            words = html.escape(f"{remark.text}{spent}\n\n[{remark.marker}]")
            followup: dict[str, Any] = {
                "itemtype": "Ticket",
                "items_id": number,
                "content": words.replace("\n", "<br>"),
                "is_private": int(remark.internal),
            }
            await self._site.ask(
                "POST", "/apirest.php/ITILFollowup", {"input": followup}, headers=headers
            )

    async def link(self, key: str, reference: Reference) -> bool:
        """Say that addresses go out in followups."""
        return False

    async def create(self, draft: Draft) -> ForeignTicket:
        """Make a ticket."""
        content = html.escape(draft.text).replace("\n", "<br>")
        ticket = {"name": draft.title, "content": content}
        async with self._session() as headers:
            made = await self._site.ask(
                "POST", "/apirest.php/Ticket", {"input": ticket}, headers=headers
            )
        key = one_line(field_of(made, "id"))
        url = f"{self._site.base_url}/front/ticket.form.php?id={quoted(key)}"
        return ForeignTicket(key=key, title=draft.title, url=url)

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Refuse: the legacy API has none."""
        raise FarhandError("hook-refused", "GLPI's legacy API sends no webhooks")


def _number(key: str) -> int:
    if not key.isascii() or not key.isdigit() or len(key) > 12:
        raise DeskError(f"{key[:80]!r} is no number of a GLPI ticket", status=404)
    return int(key)
