"""Routes of what people keep of devices: product data, duplicates, merges, agentless devices."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.revisions import check_if_match, etag
from farhand_server.api.ticket_files import file_response
from farhand_server.care.words import drop_orphans
from farhand_server.fleet.agentless import NewAgentless, add_agentless
from farhand_server.fleet.devices import DeviceDetail, device_detail, find_device, is_any_id
from farhand_server.fleet.dismissals import Dismissal, dismiss_duplicate, recall_duplicate
from farhand_server.fleet.duplicates import Duplicate, find_duplicates
from farhand_server.fleet.holders import Holder, holder_of, set_holder
from farhand_server.fleet.merging import Merge, merge_devices, unmerge_device
from farhand_server.fleet.product import Product, ProductChange, change_product, get_product
from farhand_server.fleet.proofs import DeviceProof, add_proof, proofs_of, read_proof, remove_proof
from farhand_server.gateway.node import make_gateway
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Place = Annotated[int, PathParameter(ge=0, le=2**31 - 1)]


class Other(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which device becomes part of the one in the path: its id, or a name only it has."""

    other: str


class NewHolder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who works with a device: a person's id, account or address; null for nobody."""

    person: Annotated[str, msgspec.Meta(max_length=400)] | None


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two devices, in any order: ids, or names that only one has."""

    one: str
    other: str


class NewDeviceProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that proves when a device was bought, in base64."""

    name: Annotated[str, msgspec.Meta(max_length=400)]
    content: bytes


def _with_etag(product: Product) -> Response[Product]:
    return Response(product, headers={"ETag": etag(product.revision)})


class RecordController(Controller):
    """What people say of devices; `{device}` is an id, or a name that only one has."""

    path = "/devices"

    @post("/", action="device.add", status_code=201)
    async def add(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewAgentless]
    ) -> DeviceDetail:
        """Add a device without an agent; those with one enrol by themselves."""
        presence = relay.service(make_gateway).presence
        async with relay.db.write() as c:
            made = await add_agentless(c, relay, new=data, actor=actor.name)
            row = await find_device(c, relay.tenant, made)
            return await device_detail(c, row, presence=presence)

    @get("/{device:str}/product", action="device.read")
    async def product(self, relay: FromRelay, device: FromPath[str]) -> Response[Product]:
        """Return what was bought, and whether its warranty still runs."""
        async with relay.db.read() as c:
            by_id = is_any_id(device.lower())
            row = await find_device(c, relay.tenant, device, also_retired=by_id)
            return _with_etag(await get_product(c, relay, row["id"]))

    @post("/{device:str}/product", action="device.describe", status_code=200)
    async def describe(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: Request[Any, Any, Any],
        device: FromPath[str],
        data: JSONBody[ProductChange],
    ) -> Response[Product]:
        """Change what was bought; fields that are not named stay."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            known = await get_product(c, relay, row["id"])
            check_if_match(request, known.revision)
            return _with_etag(
                await change_product(c, relay, device=row["id"], change=data, actor=actor.name)
            )

    @get("/{device:str}/holder", action="device.read")
    async def holder(self, relay: FromRelay, device: FromPath[str]) -> Holder:
        """Return who works with it."""
        async with relay.db.read() as c:
            row = await find_device(c, relay.tenant, device)
            return await holder_of(c, relay.tenant, row["id"])

    @post("/{device:str}/holder", action="device.describe", status_code=200)
    async def give(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], data: JSONBody[NewHolder]
    ) -> Holder:
        """Say who works with it, or that nobody in particular does; she sees it on her page."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            return await set_holder(
                c, relay, device=row["id"], person=data.person, actor=actor.name
            )

    @get("/{device:str}/proofs", action="device.read")
    async def proofs(self, relay: FromRelay, device: FromPath[str]) -> Page[DeviceProof]:
        """Return the files that prove when it was bought; they are bounded."""
        async with relay.db.read() as c:
            by_id = is_any_id(device.lower())
            row = await find_device(c, relay.tenant, device, also_retired=by_id)
            return Page(items=await proofs_of(c, relay.tenant, row["id"]))

    @post("/{device:str}/proofs", action="device.describe", status_code=201)
    async def prove(
        self,
        relay: FromRelay,
        actor: FromActor,
        device: FromPath[str],
        data: JSONBody[NewDeviceProof],
    ) -> DeviceProof:
        """Keep a proof of purchase or warranty."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            return await add_proof(
                c, relay, device=row["id"], name=data.name, content=data.content, actor=actor.name
            )

    @get("/{device:str}/proofs/{place:int}", action="device.read")
    async def proof(
        self, relay: FromRelay, device: FromPath[str], place: _Place
    ) -> Response[bytes]:
        """Return one proof, to be kept."""
        async with relay.db.read() as c:
            by_id = is_any_id(device.lower())
            row = await find_device(c, relay.tenant, device, also_retired=by_id)
            found, blob = await read_proof(c, relay.tenant, row["id"], place)
        return file_response(found.name, blob.content)

    @post("/{device:str}/proofs/{place:int}/remove", action="device.describe", status_code=200)
    async def unprove(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], place: _Place
    ) -> Page[DeviceProof]:
        """Take a proof away, and what is in it where nothing else holds it."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device)
            gone = await remove_proof(c, relay, device=row["id"], place=place, actor=actor.name)
            await drop_orphans(c, relay.tenant, [gone.sha256])
            return Page(items=await proofs_of(c, relay.tenant, row["id"]))

    @post("/{device:str}/merge", action="device.merge", status_code=200)
    async def merge(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], data: JSONBody[Other]
    ) -> Merge:
        """Make another device part of this one; it is retired."""
        async with relay.db.read() as c:
            keep = await find_device(c, relay.tenant, device)
            other = await find_device(c, relay.tenant, data.other, also_retired=True)
        return await merge_devices(relay, keep=keep["id"], other=other["id"], actor=actor.name)

    @post("/{device:str}/unmerge", action="device.merge", status_code=200)
    async def unmerge(self, relay: FromRelay, actor: FromActor, device: FromPath[str]) -> Merge:
        """Take a merge back: this device stands for itself again."""
        async with relay.db.write() as c:
            row = await find_device(c, relay.tenant, device, also_retired=True)
            return await unmerge_device(c, relay, other=row["id"], actor=actor.name)


