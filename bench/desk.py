"""What a large desk costs those who work at it: a page of a queue, a search, one ticket.

100,000 tickets with 1,000,000 messages in five languages (`bench.desk_load`), on SQLite and on
PostgreSQL.  Every question goes through the HTTP application of the relay, sign-in and JSON too,
but no socket.  The baseline is one title read by its primary key, through the same database.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert, select

from bench.desk_load import QUEUES, Desk, load_desk, make_desk
from bench.report import Figure, percentile
from farhand_protocol.keys import SeedSigner
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import assemble, build_app
from farhand_server.bus.local import LocalBus
from farhand_server.clock import SystemClock
from farhand_server.config import Settings
from farhand_server.relay import Relay
from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.schema import tenants, tickets
from farhand_server.tasks import Tasks
from tests.support.servers import PostgresServer

__all__ = ["run"]

_TENANT = "n-benchbenchbench"
_MOST_MS = 100.0

Ask = Callable[[], Awaitable[None]]


def run(*, quick: bool) -> list[Figure]:
    """Load the desk into both stores and ask each of them."""
    count = 2_000 if quick else 100_000
    rounds = 20 if quick else 200
    start = time.perf_counter()
    desk = make_desk(count)
    _say(f"made {count} tickets in {time.perf_counter() - start:.0f} s")
    figures: list[Figure] = []
    folder = Path(tempfile.mkdtemp(prefix="fhbench-"))
    try:
        url = sqlite_url(folder / "farhand.db")
        figures += asyncio.run(_measure("SQLite", url, desk, rounds))
    finally:
        shutil.rmtree(folder)
    with PostgresServer() as server:
        url = server.create_database()
        figures += asyncio.run(_measure("PostgreSQL", url, desk, rounds))
    return figures


def _say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


@asynccontextmanager
async def _relay(url: str) -> AsyncIterator[Relay]:
    db, tasks = Database(url), Tasks()
    bus = LocalBus(tasks)
    try:
        await db.migrate()
        relay = assemble(
            Settings(home="/nonexistent", tenant=_TENANT, org="Bench", url="http://127.0.0.1:8443"),
            db=db,
            bus=bus,
            signer=SeedSigner(bytes(32)),
            tasks=tasks,
            clock=SystemClock(),
        )
        async with db.write() as c:
            row = {"id": _TENANT, "name": "Bench", "created_at": relay.stamp()}
            await c.execute(insert(tenants).values(row))
        yield relay
    finally:
        await tasks.aclose()
        await bus.close()
        await db.close()


async def _sign_in(relay: Relay, name: str, role: Any) -> dict[str, str]:
    async with relay.db.write() as c:
        directory = relay.service(make_directory)
        account = await directory.add(c, name=name, role=role, actor="bench")
        token = await relay.service(make_tokens).issue(c, account.id)
    return {"Authorization": f"Bearer {token.text}"}


async def _measure(store: str, url: str, desk: Desk, rounds: int) -> list[Figure]:
    chance = random.Random(7)
    async with _relay(url) as relay:
        start = time.perf_counter()
        await load_desk(relay, desk)
        took_s = time.perf_counter() - start
        _say(f"{store}: loaded in {took_s:.0f} s")
        headers = await _sign_in(relay, "ann", "technician")
        hers = await _sign_in(relay, desk.requesters[0], "requester")
        app: Any = build_app(relay)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://relay/api/v1", headers=headers
        ) as web:
            row_ms = await _times(lambda: _row(relay, chance.randint(1, desk.count)), rounds)
            taken: dict[str, list[float]] = {}
            for name, (path, params) in _questions(desk, chance).items():
                who = hers if name.startswith("search by a requester") else headers
                each = await _times(
                    lambda p=path, q=params, w=who: _ask(web, p(), q(), w),  # type: ignore[misc]
                    rounds if "page" in name or "view" in name else max(rounds // 5, 5),
                )
                _say(f"{store}: {name}: p95 {percentile(each, 0.95):.1f} ms")
                kind = next(one for one in ("page", "search", "view") if one in name)
                taken.setdefault(kind, []).extend(each)
    baseline = percentile(row_ms, 0.95)
    beside = "one ticket by its key, p95"
    figures = []
    for kind, words in (
        ("page", "a page of a queue, p95"),
        ("search", "a search, p95"),
        ("view", "one ticket with its thread, p95"),
    ):
        value = percentile(taken[kind], 0.95)
        figures.append(Figure(f"{store}: {words}", value, "ms", at_most=_MOST_MS))
        figures.append(Figure(f"{store}: {words}", value, "ms", beside, baseline))
    return [*figures, Figure(f"{store}: loading", took_s, "s")]


async def _times(ask: Ask, rounds: int) -> list[float]:
    await ask()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


# What is asked.

_Path = Callable[[], str]
_Params = Callable[[], dict[str, str]]


def _questions(desk: Desk, chance: random.Random) -> dict[str, tuple[_Path, _Params]]:
    def search(words: Callable[[], str], **more: str) -> tuple[_Path, _Params]:
        return (lambda: "/ticket-search"), (lambda: {"q": words(), **more})

    def page(**params: Callable[[], str]) -> tuple[_Path, _Params]:
        return (lambda: "/tickets"), (lambda: {name: one() for name, one in params.items()})

    def queue() -> str:
        return chance.choice(QUEUES)

    def word(least: int, most: int) -> str:
        return desk.words[chance.randrange(least, min(most, len(desk.words)))]

    return {
        "page of a queue": page(queue=queue),
        "page of what is open in a queue": page(queue=queue, state=lambda: "open"),
        "page of one's own": page(owner=lambda: chance.choice(desk.owners)),
        "page of a small queue": page(queue=lambda: "tiny"),
        "page by priority": ((lambda: "/ticket-list"), (lambda: {"sort": "priority"})),
        "search for a frequent word": search(lambda: word(0, 20)),
        "search for two frequent words": search(lambda: f"{word(0, 20)} {word(0, 20)}"),
        "search for a rare word": search(lambda: word(2_000, 20_000)),
        "search for a part of a word": search(lambda: word(100, 2_000)[2:]),
        "search for a beginning": search(lambda: word(100, 2_000)[:5] + "*"),
        "search for a serial number": search(lambda: f"{chance.randint(1, desk.count):06d}"),
        "search for what is open": search(lambda: word(0, 100), state="open"),
        "search for nothing": search(lambda: f"{word(0, 20)} zzzznotthere"),
        "search by a requester": search(lambda: word(0, 20)),
        "view of a ticket": ((lambda: f"/tickets/{chance.randint(1, desk.count - 1) | 1}"), dict),
    }  # fmt: skip


async def _ask(
    web: httpx.AsyncClient, path: str, params: dict[str, str], headers: dict[str, str]
) -> None:
    answer = await web.get(path, params=params, headers=headers)
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.url}: {answer.status_code} {answer.text[:200]}")


async def _row(relay: Relay, number: int) -> None:
    async with relay.db.read() as c:
        query = select(tickets.c.title).where(
            tickets.c.tenant == _TENANT, tickets.c.number == number
        )
        assert await c.scalar(query) is not None
