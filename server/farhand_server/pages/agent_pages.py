"""The agent for one's device: what the relay offers, what it should be, and what to do with it.

The address of these pages is the organisation's own link: one relay serves one organisation.  A
token that enrols a device never stands here; it comes from an admin, to one person.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get
from litestar.params import FromPath
from litestar.response import File

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.pages.downloads import downloads_of, open_download
from farhand_server.pages.routing import look

__all__ = ["AgentPages"]

_Anything = Request[Any, Any, Any]


class AgentPages(Controller):
    """The agent."""

    path = "/get-agent"

    @get("/", action=PUBLIC, include_in_schema=False)
    async def show(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show what there is, and how it is used with this relay."""
        relay.service(make_public_rates).reads.take(caller_address(request, relay))
        reading = await look(request, relay)
        offered = await downloads_of(relay)
        return reading.page("agent", offered=offered, url=relay.settings.url)

    @get("/{name:str}", action=PUBLIC, include_in_schema=False)
    async def download(self, request: _Anything, relay: FromRelay, name: FromPath[str]) -> File:
        """Return a file on offer."""
        relay.service(make_public_rates).reads.take(caller_address(request, relay))
        return File(
            path=await open_download(relay, name),
            filename=name,
            media_type="application/octet-stream",
            content_disposition_type="attachment",
            headers={"X-Content-Type-Options": "nosniff"},
        )
