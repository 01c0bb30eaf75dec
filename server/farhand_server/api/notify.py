"""Routes of what one is told, and of what one wants to be told."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Final

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody, QueryParameter

from farhand_protocol.errors import FarhandError
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.notify.digests import send_due
from farhand_server.notify.items import MyNotice, forget_old, list_mine, mark_seen
from farhand_server.notify.settings import NotifySettings, desk_sight, set_notify, settings_of
from farhand_server.notify.soon import make_soon
from farhand_server.relay import Relay

__all__ = ["AREA"]

_log = logging.getLogger(__name__)
_EVERY_S: Final = 15.0
_FORGET_EVERY: Final = 240  # rounds: an hour

_Unseen = Annotated[bool, QueryParameter(name="unseen")]


class SeenUpTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last one that was seen."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class NowSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How many of them were new."""

    seen: int


class NotifyController(Controller):
    """What one is told."""

    path = "/me"

    @get("/notices", action="notice.mine")
    async def list_notices(
        self,
        relay: FromRelay,
        actor: FromActor,
        unseen: _Unseen = False,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[MyNotice]:
        """Return what one was told, oldest first."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            settings = await settings_of(c, relay.tenant, actor.name)
            rows = await list_mine(
                c,
                relay.tenant,
                account=actor.name,
                sight=desk_sight(actor.name, actor.role, actor.person or None),
                kinds=settings.console,
                unseen=unseen,
                after=after[0] if after else 0,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @post("/notices/seen", action="notice.mine", status_code=200)
    async def seen(self, relay: FromRelay, actor: FromActor, data: JSONBody[SeenUpTo]) -> NowSeen:
        """Note that one has seen everything up to a number."""
        async with relay.db.write() as c:
            count = await mark_seen(c, relay, account=actor.name, up_to=data.seq)
        return NowSeen(seen=count)

    @get("/notify", action="notice.mine")
    async def show(self, relay: FromRelay, actor: FromActor) -> NotifySettings:
        """Return what one wants to be told."""
        async with relay.db.read() as c:
            return await settings_of(c, relay.tenant, actor.name)

    @post("/notify", action="notice.mine", status_code=200)
    async def change(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NotifySettings]
    ) -> NotifySettings:
        """Set what one wants to be told, all of it."""
        async with relay.db.write() as c:
            await set_notify(c, relay, account=actor.name, settings=data)
            return await settings_of(c, relay.tenant, actor.name)


async def _notify_for_ever(relay: Relay) -> None:
    rounds = 0
    while True:
        await asyncio.sleep(_EVERY_S)
        rounds += 1
        try:
            await relay.service(make_soon).sweep()
            await send_due(relay)
            if rounds % _FORGET_EVERY == 0:
                async with relay.db.write() as c:
                    await forget_old(c, relay)
        except FarhandError as error:
            _log.warning("people were not told: %s", error)


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(_notify_for_ever(relay), name="notify")


AREA = Area(name="notify", controllers=[NotifyController], start=_start)
