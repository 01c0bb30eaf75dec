"""Routes of devices: found, their inventory and its history, tags, confirmation, retirement."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import RowMapping

from farhand_protocol.instants import parse_instant
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_of,
)
from farhand_server.clock import stamp
from farhand_server.fleet.aliases import aliases
from farhand_server.fleet.check_states import CheckState, list_check_states
from farhand_server.fleet.counting import DeviceCount, count_devices
from farhand_server.fleet.devices import (
    Device,
    DeviceDetail,
    change_tags,
    confirm_device,
    device_detail,
    find_device,
    is_any_id,
    list_devices,
)
from farhand_server.fleet.dispatch import make_dispatch
from farhand_server.fleet.history import (
    HistoryEntry,
    SectionDifference,
    differences,
    differences_of_page,
    entry_of,
    list_history,
    newest_change,
    rows_since,
)
from farhand_server.fleet.intake import make_intake
from farhand_server.fleet.query import MAX_QUERY_CHARS
from farhand_server.fleet.retirement import retire_device
from farhand_server.fleet.sections import StoredSection, list_sections, read_section
from farhand_server.fleet.since import since_when
from farhand_server.fleet.software_index import keep_folding
from farhand_server.fleet.waking import Waking, waking
from farhand_server.gateway.node import make_gateway
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Query = Annotated[str, QueryParameter(name="q", max_length=MAX_QUERY_CHARS)]
_Exclude = Annotated[str, QueryParameter(name="exclude", max_length=MAX_QUERY_CHARS)]
_Since = Annotated[str, QueryParameter(name="since", max_length=64)]
_Section = Annotated[str | None, QueryParameter(name="section", max_length=64)]
_Tags = Annotated[list[str], msgspec.Meta(max_length=64)]


class TagChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags to add and to take away."""

    add: _Tags = msgspec.field(default_factory=list)
    remove: _Tags = msgspec.field(default_factory=list)


class TagList(msgspec.Struct, frozen=True, kw_only=True):
    """The tags a device has now."""

    device: str
    tags: list[str]


class Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed envelope, in its canonical encoding."""

    envelope: Annotated[bytes, msgspec.Meta(max_length=64 * 1024)]


class SectionList(msgspec.Struct, frozen=True, kw_only=True):
    """The current sections of a device, without their items."""

    device: str
    items: list[StoredSection]
    next: str | None = None


class CheckList(msgspec.Struct, frozen=True, kw_only=True):
    """How a device's checks stand; never more than one page."""

    device: str
    items: list[CheckState]
    next: str | None = None


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """How a device's inventory changed, the newest first."""

    device: str
    items: list[HistoryEntry]
    next: str | None = None


