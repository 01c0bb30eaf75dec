"""Routes of what a desk promises: queues, calendars and service policies."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.clock import stamp
from farhand_server.desk.calendars import (
    Calendar,
    SpecialDay,
    is_open,
    next_closing,
    next_opening,
)
from farhand_server.desk.holidays import (
    MAX_ICS_BYTES,
    Holidays,
    merge_holidays,
    read_holidays,
)
from farhand_server.desk.kind_promises import KindPromise, kind_promises, set_kind_promise
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
from farhand_server.desk.tickets import KINDS

__all__ = ["AREA"]


class NewPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is promised, and in which hours."""

    policy: ServicePolicy
    calendar: Annotated[str, msgspec.Meta(max_length=80)] = ALWAYS_OPEN


class IcsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An .ics file with holidays; only with `take` does the calendar take them."""

    ics: Annotated[str, msgspec.Meta(max_length=MAX_ICS_BYTES)]
    first_year: Annotated[int, msgspec.Meta(ge=1990, le=2190)]
    years: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    take: bool = False


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says, what of that is new, and the version that has it; null when only shown."""

    found: Holidays
    new: list[SpecialDay]
    version: int | None


class OpenNow(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a calendar is open, and when that changes; null when it never does."""

    calendar: str
    zone: str
    open: bool
    changes_at: str | None


def _open_now(kept: KeptCalendar, now: datetime) -> OpenNow:
    opened = is_open(kept.calendar, now)
    change = next_closing(kept.calendar, now) if opened else next_opening(kept.calendar, now)
    return OpenNow(
        calendar=kept.name,
        zone=kept.calendar.zone,
        open=opened,
        changes_at=None if change is None else stamp(change),
    )


class OpenQueue(Queue, frozen=True, kw_only=True):
    """A queue, and whether it is open now; one that promises nothing is always open."""

    calendar: str
    open: bool
    changes_at: str | None


async def _calendar_of(c: AsyncConnection, tenant: str, policy: str | None) -> KeptCalendar:
    if policy is None:
        return await get_calendar(c, tenant, ALWAYS_OPEN)
    kept = await get_policy(c, tenant, policy)
    return await get_calendar(c, tenant, kept.calendar, kept.calendar_version)


class QueueController(Controller):
    """Queues, by name."""

    path = "/queues"

    @get("/", action="queue.read")
    async def list_all(self, relay: FromRelay) -> Page[OpenQueue]:
        """Return every queue; they are bounded."""
        hours: dict[str | None, OpenNow] = {}
        shown = []
        async with relay.db.read() as c:
            for queue in await list_queues(c, relay.tenant):
                if queue.policy not in hours:
                    kept = await _calendar_of(c, relay.tenant, queue.policy)
                    hours[queue.policy] = _open_now(kept, relay.now())
                now = hours[queue.policy]
                shown.append(
                    OpenQueue(
                        **msgspec.structs.asdict(queue),
                        calendar=now.calendar,
                        open=now.open,
                        changes_at=now.changes_at,
                    )
                )
        return Page(items=shown)

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

    @get("/{name:str}/now", action="queue.read")
    async def now(self, relay: FromRelay, name: FromPath[str]) -> OpenNow:
        """Tell whether it is open now."""
        async with relay.db.read() as c:
            kept = await get_calendar(c, relay.tenant, name)
        return _open_now(kept, relay.now())

    @post("/{name:str}/holidays", action="queue.write", status_code=200)
    async def holidays(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[IcsFile]
    ) -> Taken:
        """Show the holidays of an .ics file, or take those that the calendar does not name yet."""
        found = await asyncio.to_thread(
            read_holidays, data.ics.encode(), first_year=data.first_year, years=data.years
        )
        async with relay.db.write() as c:
            kept = await get_calendar(c, relay.tenant, name)
            merged = merge_holidays(kept.calendar, found)
            there = {one.day for one in kept.calendar.days}
            new = [one for one in merged.days if one.day not in there]
            version = None
            if data.take:
                version = kept.version
                if new:
                    made = await set_calendar(
                        c, relay, name=name, calendar=merged, actor=actor.name
                    )
                    version = made.version
        return Taken(found=found, new=new, version=version)

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


class NewKindPromise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The service policy of a kind of ticket; null leaves it to contract and queue."""

    policy: Annotated[str, msgspec.Meta(max_length=80)] | None


class KindPromiseController(Controller):
    """What is promised for kinds of tickets, before what contract and queue promise."""

    path = "/kind-promises"

    @get("/", action="queue.read")
    async def list_all(self, relay: FromRelay) -> Page[KindPromise]:
        """Return the kinds that have a promise of their own; they are bounded."""
        async with relay.db.read() as c:
            return Page(items=await kind_promises(c, relay.tenant))

    @post("/{kind:str}", action="queue.write", status_code=200)
    async def set(
        self,
        relay: FromRelay,
        actor: FromActor,
        kind: FromPath[str],
        data: JSONBody[NewKindPromise],
    ) -> Page[KindPromise]:
        """Promise something for a kind of ticket."""
        if kind not in KINDS:
            raise UsageError("invalid", f"a ticket is of a kind of {', '.join(KINDS)}")
        async with relay.db.write() as c:
            found = await set_kind_promise(
                c, relay, kind=kind, policy=data.policy, actor=actor.name
            )
        return Page(items=found)


AREA = Area(
    name="promises",
    controllers=[QueueController, CalendarController, PolicyController, KindPromiseController],
    statuses={
        "queue-limit": 409,
        "calendar-invalid": 422,
        "holidays-malformed": 422,
        "service-policy-invalid": 422,
    },
)
