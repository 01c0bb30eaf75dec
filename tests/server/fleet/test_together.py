"""Many devices at once: few transactions, each by its own merits, nothing out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import event, func, select

from farhand_protocol import messages
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import Order
from farhand_server.audit import check_chain
from farhand_server.fleet import orders as order_lists
from farhand_server.fleet.devices import mark_retired
from farhand_server.fleet.dispatch import Dispatch
from farhand_server.relay import Relay
from farhand_server.store.schema import order_events, orders
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice, Operator, b64
from tests.server.fleet.test_campaigns import Console, counted
from tests.server.relays import SignIn

MANY = 16


@pytest.fixture
async def console(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Console:
    return Console(relay, web, await sign_in("technician", name="ann"))


@pytest.fixture
async def signed(console: Console, make_device: MakeDevice) -> dict[FakeDevice, Order]:
    """A running campaign's orders, by device."""
    devices = [await make_device(f"pc-{number}") for number in range(MANY)]
    campaign = await console.create()
    made = {device: console.sign(campaign, device) for device in devices}
    assert (await console.send(campaign, *made.values())).status_code == 201
    await console.post(f"/{campaign}/start")
    return made


@contextmanager
def commits(relay: Relay) -> Iterator[list[None]]:
    """Count the transactions that were committed."""
    seen: list[None] = []

    def note(_connection: object) -> None:
        seen.append(None)

    engine = relay.db._writer.sync_engine
    event.listen(engine, "commit", note)
    try:
        yield seen
    finally:
        event.remove(engine, "commit", note)


def campaign_of(signed: dict[FakeDevice, Order]) -> str:
    campaign = next(iter(signed.values())).campaign
    assert campaign is not None
    return campaign


async def check_audit(relay: Relay) -> None:
    async with relay.db.read() as c:
        check_chain(relay.tenant, await relay.audit.records(c, limit=1000))


async def test_results_at_once_take_few_transactions(
    relay: Relay, console: Console, signed: dict[FakeDevice, Order]
) -> None:
    with commits(relay) as seen:
        await asyncio.gather(*(one.progress(order, "accepted") for one, order in signed.items()))
        await asyncio.gather(*(one.progress(order, "running") for one, order in signed.items()))
        await asyncio.gather(*(one.send_result(order) for one, order in signed.items()))
    assert len(seen) < MANY / 2
    campaign = campaign_of(signed)
    assert await counted(relay, campaign) == {"succeeded": MANY}
    assert (await console.get(f"/{campaign}"))["state"] == "finished"
    async with relay.db.read() as c:
        steps: dict[str, list[str]] = {}
        for order, state in await c.execute(
            select(order_events.c.order_id, order_events.c.state).order_by(order_events.c.seq)
        ):
            steps.setdefault(order, []).append(state)
    wanted = ["eligible", "accepted", "running", "succeeded"]
    assert [steps[order.id] for order in signed.values()] == [wanted] * MANY


async def test_a_bad_result_fails_alone(relay: Relay, signed: dict[FakeDevice, Order]) -> None:
    forger, refuser, stranger, *honest = signed
    forged = honest[0].result(signed[forger], device=forger.id)
    refused = refuser.result(
        signed[refuser], state="refused", refusal="order-group", exit_code=None
    )
    outcomes = await asyncio.gather(
        forger.send_result(signed[forger], forged),
        refuser.send_result(signed[refuser], refused),
        *(one.send_result(signed[one]) for one in honest),
        stranger.send_result(signed[honest[0]]),
        return_exceptions=True,
    )
    codes = [getattr(one, "code", one) for one in outcomes]
    assert codes == ["result-invalid", None, *[None] * len(honest), "order-unknown"]
    campaign = campaign_of(signed)
    assert await counted(relay, campaign) == {
        "eligible": 2,
        "refused": 1,
        "succeeded": len(honest),
    }
    await check_audit(relay)


