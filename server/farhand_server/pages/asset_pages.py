"""What pages are made of besides words: the style sheet in the organisation's colour, its logo, and
the few scripts, which only make better what works without them."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from litestar import Controller, Request, Response, get
from litestar.params import FromPath

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge import picture_response
from farhand_server.errors import not_found
from farhand_server.pages.looks import lightened
from farhand_server.pages.routing import look
from farhand_server.people.blobs import read_blob

__all__ = ["SCRIPTS", "AssetPages"]

SCRIPTS: Final = ("keys.js", "talk.js")
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
    '<rect width="8" height="8" rx="2" fill="{colour}"/></svg>'
)
_FRESH: Final = {"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}


@lru_cache(maxsize=8)
def _read(name: str) -> str:
    return files("farhand_server.pages").joinpath(name).read_text("utf-8")


class AssetPages(Controller):
    """Style, scripts, logo."""

    path = "/pages"

    @get("/style.css", action=PUBLIC, include_in_schema=False)
    async def style(self, request: Request[Any, Any, Any], relay: FromRelay) -> Response[str]:
        """Return the one style sheet, in the organisation's colour."""
        colour = (await look(request, relay)).branding.colour
        sheet = _read("templates/style.css")
        sheet = sheet.replace("#7cc4f0", lightened(colour)).replace("#1f5f8b", colour)
        return Response(sheet, media_type="text/css", headers=dict(_FRESH))

    @get("/icon.svg", action=PUBLIC, include_in_schema=False)
    async def icon(self, request: Request[Any, Any, Any], relay: FromRelay) -> Response[str]:
        """Return what browsers show beside the title: a square in the organisation's colour."""
        colour = (await look(request, relay)).branding.colour
        drawn = _ICON.format(colour=colour)
        return Response(drawn, media_type="image/svg+xml", headers=dict(_FRESH))

    @get("/scripts/{name:str}", action=PUBLIC, include_in_schema=False)
    async def script(self, name: FromPath[str]) -> Response[str]:
        """Return one of our scripts."""
        if name not in SCRIPTS:
            raise not_found("script", name)
        return Response(
            _read(f"scripts/{name}"), media_type="text/javascript", headers=dict(_FRESH)
        )

    @get("/logo", action=PUBLIC, include_in_schema=False)
    async def logo(self, request: Request[Any, Any, Any], relay: FromRelay) -> Response[bytes]:
        """Return the organisation's logo."""
        reading = await look(request, relay)
        if not reading.branding.logo:
            raise not_found("logo", "of this organisation")
        async with relay.db.read() as c:
            kept = await read_blob(c, relay.tenant, reading.branding.logo)
        return picture_response(kept.media_type, kept.content)
