"""Routes of orders and campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import MAX_MESSAGE_BYTES
from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import (
    LIMIT_DEFAULT,
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_of,
)
from farhand_server.fleet.campaign_events import (
    MAX_EVENTS,
    CampaignStep,
    campaign_events,
    tell_watchers,
    wait_for_events,
)
from farhand_server.fleet.campaign_reports import Report, report
from farhand_server.fleet.campaigns import (
    Campaign,
    CampaignEvent,
    NewCampaign,
    Skipped,
    Target,
    control_campaign,
    create_campaign,
    get_campaign,
    list_campaigns,
    list_targets,
    skip_targets,
    unended_orders,
)
from farhand_server.fleet.devices import find_device
from farhand_server.fleet.dispatch import make_dispatch
from farhand_server.fleet.fills import fill_orders
from farhand_server.fleet.frozen_sets import MAX_TARGETS
from farhand_server.fleet.order_rows import order_row
from farhand_server.fleet.order_states import FINAL_STATES
from farhand_server.fleet.orders import (
    MAX_BATCH,
    MAX_ORDER_BYTES,
    OrderLine,
    OrderResult,
    OrderView,
    SignedOrder,
    cancel_order,
    check_orders,
    create_orders,
    list_orders,
    order_view,
    request_cancel,
    with_results,
)
from farhand_server.fleet.packages import in_chunks
from farhand_server.fleet.promotion import approve_ring
from farhand_server.fleet.results import make_results
from farhand_server.gateway.node import make_gateway
from farhand_server.relay import Relay

__all__ = ["AREA"]

MAX_WAIT_S = 60

_Wait = Annotated[float, QueryParameter(name="wait", ge=0, le=MAX_WAIT_S)]
_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Results = Annotated[bool, QueryParameter(name="results")]
_Events = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_EVENTS)]
_Ref = Annotated[str | None, QueryParameter(max_length=128)]


class SealedOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order, sealed by its operator for one device."""

    envelope: Annotated[bytes, msgspec.Meta(max_length=MAX_ORDER_BYTES)]


class SealedOrders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Orders to be stored together."""

    items: Annotated[list[SealedOrder], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class BroughtResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device's sealed result that somebody carried here."""

    result: Annotated[bytes, msgspec.Meta(max_length=MAX_MESSAGE_BYTES)]


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """An order and where it stands."""

    order: str
    state: str


