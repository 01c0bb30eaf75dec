"""Routes of the outbox: what waits to go out, what nobody took, and another try."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.outbox.items import (
    ItemLine,
    OutboxCount,
    count_items,
    list_items,
    retry,
    retry_all,
)
from farhand_server.outbox.sending import free_leases, make_outbox
from farhand_server.relay import Relay
from farhand_server.senders import SENDERS

__all__ = ["AREA"]

_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Kind = Annotated[str | None, QueryParameter(name="kind", max_length=40)]


class RetryAll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead items to try again: all, or those of a kind."""

    kind: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """How many items are tried again."""

    retried: int


class OutboxController(Controller):
    """What is to go out; never what is in it."""

    path = "/outbox"

    @get("/", action="outbox.read")
    async def list_all(
        self,
        relay: FromRelay,
        wanted: _State = None,
        kind: _Kind = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[ItemLine]:
        """Return items, newest first; those that are not done unless a state is named."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            rows = await list_items(
                c,
                relay.tenant,
                state=wanted,
                kind=kind,
                before=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.created_at, row.id))

    @get("/counts", action="outbox.read")
    async def counts(self, relay: FromRelay) -> Page[OutboxCount]:
        """Return how many items of each kind are in each state."""
        async with relay.db.read() as c:
            return Page(items=await count_items(c, relay.tenant))

    @post("/retry", action="outbox.retry", status_code=200)
    async def again_all(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[RetryAll]
    ) -> Retried:
        """Try every dead item again."""
        async with relay.db.write() as c:
            count = await retry_all(c, relay, kind=data.kind, actor=actor.name)
        relay.service(make_outbox).wake()
        return Retried(retried=count)

    @post("/{item:str}/retry", action="outbox.retry", status_code=200)
    async def again(self, relay: FromRelay, actor: FromActor, item: FromPath[str]) -> ItemLine:
        """Try one item again, now."""
        async with relay.db.write() as c:
            line = await retry(c, relay, item=item, actor=actor.name)
        relay.service(make_outbox).wake()
        return line


async def _start(relay: Relay) -> None:
    await free_leases(relay)
    relay.tasks.spawn(relay.service(make_outbox).run(dict(SENDERS)), name="outbox")


async def _drain(relay: Relay) -> None:
    await relay.service(make_outbox).drain()


AREA = Area(
    name="outbox",
    controllers=[OutboxController],
    statuses={"outbox-state": 409, "outbox-too-large": 413},
    start=_start,
    drain=_drain,
)
