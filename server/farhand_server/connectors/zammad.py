"""Zammad: its tickets are known to people by number and to the API by id.

The key is the number; the id is looked up.  `/links/add` wants the source by number and the target
by id, and links tickets only, so an address goes out as an internal note instead.  Webhooks are
signed with HMAC-SHA1 and come up to five times, under one delivery id.

Source: docs.zammad.org, API: Tickets, Articles, Time Accounting; admin documentation: Webhook.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

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
from farhand_server.webhooks.signing import hex_hmac

__all__ = ["Zammad", "read_webhook"]

_DONE = ("closed", "merged")


def read_webhook(body: bytes) -> Any:
    """Return the JSON of another desk's webhook.

    Raises:
        FarhandError: `delivery-malformed`.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FarhandError("delivery-malformed", "a webhook without JSON") from error


class Zammad:
    """One Zammad; `group` and `customer` are for tickets made there."""

    is_public = False

    def __init__(self, site: Site, *, group: str = "Users", customer: str = "") -> None:
        self._site = site
        self._group = group
        self._customer = customer

    async def _find(self, key: str) -> dict[str, Any]:
        found = await self._site.ask(
            "GET", f"/api/v1/tickets/search?query=number%3A{quoted(key)}&expand=true&limit=1"
        )
        for one in found if isinstance(found, list) else []:
            # A search finds what is alike; only the very number counts.
            if isinstance(one, dict) and str(one.get("number")) == key:
                return one
        raise DeskError(f"there is no ticket {key[:80]!r} there", status=404)

    def _shown(self, ticket: dict[str, Any]) -> ForeignTicket:
        return ForeignTicket(
            key=one_line(ticket.get("number")),
            title=one_line(ticket.get("title")),
            state=one_line(ticket.get("state")),
            requester=one_line(ticket.get("customer")),
            address=address_of(ticket.get("customer")),
            url=f"{self._site.base_url}/#ticket/zoom/{quoted(one_line(ticket.get('id')) or '0')}",
        )

    async def get(self, key: str) -> ForeignTicket:
        """Return a ticket."""
        return self._shown(await self._find(key))

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Write a note, with its minutes in `time_unit`."""
        number = (await self._find(key)).get("id")
        if again:
            there = await self._site.ask("GET", f"/api/v1/ticket_articles/by_ticket/{number}")
            if any(remark.marker in str(field_of(one, "body")) for one in there or []):
                return
        article: dict[str, Any] = {
            "ticket_id": number,
            "subject": "Farhand",
            "body": f"{remark.text}\n\n[{remark.marker}]",
            "content_type": "text/plain",
            "type": "note",
            "internal": remark.internal,
        }
        if remark.minutes:
            article["time_unit"] = str(remark.minutes)
        await self._site.ask("POST", "/api/v1/ticket_articles", article)

    async def link(self, key: str, reference: Reference) -> bool:
        """Say that there is nothing but notes for addresses."""
        return False

    async def create(self, draft: Draft) -> ForeignTicket:
        """Make a ticket with an internal note."""
        article = {"subject": draft.title, "body": draft.text, "type": "note", "internal": True}
        body = {"title": draft.title, "group": self._group, "article": article}
        made = await self._site.ask(
            "POST", "/api/v1/tickets?expand=true", {**body, "customer": self._customer}
        )
        return self._shown(made if isinstance(made, dict) else {})

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Return which ticket changed; the signature is `X-Hub-Signature: sha1=HEX`."""
        shown = headers.get("x-hub-signature", "").encode()
        if not hmac.compare_digest(shown, b"sha1=" + hex_hmac(secret, body, "sha1").encode()):
            raise FarhandError("hook-refused", "the webhook is not signed with its secret")
        ticket = field_of(read_webhook(body), "ticket")
        key, state = one_line(field_of(ticket, "number")), field_of(ticket, "state")
        name = one_line(field_of(state, "name") if isinstance(state, dict) else state)
        delivery = one_line(headers.get("x-zammad-delivery", ""))
        event = ForeignEvent(key=key, state=name, is_done=name in _DONE, delivery=delivery)
        return [event] if key else []
