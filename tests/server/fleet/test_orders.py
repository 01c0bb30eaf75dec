"""Orders: first lock, offers, results that count once, cancelling, expiry, waiting."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from farhand_protocol import messages
from farhand_protocol.envelopes import Envelope, encode_envelope, encode_payload, payload_type_of
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_protocol.orders import Order
from farhand_server.fleet.dispatch import SWEEP_S, Dispatch
from farhand_server.relay import Relay
from farhand_server.store.schema import audit, order_events, orders
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice, Operator, b64
from tests.server.relays import ManualClock, SignIn


async def post(
    web: httpx.AsyncClient, headers: dict[str, str], *blobs: bytes, path: str = "/api/v1/orders"
) -> httpx.Response:
    body = {"items": [{"envelope": b64(blob)} for blob in blobs]}
    return await web.post(path, headers=headers, json=body)


async def state_of(relay: Relay, order: Order) -> str | None:
    async with relay.db.read() as c:
        return await c.scalar(select(orders.c.state).where(orders.c.id == order.id))


async def steps_of(relay: Relay, order: Order) -> list[str]:
    async with relay.db.read() as c:
        query = select(order_events.c.state).where(order_events.c.order_id == order.id)
        return list(await c.scalars(query.order_by(order_events.c.seq)))


async def actions(relay: Relay, action: str) -> int:
    async with relay.db.read() as c:
        return len((await c.scalars(select(audit.c.seq).where(audit.c.action == action))).all())


@pytest.fixture
async def ann(sign_in: SignIn) -> dict[str, str]:
    return await sign_in("technician", name="ann")


@pytest.fixture
def operator(relay: Relay) -> Operator:
    return Operator(relay, "ann")


async def test_an_order_goes_its_whole_way(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    await device.connect()
    order = operator.order(device)
    blob = operator.seal(order)
    answer = await post(web, ann, blob)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"items": [{"order": order.id, "state": "eligible"}]}
    assert await dispatch.tell_kicked() == 1
    assert device.heard == [messages.OfferOrder(order=order.id, envelope=blob)]
    await device.progress(order, "accepted")
    await device.progress(order, "running")
    result = device.result(order, state="failed", exit_code=3, stderr=b"no space on /dev/sda1\n")
    await device.send_result(order, result)
    view = (await web.get(f"/api/v1/orders/{order.id}", headers=ann)).json()
    assert (view["state"], view["exit_code"], view["result"]) == ("failed", 3, b64(result))
    assert view["cause"] == "no space on PATH"
    assert [step["state"] for step in view["events"]] == [
        "eligible",
        "offered",
        "accepted",
        "running",
        "failed",
    ]


async def test_an_order_waits_for_its_device(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    assert await dispatch.tell_kicked() == 0
    assert await state_of(relay, order) == "eligible"
    offered = [messages.OfferOrder(order=order.id, envelope=operator.seal(order))]
    assert await device.present() == offered
    assert await state_of(relay, order) == "offered"
    # The link broke before the device had read it: it is told again, and nothing moves.
    assert await device.present() == offered
    await device.progress(order, "accepted")
    assert await device.present() == []
    assert await steps_of(relay, order) == ["eligible", "offered", "accepted"]


async def test_the_same_request_again_does_no_harm(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    order = operator.order(device)
    blob = operator.seal(order)
    await post(web, ann, blob)
    await device.present()
    again = await post(web, ann, blob)
    assert again.json() == {"items": [{"order": order.id, "state": "offered"}]}
    other = operator.seal(operator.order(device, id=order.id, version=2))
    refused = await post(web, ann, other)
    assert (refused.status_code, refused.json()["code"]) == (409, "order-exists")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenant": "n-other"}, "order-wrong-tenant"),
        ({"operator": "bob"}, "order-not-permitted"),
        ({"device": "d-" + "a" * 26}, "device-unknown"),
        ({"device": "d-\0"}, "device-unknown"),
        ({"campaign": "c-something"}, "order-wrong-campaign"),
        ({"ticket": "FH-77"}, "not-found"),
        ({"id": "../../etc"}, "order-malformed"),
        ({"expires": "tomorrow"}, "order-malformed"),
    ],
)
@pytest.mark.either_store
async def test_the_first_lock(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
    changes: dict[str, Any],
    code: str,
) -> None:
    device = await make_device()
    good = operator.order(device)
    bad = operator.order(device, **changes)
    answer = await post(web, ann, operator.seal(good), operator.seal(bad))
    assert answer.json()["code"] == code
    assert await state_of(relay, good) is None, "one bad order and none is stored"


async def test_times_and_signatures_are_checked(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    now = relay.now()

    async def code(order: Order, blob: bytes | None = None) -> str:
        return str((await post(web, ann, blob or operator.seal(order))).json()["code"])

    def lasting(begin: timedelta, end: timedelta) -> Order:
        times = {"not_before": format_instant(now + begin), "expires": format_instant(now + end)}
        return operator.order(device, **times)

    day = timedelta(days=1)
    assert await code(lasting(0 * day, 8 * day)) == "order-lifetime"
    assert await code(lasting(30 * day, 31 * day)) == "order-lifetime"
    assert await code(lasting(2 * day, 1 * day)) == "order-lifetime"
    assert await code(lasting(-2 * day, -1 * day)) == "order-expired"
    order = operator.order(device)
    unsigned = Envelope(
        payload=encode_payload(order), payload_type=payload_type_of(Order), signatures=[]
    )
    assert await code(order, encode_envelope(unsigned)) == "order-signature"
    assert await code(order, b"{}") == "order-malformed"


async def test_an_external_ticket_stays_in_the_order_alone(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    made = await web.post("/api/v1/tickets", headers=ann, json={"title": "slow"})
    here, elsewhere = (operator.order(device, ticket=ref) for ref in ("FH-1", "JIRA-7"))
    await post(web, ann, operator.seal(here), operator.seal(elsewhere))
    assert made.json()["number"] == "FH-1"
    async with relay.db.read() as c:
        rows = await c.execute(select(orders.c.id, orders.c.ticket))
        found = {row.id: row.ticket for row in rows}
    assert found == {here.id: 1, elsewhere.id: None}


async def test_a_future_order_is_told_at_its_time(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
    clock: ManualClock,
) -> None:
    device = await make_device()
    await device.connect()
    order = operator.order(
        device,
        not_before=format_instant(relay.now() + timedelta(minutes=10)),
        expires=format_instant(relay.now() + timedelta(hours=1)),
    )
    await post(web, ann, operator.seal(order))
    await dispatch.tell_kicked()
    assert await device.present() == []
    clock.advance(599)
    await dispatch.sweep()
    assert device.heard == []
    clock.advance(2)
    await dispatch.sweep()
    assert [type(one) for one in device.heard] == [messages.OfferOrder]


async def test_what_a_device_leaves_unanswered_is_offered_again(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
    clock: ManualClock,
) -> None:
    """Its runner may have died over the offer while its link stayed up."""
    device = await make_device()
    await device.connect()
    dispatch.devices_here = lambda: [[device.id]]
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    await dispatch.tell_kicked()
    clock.advance(SWEEP_S - 1)
    await dispatch.sweep()
    assert len(device.heard) == 1
    clock.advance(1)
    await dispatch.sweep()
    assert [type(one) for one in device.heard] == [messages.OfferOrder] * 2
    await device.send_result(order)
    clock.advance(SWEEP_S)
    await dispatch.sweep()
    assert len(device.heard) == 2


async def test_too_early_for_the_device_is_offered_again(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    await device.connect()
    dispatch.devices_here = lambda: [[device.id]]
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    await dispatch.tell_kicked()
    await device.send_result(order, state="eligible", refusal="order-early", exit_code=None)
    assert await state_of(relay, order) == "eligible"
    await dispatch.sweep()
    assert [type(one) for one in device.heard] == [messages.OfferOrder] * 2
    await device.send_result(order)
    assert await state_of(relay, order) == "succeeded"


async def test_the_first_result_counts(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    first = device.result(order)
    await device.send_result(order, first)
    await device.send_result(order, first)
    assert await steps_of(relay, order) == ["eligible", "succeeded"]
    with pytest.raises(FarhandError, match="result-conflict"):
        await device.send_result(order, state="failed", exit_code=1)
    assert await state_of(relay, order) == "succeeded"
    assert await actions(relay, "order.result-conflict") == 1
    await device.progress(order, "running")
    assert await state_of(relay, order) == "succeeded"


async def test_of_two_results_at_once_one_counts(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    answers = await asyncio.gather(
        device.send_result(order),
        device.send_result(order, state="failed", exit_code=1),
        return_exceptions=True,
    )
    refused = [one for one in answers if one is not None]
    assert [getattr(one, "code", one) for one in refused] == ["result-conflict"]
    assert len(await steps_of(relay, order)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "n-other"},
        {"order": "o-aaaaaaaaaaaaaaaa"},
        {"device": "d-" + "a" * 26},
        {"digest": "cd" * 32},
        {"state": "gone"},
        {"state": "planned"},
        {"state": "running"},
        {"ended_at": "late"},
        {"exit_code": 2**40},
    ],
)
@pytest.mark.either_store
async def test_results_that_do_not_fit_are_refused_and_audited(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
    changes: dict[str, Any],
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    with pytest.raises(FarhandError, match="result-invalid"):
        await device.send_result(order, **changes)
    assert await state_of(relay, order) == "eligible"
    assert await actions(relay, "order.result-invalid") == 1


async def test_no_other_device_ends_an_order(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device, other = await make_device("one"), await make_device("two")
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    with pytest.raises(FarhandError, match="order-unknown"):
        await other.send_result(order)
    with pytest.raises(FarhandError, match="order-unknown"):
        await other.progress(order, "running")
    forged = other.result(order, device=device.id)
    with pytest.raises(FarhandError, match="result-invalid"):
        await device.send_result(order, forged)
    assert await state_of(relay, order) == "eligible"


async def test_a_refusal_is_kept_with_its_code(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    refusal = device.result(
        order, state="refused", refusal="script-changed", exit_code=None, digest=""
    )
    await device.send_result(order, refusal)
    await device.send_result(order, refusal)
    view = (await web.get(f"/api/v1/orders/{order.id}", headers=ann)).json()
    assert (view["state"], view["refusal"]) == ("refused", "script-changed")
    assert await actions(relay, "order.refused") == 1


async def test_expiry_and_the_late_truth(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
    clock: ManualClock,
) -> None:
    device = await make_device()
    unheard, heard = operator.order(device), operator.order(device)
    await post(web, ann, operator.seal(heard))
    await device.present()
    await post(web, ann, operator.seal(unheard))
    clock.advance(3601)
    await dispatch.sweep()
    assert (await state_of(relay, unheard), await state_of(relay, heard)) == ("expired", "offered")
    clock.advance(121)
    await dispatch.sweep()
    assert await state_of(relay, heard) == "expired"
    assert await device.present() == []
    await device.send_result(heard)
    assert await steps_of(relay, heard) == ["eligible", "offered", "expired", "succeeded"]


async def test_cancelling(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
    clock: ManualClock,
) -> None:
    device = await make_device()
    unheard, heard, lost = (operator.order(device) for _ in range(3))

    async def cancel(order: Order) -> httpx.Response:
        return await web.post(f"/api/v1/orders/{order.id}/cancel", headers=ann)

    await post(web, ann, operator.seal(unheard))
    assert (await cancel(unheard)).json()["state"] == "cancelled"
    assert await device.present() == []
    assert (await cancel(unheard)).json()["code"] == "order-final"

    await post(web, ann, operator.seal(heard), operator.seal(lost))
    await device.present()
    await device.connect()
    for order in (heard, lost):
        answer = (await cancel(order)).json()
        assert answer["state"] == "offered"
        assert answer["cancel_requested_at"] is not None
    cancels = [messages.CancelOrder(order=one) for one in (heard.id, lost.id)]
    assert device.heard == cancels
    # Back online before it answered: told again to leave it, never offered it again.
    assert sorted(await device.present(), key=str) == sorted(cancels, key=str)
    await device.send_result(heard, state="cancelled", exit_code=None)
    assert await state_of(relay, heard) == "cancelled"
    clock.advance(3600 + 121)
    await dispatch.sweep()
    assert await state_of(relay, lost) == "cancelled"
    missing = await web.post("/api/v1/orders/o-nothing/cancel", headers=ann)
    assert missing.status_code == 404


async def test_waiting_ends_with_the_result(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    subscribed = asyncio.Event()
    subscribe = relay.bus.subscribe

    async def noting(subject: str, handler: Any) -> Any:
        made = await subscribe(subject, handler)
        subscribed.set()
        return made

    monkeypatch.setattr(relay.bus, "subscribe", noting)
    waiting = asyncio.create_task(
        web.get(f"/api/v1/orders/{order.id}", params={"wait": 60}, headers=ann)
    )
    await subscribed.wait()
    await device.send_result(order)
    assert (await waiting).json()["state"] == "succeeded"
    # Final already: no wait at all.
    again = await web.get(f"/api/v1/orders/{order.id}", params={"wait": 60}, headers=ann)
    assert again.json()["state"] == "succeeded"


async def test_waiting_is_bounded(
    web: httpx.AsyncClient, ann: dict[str, str], operator: Operator, make_device: MakeDevice
) -> None:
    device = await make_device()
    order = operator.order(device)
    await post(web, ann, operator.seal(order))
    answer = await web.get(f"/api/v1/orders/{order.id}", params={"wait": 0.01}, headers=ann)
    assert answer.json()["state"] == "eligible"
    too_long = await web.get(f"/api/v1/orders/{order.id}", params={"wait": 61}, headers=ann)
    assert too_long.status_code == 422


async def test_listing_pages_through_all(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    make_device: MakeDevice,
) -> None:
    device = await make_device()
    made = [operator.order(device) for _ in range(5)]
    await post(web, ann, *(operator.seal(one) for one in made))
    found: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"device": device.name, "state": "eligible", "limit": 2}
        if cursor:
            params["cursor"] = cursor
        page = (await web.get("/api/v1/orders", params=params, headers=ann)).json()
        found += [one["order"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(found) == sorted(one.id for one in made)
    wrong = await web.get("/api/v1/orders", params={"state": "asleep"}, headers=ann)
    assert wrong.status_code == 422


@pytest.mark.either_store
async def test_a_requester_has_no_business_with_orders(
    web: httpx.AsyncClient, sign_in: SignIn, operator: Operator, make_device: MakeDevice
) -> None:
    device = await make_device()
    headers = await sign_in("requester", name="mia")
    assert (await post(web, headers, operator.seal(operator.order(device)))).status_code == 403
    assert (await web.get("/api/v1/orders", headers=headers)).status_code == 403


async def test_the_next_sweep_comes_when_something_is_due(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
    clock: ManualClock,
) -> None:
    device = await make_device()
    assert await dispatch._pause_s() == SWEEP_S
    now = relay.now()

    async def order(begins_s: float, ends_s: float) -> None:
        said = operator.order(
            device,
            not_before=format_instant(now + timedelta(seconds=begins_s)),
            expires=format_instant(now + timedelta(seconds=ends_s)),
        )
        await post(web, ann, operator.seal(said))

    await order(0, 20)
    assert await dispatch._pause_s() == 20
    await order(10, 3_600)
    assert await dispatch._pause_s() == 10
    clock.advance(10)
    assert await dispatch._pause_s() == 10
    clock.advance(9.9)
    assert await dispatch._pause_s() == 1, "not once for each of many that end together"
    clock.advance(0.1)
    await dispatch.sweep()
    assert await dispatch._pause_s() == SWEEP_S


async def test_kicks_do_not_put_the_sweep_off(
    dispatch: Dispatch, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = asyncio.Event()
    told = asyncio.Event()

    async def sweep() -> int:
        swept.set()
        return 0

    async def tell() -> int:
        dispatch._wake.clear()
        told.set()
        return 0

    monkeypatch.setattr(dispatch, "sweep", sweep)
    monkeypatch.setattr(dispatch, "tell_kicked", tell)
    running = asyncio.create_task(dispatch.run())
    async with asyncio.timeout(20):
        await swept.wait()
        swept.clear()
        for _ in range(4):
            clock.advance(SWEEP_S / 3)
            told.clear()
            dispatch.kick()
            await told.wait()
        await swept.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_loop_tells_what_was_kicked_and_sweeps(
    relay: Relay,
    web: httpx.AsyncClient,
    ann: dict[str, str],
    operator: Operator,
    dispatch: Dispatch,
    make_device: MakeDevice,
) -> None:
    device: FakeDevice = await make_device()
    told = asyncio.Event()
    device.on_heard = told.set
    await device.connect()
    running = asyncio.create_task(dispatch.run())
    await post(web, ann, operator.seal(operator.order(device)))
    await told.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