class DuplicateController(Controller):
    """Devices that may be one machine, for a person to look at."""

    path = "/duplicates"

    @get("/", action="device.read")
    async def list_all(
        self,
        relay: FromRelay,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
        dismissed: FromQuery[bool] = False,
    ) -> Page[Duplicate]:
        """Return pairs that have serial numbers, MACs or names in common, or those set aside."""
        after = decode_cursor(cursor, int, str, str)
        async with relay.db.read() as c:
            found = await find_duplicates(
                c,
                relay.tenant,
                after=(after[0], after[1], after[2]) if after else None,
                limit=limit + 1,
                dismissed=dismissed,
            )
        return page_of(
            found,
            limit,
            lambda one: one,
            lambda one: (one.score, *sorted((one.keep.id, one.other.id))),
        )

    @post("/dismiss", action="device.merge", status_code=200)
    async def dismiss(self, relay: FromRelay, actor: FromActor, data: JSONBody[Pair]) -> Dismissal:
        """Say that two devices are two; the pair comes back when they have more in common."""
        async with relay.db.write() as c:
            pair = await _pair(c, relay, data)
            return await dismiss_duplicate(c, relay, pair=pair, actor=actor.name)

    @post("/recall", action="device.merge", status_code=200)
    async def recall(self, relay: FromRelay, actor: FromActor, data: JSONBody[Pair]) -> Dismissal:
        """Take a dismissal back."""
        async with relay.db.write() as c:
            pair = await _pair(c, relay, data)
            return await recall_duplicate(c, relay, pair=pair, actor=actor.name)


async def _pair(c: AsyncConnection, relay: Relay, data: Pair) -> tuple[str, str]:
    one = await find_device(c, relay.tenant, data.one)
    other = await find_device(c, relay.tenant, data.other)
    return one["id"], other["id"]


AREA = Area(
    name="device records",
    controllers=[RecordController, DuplicateController],
    statuses={
        "device-merged": 409,
        "device-not-alike": 409,
        "device-not-merged": 409,
        "duplicate-not-dismissed": 409,
        "proof-limit": 409,
        "serial-taken": 409,
    },
)
