"""Routes of the relay's foundation: signing in, accounts, trust, tokens, audit, health."""

from __future__ import annotations

from litestar import Controller, get

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.audit import AuditHead, AuditRecord

__all__ = ["AREA"]


class AuditController(Controller):
    """The audit chain; reading it is itself audited."""

    path = "/audit"

    @get("/", action="audit.read")
    async def list_records(
        self,
        relay: FromRelay,
        actor: FromActor,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[AuditRecord]:
        """Return the records, oldest first."""
        after = decode_cursor(cursor, int)
        async with relay.db.write() as c:
            await relay.audit.append(c, actor=actor.name, action="audit.read", subject="audit")
            rows = await relay.audit.records(c, after=after[0] if after else 0, limit=limit + 1)
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @get("/head", action="audit.head")
    async def head(self, relay: FromRelay) -> AuditHead:
        """Return the newest record's hash, signed by the relay key."""
        async with relay.db.read() as c:
            return await relay.audit.head(c)


AREA = Area(name="foundation", controllers=[AuditController])
