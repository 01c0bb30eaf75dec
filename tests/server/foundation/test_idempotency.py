"""Idempotency-Key: answered again, not done again."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Request, Response, post
from litestar.params import JSONBody

from farhand_protocol.errors import FarhandError
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor
from farhand_server.api.idempotency import ANSWERED, forget_old_keys
from farhand_server.api.revisions import check_if_match, etag
from farhand_server.app import Relay, build_app
from tests.server.relays import ManualClock, SignIn


class _Body(msgspec.Struct):
    what: str


class _Bench:
    """A route that counts what it did and can be held up."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.running = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()

    def area(self) -> Area:
        @post("/do", action="me.write")
        async def do(actor: FromActor, data: JSONBody[_Body]) -> dict[str, Any]:
            self.running.set()
            await self.release.wait()
            if data.what == "refuse":
                raise FarhandError("refused-once", "no")
            if data.what == "break":
                raise KeyError(data.what)
            self.done.append(data.what)
            return {"number": len(self.done), "who": actor.name}

        @post("/secret", action="me.write", keep_answer=False)
        async def secret() -> dict[str, int]:
            self.done.append("secret")
            return {"number": len(self.done)}

        @post("/revised", action="me.write")
        async def revised(request: Request[Any, Any, Any]) -> Response[None]:
            check_if_match(request, 7)
            return Response(None, headers={"ETag": etag(8)})

        return Area(name="bench", controllers=[do, secret, revised])


@pytest.fixture
def bench() -> _Bench:
    return _Bench()


@pytest.fixture
async def http(relay: Relay, bench: _Bench) -> AsyncIterator[httpx.AsyncClient]:
    app: Any = build_app(relay, [bench.area()])
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        yield client


async def _do(
    http: httpx.AsyncClient, headers: dict[str, str], key: str, what: str, path: str = "do"
) -> httpx.Response:
    return await http.post(
        f"/api/v1/{path}", headers=headers | {"Idempotency-Key": key}, json={"what": what}
    )


async def test_the_same_request_is_done_once(
    http: httpx.AsyncClient, bench: _Bench, sign_in: SignIn
) -> None:
    headers = await sign_in("technician")
    first = await _do(http, headers, "k1", "x")
    second = await _do(http, headers, "k1", "x")
    assert (first.status_code, first.json()) == (201, {"number": 1, "who": "technician"})
    assert (second.status_code, second.json()) == (201, first.json())
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert bench.done == ["x"]
    assert (await _do(http, headers, "k2", "x")).json()["number"] == 2


async def test_keys_belong_to_an_account(
    http: httpx.AsyncClient, bench: _Bench, sign_in: SignIn
) -> None:
    await _do(http, await sign_in("technician"), "k", "x")
    other = await _do(http, await sign_in("admin"), "k", "x")
    assert other.json()["who"] == "admin"
    assert len(bench.done) == 2


async def test_another_request_under_the_key_is_refused(
    http: httpx.AsyncClient, sign_in: SignIn
) -> None:
    headers = await sign_in("technician")
    await _do(http, headers, "k", "x")
    for answer in (
        await _do(http, headers, "k", "y"),
        await _do(http, headers, "k", "x", "revised"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-mismatch")


async def test_while_the_first_runs_the_second_is_told(
    http: httpx.AsyncClient, bench: _Bench, sign_in: SignIn
) -> None:
    headers = await sign_in("technician")
    bench.release.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_do(http, headers, "k", "x"))
        await bench.running.wait()
        second = await _do(http, headers, "k", "x")
        assert (second.status_code, second.json()["code"]) == (409, "idempotency-running")
        bench.release.set()
    assert first.result().status_code == 201
    assert bench.done == ["x"]


@asynccontextmanager
async def restarted(relay: Relay, bench: _Bench, bus: str) -> AsyncIterator[httpx.AsyncClient]:
    """Another process of the same relay, on the same database."""
    settings = msgspec.structs.replace(relay.settings, bus=bus)
    after = dataclasses.replace(relay, settings=settings, _services={})
    transport = httpx.ASGITransport(app=build_app(after, [bench.area()]))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        yield client


@pytest.mark.parametrize("bus", ["", "nats://127.0.0.1:4222"])
async def test_a_request_whose_relay_died_is_neither_done_again_nor_said_to_run(
    http: httpx.AsyncClient,
    bench: _Bench,
    relay: Relay,
    sign_in: SignIn,
    clock: ManualClock,
    bus: str,
) -> None:
    headers = await sign_in("technician")
    bench.release.clear()
    first = asyncio.ensure_future(_do(http, headers, "k", "x"))
    await bench.running.wait()
    async with restarted(relay, bench, bus) as again:
        answer = await _do(again, headers, "k", "x")
        if bus:
            # One of several nodes cannot know until no request could still run.
            assert answer.json()["code"] == "idempotency-running"
            clock.advance(ANSWERED.total_seconds() + 1)
            answer = await _do(again, headers, "k", "x")
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-lost")
        other = await _do(again, headers, "k", "y")
        assert other.json()["code"] == "idempotency-mismatch"
        # Where it does run, it is still said to.
        assert (await _do(http, headers, "k", "x")).json()["code"] == "idempotency-running"
        bench.release.set()
        done = await first
        assert (await _do(again, headers, "k", "x")).json() == done.json()
    assert bench.done == ["x"]


async def test_a_request_that_was_broken_off_is_not_said_to_run(
    http: httpx.AsyncClient, bench: _Bench, sign_in: SignIn
) -> None:
    headers = await sign_in("technician")
    bench.release.clear()
    first = asyncio.ensure_future(_do(http, headers, "k", "x"))
    await bench.running.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await _do(http, headers, "k", "x")).json()["code"] == "idempotency-lost"


async def test_a_refusal_is_not_kept(http: httpx.AsyncClient, sign_in: SignIn) -> None:
    headers = await sign_in("technician")
    for what, status in (("refuse", 400), ("break", 500)):
        for _ in range(2):
            assert (await _do(http, headers, what, what)).status_code == status


async def test_answers_with_secrets_are_not_kept(
    http: httpx.AsyncClient, bench: _Bench, sign_in: SignIn
) -> None:
    headers = await sign_in("technician")
    assert [(await _do(http, headers, "k", "x", "secret")).json()["number"] for _ in "12"] == [1, 2]


async def test_keys_are_forgotten_after_a_day(
    http: httpx.AsyncClient, relay: Relay, sign_in: SignIn, bench: _Bench, clock: ManualClock
) -> None:
    await _do(http, await sign_in("technician"), "k", "x")
    await _do(http, await sign_in("technician"), "swept", "x")
    clock.advance(86_401)
    assert (await _do(http, await sign_in("technician"), "k", "other")).status_code == 201
    await forget_old_keys(relay)
    assert (await _do(http, await sign_in("technician"), "swept", "other")).status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 129])
async def test_odd_keys_are_refused(http: httpx.AsyncClient, sign_in: SignIn, key: str) -> None:
    answer = await _do(http, await sign_in("technician"), key, "x")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key")


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 201), ("*", 201), ('"7"', 201), ('"6", "7"', 201), ('"6"', 412), ("7", 412)],
)
async def test_if_match(
    http: httpx.AsyncClient, sign_in: SignIn, header: str | None, status: int
) -> None:
    headers = await sign_in("technician") | ({"If-Match": header} if header else {})
    answer = await http.post("/api/v1/revised", headers=headers)
    assert answer.status_code == status
    if status == 412:
        assert answer.json()["code"] == "revision-mismatch"
    else:
        assert answer.headers["etag"] == '"8"'