class SectionItems(msgspec.Struct, frozen=True, kw_only=True):
    """One section, whole; everything in it is the device's word."""

    device: str
    name: str
    status: str
    reason: str
    items: list[dict[str, Any]]
    hash: str
    collected_at: str
    duration_ms: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What changed on a device since a time; sections that did not are left out."""

    device: str
    since: str
    items: list[SectionDifference]
    next: str | None = None


async def _find(relay: Relay, ref: str, *, also_retired: bool = False) -> RowMapping:
    async with relay.db.read() as c:
        return await find_device(c, relay.tenant, ref, also_retired=also_retired)


class DeviceController(Controller):
    """Devices; `{device}` is an id, or a name that only one has."""

    path = "/devices"

    @get("/", action="device.read")
    async def list_all(
        self,
        relay: FromRelay,
        q: _Query = "*",
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Device]:
        """Return the devices that the query picks, by name."""
        presence = relay.service(make_gateway).presence
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            rows = await list_devices(
                c,
                relay.tenant,
                query=q,
                presence=presence,
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.name, row.id))

    @get("/{device:str}", action="device.read")
    async def show(self, relay: FromRelay, device: FromPath[str]) -> DeviceDetail:
        """Return a device with everything that proves its key; retired ones by id too."""
        presence = relay.service(make_gateway).presence
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device, also_retired=is_any_id(device.lower()))
            return await device_detail(c, row, presence=presence)

    @get("/{device:str}/sections", action="device.read")
    async def sections(
        self,
        relay: FromRelay,
        device: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_MAX,
    ) -> SectionList:
        """Return the device's current sections by name, without items."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            items = await list_sections(
                c, relay.tenant, row["id"], after=after[0] if after else "", limit=limit + 1
            )
        page = page_of(items, limit, lambda one: one, lambda one: (one.name,))
        return SectionList(device=row["id"], items=page.items, next=page.next)

    @get("/{device:str}/sections/{name:str}", action="device.read")
    async def section(
        self, relay: FromRelay, device: FromPath[str], name: FromPath[str]
    ) -> SectionItems:
        """Return one section, whole."""
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            found, items = await read_section(c, relay.tenant, row["id"], name.replace("\0", ""))
        return SectionItems(
            device=row["id"],
            name=found.name,
            status=found.status,
            reason=found.reason,
            items=items,
            hash=found.hash,
            collected_at=found.collected_at,
            duration_ms=found.duration_ms,
        )

    @get("/{device:str}/checks", action="device.read")
    async def checks(self, relay: FromRelay, device: FromPath[str]) -> CheckList:
        """Return the newest known state of each check of the device."""
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            items = await list_check_states(c, relay.tenant, row["id"])
        return CheckList(device=row["id"], items=items)

    @get("/{device:str}/waking", action="device.read")
    async def waking(self, relay: FromRelay, device: FromPath[str]) -> Waking:
        """Return whether the device can be woken, and which neighbours could do it."""
        presence = relay.service(make_gateway).presence
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            return await waking(c, relay.tenant, row, presence=presence)

    @get("/{device:str}/history", action="device.read")
    async def history(
        self,
        relay: FromRelay,
        device: FromPath[str],
        section: _Section = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> HistoryPage:
        """Return how the device's inventory changed, the newest first; merged ones' too."""
        before = decode_cursor(cursor, str, int)
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            rows = await list_history(
                c,
                relay.tenant,
                await aliases(c, relay.tenant, row["id"]),
                section=section.replace("\0", "") if section else None,
                before=(before[0], before[1]) if before else None,
                limit=limit + 1,
            )
        page = page_of(rows, limit, lambda one: one, lambda one: (one["received_at"], one["seq"]))
        items = await asyncio.to_thread(lambda: [entry_of(one) for one in page.items])
        return HistoryPage(device=row["id"], items=items, next=page.next)

    @get("/{device:str}/diff", action="device.read")
    async def diff(
        self,
        relay: FromRelay,
        device: FromPath[str],
        since: _Since = "7d",
        cursor: Cursor = None,
        limit: Limit = LIMIT_MAX,
    ) -> Difference:
        """Return what changed since a time: `7d`, `yesterday`, RFC 3339, a session or a ticket.

        `limit` counts changes; a section that has more of them goes on on the next page.
        """
        after = decode_cursor(cursor, str, int, int)
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            ids = [row["id"]]
            if after is None:
                then = await since_when(c, relay, since)
                upto, start = await newest_change(c, relay.tenant, ids), 0
            else:
                then, upto, start = parse_instant(after[0]), after[1], after[2]
            rows, is_whole = await rows_since(c, relay.tenant, ids, since=then, upto=upto)
        sums = await asyncio.to_thread(differences, rows, is_whole=is_whole)
        items, following = differences_of_page(sums, start=start, limit=limit)
        more = None if following is None else encode_cursor(stamp(then), upto, following)
        return Difference(device=row["id"], since=stamp(then), items=items, next=more)

    @post("/{device:str}/tags", action="device.tag", status_code=200)
    async def retag(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], data: JSONBody[TagChange]
    ) -> TagList:
        """Add and remove tags."""
        row = await _find(relay, device)
        async with relay.db.write() as c:
            tags = await change_tags(
                c, relay, device=row["id"], add=data.add, remove=data.remove, actor=actor.name
            )
        return TagList(device=row["id"], tags=tags)

    @post("/{device:str}/confirm", action="device.confirm", status_code=200)
    async def confirm(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], data: JSONBody[Sealed]
    ) -> DeviceDetail:
        """Store an admin's signed confirmation of the device's key."""
        presence = relay.service(make_gateway).presence
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            await confirm_device(c, relay, row=row, envelope=data.envelope, actor=actor.name)
            changed = await find_device(c, relay.tenant, row["id"])
            return await device_detail(c, changed, presence=presence)

    @post("/{device:str}/retire", action="device.retire", status_code=200)
    async def retire(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str]
    ) -> DeviceDetail:
        """Retire a device for good."""
        presence = relay.service(make_gateway).presence
        row = await _find(relay, device)
        await retire_device(relay, row=row, actor=actor.name)
        async with relay.db.read() as c:
            changed = await find_device(c, relay.tenant, row["id"], also_retired=True)
            return await device_detail(c, changed, presence=presence)


class FleetController(Controller):
    """The fleet as a whole."""

    path = "/fleet"

    @get("/count", action="device.read")
    async def count(self, relay: FromRelay, q: _Query = "*", exclude: _Exclude = "") -> DeviceCount:
        """Count the devices with an agent that `q` picks and `exclude` does not."""
        presence = relay.service(make_gateway).presence
        async with relay.db.read() as c:
            return await count_devices(c, relay.tenant, query=q, exclude=exclude, presence=presence)


async def _start(relay: Relay) -> None:
    """Take the fleet's messages from the gateway, and begin to tell devices of their orders."""
    gateway = relay.service(make_gateway)
    gateway.plug(relay.service(make_intake))
    dispatch = relay.service(make_dispatch)
    dispatch.devices_here = gateway.presence.here
    dispatch.who_is_online = gateway.presence.online
    relay.tasks.spawn(dispatch.run(), name="order dispatch")
    relay.tasks.spawn(keep_folding(relay), name="software index")


AREA = Area(
    name="fleet",
    controllers=[DeviceController, FleetController],
    statuses={
        "device-agentless": 409,
        "device-ambiguous": 409,
        "device-unknown": 404,
        "device-retired": 409,
        "query-invalid": 422,
        "query-too-wide": 422,
        "section-pending": 404,
        "since-invalid": 422,
        "confirmation-mismatch": 422,
        "confirmation-signature": 422,
    },
    start=_start,
)
