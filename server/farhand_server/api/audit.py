"""Routes of the audit, and the sending out of its heads.

A reading is a record itself, written before its first page; every page ends at that record, so a
reading always ends, and none of it can be had with a cursor that no reading of one's own gave out.
It goes from the first record on, as whoever checks the chain needs it, or from the newest back.
"""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from farhand_protocol.audit import AuditHead
from farhand_protocol.errors import UsageError
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.audit import AuditRecord
from farhand_server.audit_heads import make_head_sender
from farhand_server.fleet.log_heads import device_log_heads
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Order = Annotated[Literal["oldest", "newest"], QueryParameter(name="order")]


class AuditController(Controller):
    """The audit chain and the heads of the devices' logs; reading is itself audited."""

    path = "/audit"

    @get("/", action="audit.read")
    async def list_records(
        self,
        relay: FromRelay,
        actor: FromActor,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
        order: _Order = "oldest",
    ) -> Page[AuditRecord]:
        """Return the records up to this reading's own, oldest or newest first."""
        place = decode_cursor(cursor, int, int)
        if place is None:
            async with relay.db.write() as c:
                reading = await relay.audit.append(
                    c, actor=actor.name, action="audit.read", subject="audit"
                )
            last = reading.seq
            beside = 0 if order == "oldest" else last + 1
        else:
            beside, last = place
        async with relay.db.read() as c:
            if place is not None:
                own = await relay.audit.record(c, last)
                if own is None or (own.actor, own.action, own.subject) != (
                    actor.name,
                    "audit.read",
                    "audit",
                ):
                    raise UsageError("cursor-malformed", "the cursor is of no reading of yours")
            if order == "oldest":
                rows = await relay.audit.records(c, after=beside, until=last, limit=limit + 1)
            else:
                until = min(beside - 1, last)
                rows = await relay.audit.records(c, until=until, limit=limit + 1, newest=True)
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq, last))

    @get("/head", action="audit.head")
    async def head(self, relay: FromRelay) -> AuditHead:
        """Return the newest record's hash, signed by the relay key."""
        async with relay.db.read() as c:
            return await relay.audit.head(c)

    @get("/devices/{device:str}", action="audit.head")
    async def log_heads(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str]
    ) -> Page[AuditHead]:
        """Return the heads of its log that a device showed, in the order of their coming."""
        async with relay.db.write() as c:
            await relay.audit.append(c, actor=actor.name, action="audit.read", subject=device[:64])
            heads = await device_log_heads(c, relay.tenant, device)
        return Page(items=heads)


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(relay.service(make_head_sender).run(), name="audit heads")


async def _drain(relay: Relay) -> None:
    await relay.service(make_head_sender).finish()


AREA = Area(name="audit", controllers=[AuditController], start=_start, drain=_drain)
