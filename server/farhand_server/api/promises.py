"""Routes of what a desk promises: queues, calendars and service policies."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.calendars import Calendar
from farhand_server.desk.queues import Queue, QueueTerms, list_queues, set_queue
from farhand_server.desk.service import (
    ALWAYS_OPEN,
    KeptCalendar,
    KeptPolicy,
    get_calendar,
    get_policy,
    list_calendars,
    list_policies,
    set_calendar,
    set_policy,
)
from farhand_server.desk.service_levels import ServicePolicy

__all__ = ["AREA"]


class NewPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is promised, and in which hours."""

    policy: ServicePolicy
    calendar: Annotated[str, msgspec.Meta(max_length=80)] = ALWAYS_OPEN


class QueueController(Controller):
    """Queues, by name."""

    path = "/queues"

    @get("/", action="queue.read")
    async def list_all(self, relay: FromRelay) -> Page[Queue]:
        """Return every queue; they are bounded."""
        async with relay.db.read() as c:
            return Page(items=await list_queues(c, relay.tenant))

    @post("/{name:str}", action="queue.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[QueueTerms]
    ) -> Queue:
        """Make a queue, or change its terms."""
        async with relay.db.write() as c:
            return await set_queue(c, relay, name=name, terms=data, actor=actor.name)


class CalendarController(Controller):
    """Calendars, by name; every change is a new version."""

    path = "/calendars"

    @get("/", action="queue.read")
    async def list_all(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT
    ) -> Page[KeptCalendar]:
        """Return the newest version of each."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            rows = await list_calendars(
                c, relay.tenant, after=after[0] if after else "", limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.name,))

    @get("/{name:str}", action="queue.read")
    async def show(self, relay: FromRelay, name: FromPath[str]) -> KeptCalendar:
        """Return the newest version of one."""
        async with relay.db.read() as c:
            return await get_calendar(c, relay.tenant, name)

    @post("/{name:str}", action="queue.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[Calendar]
    ) -> KeptCalendar:
        """Keep a new version."""
        async with relay.db.write() as c:
            return await set_calendar(c, relay, name=name, calendar=data, actor=actor.name)


class PolicyController(Controller):
    """Service policies, by name; every change is a new version."""

    path = "/service-policies"

    @get("/", action="queue.read")
    async def list_all(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT
    ) -> Page[KeptPolicy]:
        """Return the newest version of each."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            rows = await list_policies(
                c, relay.tenant, after=after[0] if after else "", limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.name,))

    @get("/{name:str}", action="queue.read")
    async def show(self, relay: FromRelay, name: FromPath[str]) -> KeptPolicy:
        """Return the newest version of one."""
        async with relay.db.read() as c:
            return await get_policy(c, relay.tenant, name)

    @post("/{name:str}", action="queue.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[NewPolicy]
    ) -> KeptPolicy:
        """Keep a new version."""
        async with relay.db.write() as c:
            return await set_policy(
                c,
                relay,
                name=name,
                calendar=data.calendar,
                policy=data.policy,
                actor=actor.name,
            )


AREA = Area(
    name="promises",
    controllers=[QueueController, CalendarController, PolicyController],
    statuses={"queue-limit": 409, "calendar-invalid": 422, "service-policy-invalid": 422},
)