async def test_refusals_at_once_are_all_audited(
    relay: Relay, signed: dict[FakeDevice, Order]
) -> None:
    await asyncio.gather(
        *(
            one.send_result(order, state="refused", refusal="script-unapproved", exit_code=None)
            for one, order in signed.items()
        )
    )
    assert await counted(relay, campaign_of(signed)) == {"refused": MANY}
    async with relay.db.read() as c:
        records = await relay.audit.records(c, limit=1000)
    refused = [one.subject for one in records if one.action == "order.refused"]
    assert sorted(refused) == sorted(order.id for order in signed.values())
    await check_audit(relay)


async def test_results_of_a_retired_device_end_its_link_alone(
    relay: Relay, signed: dict[FakeDevice, Order]
) -> None:
    retired, *others = signed
    async with relay.db.write() as c:
        await mark_retired(c, relay, device=retired.id, actor="ann")
    outcomes = await asyncio.gather(
        *(one.send_result(order) for one, order in signed.items()), return_exceptions=True
    )
    assert getattr(outcomes[0], "code", None) == "device-retired"
    assert outcomes[1:] == [None] * len(others)


async def test_coming_online_at_once(
    relay: Relay, dispatch: Dispatch, signed: dict[FakeDevice, Order]
) -> None:
    retired, *others = signed
    async with relay.db.write() as c:
        await mark_retired(c, relay, device=retired.id, actor="ann")
    with commits(relay) as seen:
        outcomes = await asyncio.gather(*(one.present() for one in signed), return_exceptions=True)
    assert len(seen) < MANY / 2
    assert getattr(outcomes[0], "code", None) == "device-retired"
    told = [[getattr(one, "order", None) for one in said] for said in outcomes[1:]]  # type: ignore[union-attr]
    assert told == [[signed[one].id] for one in others]
    assert await counted(relay, campaign_of(signed)) == {"eligible": 1, "offered": len(others)}


