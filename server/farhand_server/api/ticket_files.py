"""Routes of the files on a ticket: told by name, size and claimed type, given out to be kept.

No browser shows what somebody sent as if it were ours, whatever type it claims to be.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from litestar import Controller, Response, get
from litestar.params import FromPath, PathParameter

from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.knowledge import picture_response
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.ticket_files import TicketFile, list_files, read_file
from farhand_server.desk.tickets import get_ticket

__all__ = ["AREA", "file_response"]

_LARGEST: Final = 2**31 - 1
_Number = Annotated[int, PathParameter(ge=0, le=_LARGEST)]


def file_response(name: str, content: bytes) -> Response[bytes]:
    """Answer with a file that a browser keeps and does not show."""
    answer = picture_response("application/octet-stream", content)
    answer.headers["Cache-Control"] = "no-store"
    # RFC 6266 with the name in its extended form only, so that nothing needs quoting.
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return answer


class TicketFileController(Controller):
    """What was sent with the words on a ticket."""

    path = "/tickets/{ticket:str}/files"

    @get("/", action="ticket.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[TicketFile]:
        """Return the files of a ticket's messages, by message; mails' pictures among them."""
        sight = sight_of(actor, "ticket.read")
        after = decode_cursor(cursor, int, int)
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            rows = await list_files(
                c,
                relay.tenant,
                [found.row, *await merged_into(c, relay.tenant, found.row)],
                with_notes=sight.desk,
                after=(after[0], after[1]) if after else (0, -1),
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.message, row.place))

    @get("/{message:int}/{place:int}", action="ticket.read")
    async def fetch(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        message: _Number,
        place: _Number,
    ) -> Response[bytes]:
        """Return one file, to be kept."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            name, content = await read_file(
                c,
                relay.tenant,
                [found.row, *await merged_into(c, relay.tenant, found.row)],
                with_notes=sight.desk,
                message=message,
                place=place,
            )
        return file_response(name, content)


AREA = Area(name="ticket files", controllers=[TicketFileController])