class OrderStates(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they were sent."""

    items: list[OrderState]


class FilledOrder(OrderState, frozen=True, kw_only=True):
    """An order of a campaign and where it stands; or why it was not stored, in `code` alone."""

    code: str | None


class FilledOrders(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they were sent."""

    items: list[FilledOrder]


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a console says as it starts a campaign: the targets it signed no order for."""

    skipped: Annotated[list[Skipped], msgspec.Meta(max_length=MAX_TARGETS)] = msgspec.field(
        default_factory=list
    )


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of a campaign; `next` is the cursor to go on from, also when there are none yet."""

    items: list[CampaignStep]
    next: str
    state: str


def _states(pairs: list[tuple[str, str]]) -> OrderStates:
    return OrderStates(items=[OrderState(order=order, state=state) for order, state in pairs])


def _filled(outcome: tuple[str, str] | FarhandError) -> FilledOrder:
    if isinstance(outcome, FarhandError):
        return FilledOrder(order="", state="", code=outcome.code)
    return FilledOrder(order=outcome[0], state=outcome[1], code=None)


class OrderController(Controller):
    """Orders; the relay keeps and carries them and can make none."""

    path = "/orders"

    @post("/", action="order.create", status_code=201)
    async def create(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[SealedOrders]
    ) -> OrderStates:
        """Store orders, all or none, and tell their devices."""
        blobs = [one.envelope for one in data.items]
        checked = await check_orders(relay, blobs, actor=actor.name)
        risks = {one.order.risk for one in checked if isinstance(one, SignedOrder)}
        authorise(actor, "order.create", parts=risks)
        async with relay.db.write() as c:
            pairs = await create_orders(c, relay, checked=checked, actor=actor.name)
        relay.service(make_dispatch).kick(orders=[order for order, _ in pairs])
        return _states(pairs)

    @get("/", action="order.read")
    async def list_all(
        self,
        relay: FromRelay,
        device: _Ref = None,
        campaign: _Ref = None,
        wanted: _State = None,
        results: _Results = False,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[OrderLine | OrderResult]:
        """Return orders, newest first; with `results`, what their devices signed as well."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            if device is not None:
                found = await find_device(c, relay.tenant, device, also_retired=True)
                device = found["id"]
            rows = await list_orders(
                c,
                relay.tenant,
                device=device,
                campaign=campaign.replace("\0", "") if campaign else None,
                state=wanted,
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
            shown: Sequence[OrderLine | OrderResult] = rows
            if results:
                shown = await with_results(c, relay.tenant, rows[:limit])
                limit = len(shown) or limit
                shown = [*shown, *rows[limit : limit + 1]]  # the next one tells that there are more
        return page_of(shown, limit, lambda row: row, lambda row: (row.created_at, row.order))

    @get("/{order:str}", action="order.read")
    async def show(self, relay: FromRelay, order: FromPath[str], wait: _Wait = 0.0) -> OrderView:
        """Return an order; with `wait`, not before it is final or so many seconds are over."""
        async with relay.db.read() as c:
            view = await order_view(c, relay.tenant, order)
        if not wait or view.state in FINAL_STATES:
            return view
        await relay.service(make_dispatch).wait_final(order, state=view.state, wait_s=wait)
        async with relay.db.read() as c:
            return await order_view(c, relay.tenant, order)

    @post("/{order:str}/cancel", action="order.cancel", status_code=200)
    async def cancel(self, relay: FromRelay, actor: FromActor, order: FromPath[str]) -> OrderView:
        """Cancel an order, or ask the device not to start it."""
        dispatch = relay.service(make_dispatch)
        async with relay.db.write() as c:
            must_tell = await cancel_order(c, relay, order=order, actor=actor.name)
        if must_tell:
            await dispatch.tell_cancelled([order])
        else:
            await dispatch.publish_ends([order])
        async with relay.db.read() as c:
            return await order_view(c, relay.tenant, order)

    @post("/{order:str}/result", action="order.create", status_code=200)
    async def bring_result(
        self,
        relay: FromRelay,
        actor: FromActor,
        order: FromPath[str],
        data: JSONBody[BroughtResult],
    ) -> OrderView:
        """Take a result that came by file; only the device's signature makes it one."""
        async with relay.db.read() as c:
            row = await order_row(c, relay.tenant, order.replace("\0", ""))
        if row is None:
            raise FarhandError("not-found", "there is no such order")
        results = relay.service(make_results)
        await results.result(device=row["device"], order=row["id"], blob=data.result)
        async with relay.db.write() as c:
            await relay.audit.append(c, actor=actor.name, action="order.brought", subject=row["id"])
        async with relay.db.read() as c:
            return await order_view(c, relay.tenant, row["id"])


class CampaignController(Controller):
    """One script on many devices."""

    path = "/campaigns"

    @post("/", action="campaign.create", status_code=201)
    async def create(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewCampaign]
    ) -> Campaign:
        """Freeze the devices that match now."""
        authorise(actor, "campaign.create", parts=[data.risk])
        presence = relay.service(make_gateway).presence
        async with relay.db.write() as c:
            return await create_campaign(c, relay, new=data, actor=actor.name, presence=presence)

    @get("/", action="campaign.read")
    async def list_all(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT
    ) -> Page[Campaign]:
        """Return campaigns, newest first."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            rows = await list_campaigns(
                c,
                relay.tenant,
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.created_at, row.campaign))

    @get("/{campaign:str}", action="campaign.read")
    async def show(self, relay: FromRelay, campaign: FromPath[str]) -> Campaign:
        """Return a campaign."""
        async with relay.db.read() as c:
            return await get_campaign(c, relay.tenant, campaign)

    @get("/{campaign:str}/targets", action="campaign.read")
    async def targets(
        self,
        relay: FromRelay,
        campaign: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Target]:
        """Return the frozen devices, with what a console needs to verify and to sign."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            rows = await list_targets(
                c,
                relay.tenant,
                campaign,
                after=after[0] if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.device,))

    @post("/{campaign:str}/orders", action="campaign.control", status_code=201)
    async def orders(
        self,
        relay: FromRelay,
        actor: FromActor,
        campaign: FromPath[str],
        data: JSONBody[SealedOrders],
    ) -> FilledOrders:
        """Fill planned rows with signed orders; each item of the answer is about one of them."""
        blobs = [one.envelope for one in data.items]
        checked = await check_orders(relay, blobs, actor=actor.name)
        risks = {one.order.risk for one in checked if isinstance(one, SignedOrder)}
        authorise(actor, "campaign.create", parts=risks)
        async with relay.db.write() as c:
            filled = await fill_orders(
                c, relay, campaign=campaign, checked=checked, actor=actor.name
            )
        stored = [one[0] for one in filled if not isinstance(one, FarhandError)]
        relay.service(make_dispatch).kick(orders=stored)
        return FilledOrders(items=[_filled(one) for one in filled])

    @post("/{campaign:str}/start", action="campaign.control", status_code=200)
    async def start(
        self,
        relay: FromRelay,
        actor: FromActor,
        campaign: FromPath[str],
        data: JSONBody[Start | None] = None,
    ) -> Campaign:
        """Begin to tell the devices; targets named as skipped end as refused."""
        skipped = data.skipped if data is not None else ()
        return await _control(relay, actor, campaign, "start", skipped)

    @post("/{campaign:str}/pause", action="campaign.control", status_code=200)
    async def pause(self, relay: FromRelay, actor: FromActor, campaign: FromPath[str]) -> Campaign:
        """Tell no further device; what was accepted goes on."""
        return await _control(relay, actor, campaign, "pause")

    @post("/{campaign:str}/resume", action="campaign.control", status_code=200)
    async def resume(self, relay: FromRelay, actor: FromActor, campaign: FromPath[str]) -> Campaign:
        """Go on."""
        return await _control(relay, actor, campaign, "resume")

    @post("/{campaign:str}/abort", action="campaign.control", status_code=200)
    async def abort(self, relay: FromRelay, actor: FromActor, campaign: FromPath[str]) -> Campaign:
        """Cancel what no device heard of, and ask the others not to start."""
        await _control(relay, actor, campaign, "abort")
        dispatch = relay.service(make_dispatch)
        async with relay.db.read() as c:
            ids = await unended_orders(c, relay.tenant, campaign)
        for chunk in in_chunks(ids):
            async with relay.db.write() as c:
                told = await request_cancel(c, relay, ids=chunk, actor=actor.name)
            await dispatch.publish_ends(set(chunk) - set(told))
            await dispatch.tell_cancelled(told)
        await tell_watchers(relay, {campaign})
        async with relay.db.read() as c:
            return await get_campaign(c, relay.tenant, campaign)

    @post("/{campaign:str}/skip", action="campaign.control", status_code=200)
    async def skip(
        self, relay: FromRelay, actor: FromActor, campaign: FromPath[str], data: JSONBody[Start]
    ) -> Campaign:
        """End targets of a later ring that the console signed no order for as refused."""
        async with relay.db.write() as c:
            changed = await skip_targets(
                c, relay, campaign=campaign, skipped=data.skipped, actor=actor.name
            )
        await tell_watchers(relay, {campaign})
        relay.service(make_dispatch).moved([campaign])
        return changed

    @post("/{campaign:str}/rings/{ring:int}/approve", action="campaign.control", status_code=200)
    async def approve(
        self, relay: FromRelay, actor: FromActor, campaign: FromPath[str], ring: FromPath[int]
    ) -> Report:
        """Say that a manual ring may begin once its gate is open."""
        async with relay.db.write() as c:
            await approve_ring(c, relay, campaign=campaign, ring=ring, actor=actor.name)
        await tell_watchers(relay, {campaign})
        relay.service(make_dispatch).moved([campaign])
        async with relay.db.read() as c:
            return await report(c, relay.tenant, campaign)

    @get("/{campaign:str}/events", action="campaign.read")
    async def events(
        self,
        relay: FromRelay,
        campaign: FromPath[str],
        cursor: Cursor = None,
        limit: _Events = MAX_EVENTS,
        wait: _Wait = 0.0,
    ) -> Events:
        """Return what happened after the cursor; with `wait`, not before something did."""
        after = (decode_cursor(cursor, int) or (0,))[0]
        async with relay.db.read() as c:
            found = await campaign_events(c, relay.tenant, campaign, after=after, limit=limit)
            state = (await get_campaign(c, relay.tenant, campaign)).state
        if not found and wait and state not in ("finished", "aborted"):
            found = await wait_for_events(relay, campaign, after=after, limit=limit, wait_s=wait)
            async with relay.db.read() as c:
                state = (await get_campaign(c, relay.tenant, campaign)).state
        last = found[-1].seq if found else after
        return Events(items=found, next=encode_cursor(last), state=state)

    @get("/{campaign:str}/report", action="campaign.read")
    async def report(self, relay: FromRelay, campaign: FromPath[str]) -> Report:
        """Return counts, and failures grouped by cause."""
        async with relay.db.read() as c:
            return await report(c, relay.tenant, campaign)


async def _control(
    relay: Relay,
    actor: Actor,
    campaign: str,
    event: CampaignEvent,
    skipped: Sequence[Skipped] = (),
) -> Campaign:
    async with relay.db.write() as c:
        changed = await control_campaign(
            c, relay, campaign=campaign, event=event, actor=actor.name, skipped=skipped
        )
    await tell_watchers(relay, {campaign})
    if changed.state == "running":
        relay.service(make_dispatch).kick(campaigns=[campaign])
    return changed


AREA = Area(
    name="orders",
    controllers=[OrderController, CampaignController],
    statuses={
        "no-targets": 409,
        "too-many-targets": 422,
        "campaign-state": 409,
        "order-malformed": 422,
        "order-wrong-tenant": 422,
        "order-wrong-campaign": 422,
        "order-lifetime": 422,
        "order-expired": 422,
        "order-signature": 422,
        "order-operator-unknown": 403,
        "order-not-permitted": 403,
        "order-exists": 409,
        "order-final": 409,
        "order-unknown": 404,
        "result-invalid": 422,
        "result-conflict": 409,
    },
)