async def test_more_than_a_page_waits_for_those_who_come(
    relay: Relay,
    dispatch: Dispatch,
    signed: dict[FakeDevice, Order],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farhand_server.fleet.dispatch._PAGE", 5)
    heard: dict[str, list[messages.RelayMessage]] = {one.id: [] for one in signed}

    def ear(device: str):  # type: ignore[no-untyped-def]
        def send(message: messages.RelayMessage) -> bool:
            heard[device].append(message)
            return True

        return send

    await dispatch.offer_on_present({one.id: ear(one.id) for one in signed})
    assert {device: len(told) for device, told in heard.items()} == dict.fromkeys(heard, 1)
    assert await counted(relay, campaign_of(signed)) == {"offered": MANY}


async def test_an_order_that_cannot_be_stored_holds_up_no_other(
    relay: Relay, console: Console, make_device: MakeDevice
) -> None:
    good, again, gone, changed = [await make_device(f"pc-{number}") for number in range(4)]
    campaign = await console.create()
    assert (await console.send(campaign, console.sign(campaign, again))).status_code == 201
    async with relay.db.write() as c:
        await mark_retired(c, relay, device=gone.id, actor="ann")
    await console.web.post(
        f"/api/v1/orders/{await row_of(relay, campaign, gone)}/cancel", headers=console.headers
    )
    wanted = console.sign(campaign, good)
    mixed = [
        console.sign(campaign, again),
        wanted,
        console.sign(campaign, gone),
        console.sign(campaign, changed, version=2),
    ]
    answer = await console.send(campaign, *mixed)
    assert answer.status_code == 201, answer.text
    assert answer.json()["items"] == [
        {"order": "", "state": "", "code": "order-exists"},
        {"order": wanted.id, "state": "eligible", "code": None},
        {"order": "", "state": "", "code": "order-final"},
        {"order": "", "state": "", "code": "order-wrong-campaign"},
    ]
    assert await counted(relay, campaign) == {"cancelled": 1, "eligible": 2, "planned": 1}
    unreadable = {"items": [{"envelope": b64(b"{}")}, {"envelope": b64(seal(console, wanted))}]}
    told = (await console.post(f"/{campaign}/orders", unreadable)).json()["items"]
    assert [one["code"] for one in told] == ["order-malformed", None]


def seal(console: Console, order: Order) -> bytes:
    return console.operator.seal(order)


async def row_of(relay: Relay, campaign: str, device: FakeDevice) -> str:
    async with relay.db.read() as c:
        query = select(orders.c.id).where(
            orders.c.campaign == campaign, orders.c.device == device.id
        )
        found = await c.scalar(query)
    assert found is not None
    return str(found)


async def test_orders_are_listed_with_their_results_in_bounded_pages(
    relay: Relay,
    console: Console,
    signed: dict[FakeDevice, Order],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = {}
    for number, (device, order) in enumerate(signed.items()):
        if number % 3:
            sent[order.id] = device.result(order, stdout=b"x" * 3000, stdout_bytes=3000)
            await device.send_result(order, sent[order.id])
    async with relay.db.read() as c:
        largest = await c.scalar(select(func.max(func.length(orders.c.result))))
    monkeypatch.setattr(order_lists, "MAX_RESULTS_BYTES", 2 * (largest or 0))
    found: dict[str, str | None] = {}
    cursor: str | None = None
    pages = 0
    while True:
        params = {"campaign": campaign_of(signed), "results": "true", "limit": "10"}
        if cursor is not None:
            params["cursor"] = cursor
        answer = await console.web.get("/api/v1/orders", headers=console.headers, params=params)
        page = answer.json()
        assert sum(one["result"] is not None for one in page["items"]) <= 2
        assert page["items"], "a page always goes on"
        found.update({one["order"]: one["result"] for one in page["items"]})
        pages += 1
        cursor = page["next"]
        if cursor is None:
            break
    assert found == {
        order.id: b64(sent[order.id]) if order.id in sent else None for order in signed.values()
    }
    assert pages >= len(sent) / 2
    plain = await console.web.get(
        f"/api/v1/orders?campaign={campaign_of(signed)}", headers=console.headers
    )
    assert "result" not in plain.json()["items"][0]


async def test_a_single_request_of_orders_is_still_all_or_nothing(
    relay: Relay, console: Console, make_device: MakeDevice
) -> None:
    device = await make_device()
    operator: Operator = console.operator
    twice = operator.order(device)
    body = {"items": [{"envelope": b64(operator.seal(twice))}] * 2}
    answer = await console.web.post("/api/v1/orders", headers=console.headers, json=body)
    assert answer.json()["code"] == "order-exists"
    with pytest.raises(FarhandError, match="order-unknown"):
        await device.progress(twice, "accepted")


async def test_looking_for_orders_goes_through_no_others(
    relay: Relay, dispatch: Dispatch, signed: dict[FakeDevice, Order]
) -> None:
    if relay.db.dialect != "sqlite":
        return  # PostgreSQL plans by what is in the table, and here that is next to nothing
    asked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_m: object) -> None:
        if "LEFT OUTER JOIN campaigns" in statement:
            asked.append(statement)

    engine = relay.db._reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        dispatch.kick(campaigns=[campaign_of(signed)], orders=["o-aaaaaaaaaaaaaaaa"])
        await dispatch.tell_kicked()
        dispatch.devices_here = lambda: [[one.id for one in signed]]
        await dispatch.sweep()
        await next(iter(signed)).present()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(asked) >= 5
    async with relay.db.read() as c:
        for statement in asked:
            marks = statement.count("?")
            plan = await c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("x",) * marks)
            first = str(next(iter(plan.mappings()))["detail"])
            # By key only with the whole key; else by a state, or by devices.
            assert "SCAN" not in first, first
            assert any(one in first for one in ("id=?", "state=?", "device=?", "campaign=?")), first
