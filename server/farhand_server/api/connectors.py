"""Routes of other desks: which there are, beginning with a ticket of theirs, and what they say."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.desk import with_etag
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Page
from farhand_server.api.webhooks import read_bounded
from farhand_server.bugs.following import heed_tracker
from farhand_server.connectors.desks import ForeignTicket
from farhand_server.connectors.opening import note_events, open_foreign
from farhand_server.connectors.registry import (
    Connector,
    NewConnector,
    add_connector,
    list_connectors,
    open_connector,
    remove_connector,
)
from farhand_server.connectors.telling import sweep_sessions_for_ever
from farhand_server.desk.tickets import Ticket
from farhand_server.fleet.devices import find_device
from farhand_server.relay import Relay
from farhand_server.webhooks.hooks import MAX_DELIVERY_BYTES, make_hook_rates

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]


class Foreign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ticket of another desk, `CONNECTOR:KEY`, and the device in question."""

    key: _Line
    device: _Line | None = None


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to look at, to see that a connector works."""

    key: _Line


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """How many things were new, and which bugs are fixed by them."""

    events: int
    fixed: list[str]


class ConnectorController(Controller):
    """Other people's desks."""

    path = "/connectors"

    @get("/", action="connector.read")
    async def list_all(self, relay: FromRelay) -> Page[Connector]:
        """Return all connectors, without their tokens."""
        async with relay.db.read() as c:
            return Page(items=await list_connectors(c, relay.tenant))

    @post("/", action="connector.write", status_code=201)
    async def add(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewConnector]
    ) -> Connector:
        """Add a connector; its token is never given out again."""
        async with relay.db.write() as c:
            return await add_connector(c, relay, new=data, actor=actor.name)

    @post("/open", action="ticket.work", status_code=200)
    async def open(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[Foreign]
    ) -> Response[Ticket]:
        """Return the ticket of ours for one of another desk, made where there is none."""
        device = None
        if data.device:
            async with relay.db.read() as c:
                device = (await find_device(c, relay.tenant, data.device))["id"]
        found = await open_foreign(relay, external_key=data.key, device=device, actor=actor.name)
        return with_etag(found)

    @post("/{connector:str}/test", action="connector.write", status_code=200)
    async def test(
        self, relay: FromRelay, connector: FromPath[str], data: JSONBody[Probe]
    ) -> ForeignTicket:
        """Fetch one ticket of another desk, and change nothing."""
        async with relay.db.read() as c:
            opened = await open_connector(c, relay, connector)
        return await opened.desk.get(data.key)

    @post("/{connector:str}/remove", action="connector.write", status_code=200)
    async def remove(
        self, relay: FromRelay, actor: FromActor, connector: FromPath[str]
    ) -> Page[Connector]:
        """Remove a connector."""
        async with relay.db.write() as c:
            await remove_connector(c, relay, name=connector, actor=actor.name)
            return Page(items=await list_connectors(c, relay.tenant))

    @post("/{connector:str}/events", action=PUBLIC, status_code=202)
    async def hear(
        self, relay: FromRelay, request: Request[Any, Any, Any], connector: FromPath[str]
    ) -> Heard:
        """Take what another desk's own webhook says, once it showed its secret."""
        caller = f"connector {connector[:64]} {caller_address(request, relay)}"
        relay.service(make_hook_rates).deliveries.take(caller)
        body = await read_bounded(request, MAX_DELIVERY_BYTES)
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with relay.db.write() as c:
            opened = await open_connector(c, relay, connector)
            # Without a secret of ours nothing that comes is believed.
            secret = opened.hook_secret or relay.random(32)
            events = opened.desk.verify_webhook(headers, body, secret)
            fresh = await note_events(c, relay, connector=connector, events=events)
            fixed = await heed_tracker(c, relay, connector=connector, events=fresh)
        return Heard(events=len(fresh), fixed=fixed)


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(sweep_sessions_for_ever(relay), name="connectors")


AREA = Area(
    name="connectors",
    controllers=[ConnectorController],
    statuses={
        "connector-exists": 409,
        "connector-limit": 409,
        "connector-failed": 502,
        "call-failed": 502,
        "address-refused": 422,
    },
    start=_start,
)
