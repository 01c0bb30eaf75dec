"""Results that somebody carried to the relay: the device's signature alone makes them count."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import select

from farhand_protocol.orders import Order
from farhand_server.relay import Relay
from farhand_server.store.schema import audit
from tests.server.fleet.conftest import MakeDevice
from tests.server.fleet.parts import FakeDevice, Operator, b64
from tests.server.relays import SignIn


class Desk:
    """A technician's way to the relay."""

    def __init__(self, relay: Relay, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.relay = relay
        self.web = web
        self.headers = headers
        self.operator = Operator(relay, "ann")

    async def order(self, device: FakeDevice) -> Order:
        order = self.operator.order(device)
        body = {"items": [{"envelope": b64(self.operator.seal(order))}]}
        answer = await self.web.post("/api/v1/orders", headers=self.headers, json=body)
        assert answer.status_code == 201, answer.text
        return order

    async def bring(self, order: Order, blob: bytes, *, named: str = "") -> httpx.Response:
        path = f"/api/v1/orders/{named or order.id}/result"
        return await self.web.post(path, headers=self.headers, json={"result": b64(blob)})

    async def brought(self) -> list[str]:
        query = select(audit.c.actor).where(audit.c.action == "order.brought")
        async with self.relay.db.read() as c:
            return list(await c.scalars(query))


@pytest.fixture
async def desk(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Desk:
    return Desk(relay, web, await sign_in("technician", name="ann"))


async def test_it_counts_once_whichever_way_it_came(desk: Desk, make_device: MakeDevice) -> None:
    device = await make_device()
    order = await desk.order(device)
    result = device.result(order)
    answer = await desk.bring(order, result)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert await desk.brought() == ["ann"]
    # The device comes online and says the same; somebody brings it once more.
    await device.send_result(order, result)
    assert (await desk.bring(order, result)).status_code == 200
    other = await desk.bring(order, device.result(order, exit_code=1, state="failed"))
    assert (other.status_code, other.json()["code"]) == (409, "result-conflict")


async def test_what_the_device_did_not_sign_is_nothing(desk: Desk, make_device: MakeDevice) -> None:
    device, other = await make_device("one"), await make_device("two")
    order, next_order = await desk.order(device), await desk.order(device)
    for blob in (
        b"{}",
        other.result(order, device=device.id),
        device.result(next_order),
        device.result(order, tenant="n-other"),
    ):
        answer = await desk.bring(order, blob)
        assert (answer.status_code, answer.json()["code"]) == (422, "result-invalid")
    unknown = await desk.bring(order, device.result(order), named="o-aaaaaaaaaaaaaaaa")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    assert await desk.brought() == []
    shown = await desk.web.get(f"/api/v1/orders/{order.id}", headers=desk.headers)
    assert shown.json()["state"] == "eligible"
