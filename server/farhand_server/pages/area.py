"""The pages as one part of the application."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, Router, get, post
from litestar.params import JSONBody

from farhand_protocol.errors import UsageError
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.pages.account_pages import AccountPages
from farhand_server.pages.agent_pages import AgentPages
from farhand_server.pages.asset_pages import AssetPages
from farhand_server.pages.chat_pages import ChatPages
from farhand_server.pages.help_pages import HelpPages
from farhand_server.pages.link_pages import LinkPages
from farhand_server.pages.looks import (
    BRANDING,
    MAX_LOGO_BYTES,
    Branding,
    branding_of,
    check_branding,
    picture_type,
)
from farhand_server.pages.own_data import OwnDataPages
from farhand_server.pages.portal import PortalPages
from farhand_server.pages.question_pages import QuestionPages
from farhand_server.pages.routing import PAGE_ERRORS
from farhand_server.pages.security_pages import SecurityPages
from farhand_server.pages.sign_in_pages import SignInPages
from farhand_server.pages.ticket_link_pages import TicketLinkPages
from farhand_server.people.blobs import keep_blob
from farhand_server.people.settings import set_setting

__all__ = ["AREA"]


class Looks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the pages are to look; `logo` is a PNG, JPEG or WebP up to 200 KiB, empty for none.

    `guests` says whether somebody without a sign-in may begin a chat.  Where one of these two is
    left out it stays as it was: who changes a colour lets nobody in.
    """

    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    colour: Annotated[str, msgspec.Meta(max_length=7)] = "#1f5f8b"
    logo: bytes | msgspec.UnsetType = msgspec.UNSET
    guests: bool | msgspec.UnsetType = msgspec.UNSET


class LooksController(Controller):
    """How the pages look."""

    path = "/looks"

    @get("/", action="queue.read")
    async def show(self, relay: FromRelay) -> Branding:
        """Return how the pages look."""
        async with relay.db.read() as c:
            return await branding_of(c, relay)

    @post("/", action="queue.write", status_code=200)
    async def set(self, relay: FromRelay, actor: FromActor, data: JSONBody[Looks]) -> Branding:
        """Change how the pages look."""
        picture = b"" if data.logo is msgspec.UNSET else data.logo
        kind = picture_type(picture)
        if picture and (not kind or len(picture) > MAX_LOGO_BYTES):
            raise UsageError("invalid", "a logo is a PNG, JPEG or WebP of at most 200 KiB")
        async with relay.db.write() as c:
            before = await branding_of(c, relay)
            wanted = Branding(
                name=data.name.strip(),
                colour=data.colour,
                logo=before.logo if data.logo is msgspec.UNSET else "",
                guests=before.guests if data.guests is msgspec.UNSET else data.guests,
            )
            check_branding(wanted)
            if kind:
                logo = await keep_blob(c, relay, picture, kind)
                wanted = msgspec.structs.replace(wanted, logo=logo)
            await set_setting(c, relay, BRANDING, wanted, actor.name)
            return await branding_of(c, relay)


AREA = Area(
    name="pages",
    controllers=[LooksController],
    public=[
        Router(
            path="/",
            route_handlers=[
                AccountPages,
                AgentPages,
                AssetPages,
                ChatPages,
                HelpPages,
                LinkPages,
                OwnDataPages,
                PortalPages,
                QuestionPages,
                SecurityPages,
                SignInPages,
                TicketLinkPages,
            ],
            exception_handlers=PAGE_ERRORS,
        )
    ],
)
