"""What a large fleet costs those who look at it: search, one page of the list, what changed.

10,000 devices with 3,000 packages each out of 20,000 (`bench.fleet_load`), on SQLite and on
PostgreSQL.  Every question goes through the relay's HTTP application, sign-in and JSON included,
but no socket.  The baseline is one row read by its primary key, through the relay's database, too.
"""

from __future__ import annotations

import asyncio
import os
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
from sqlalchemy import insert, select, text

from bench.fleet_load import Fleet, Size, load, make_fleet
from bench.report import Figure, percentile
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import SectionReport, encode_section, section_hash
from farhand_protocol.keys import SeedSigner
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import assemble, build_app
from farhand_server.bus.local import LocalBus
from farhand_server.clock import SystemClock
from farhand_server.config import Settings
from farhand_server.fleet.sections import store_sections
from farhand_server.relay import Relay
from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.schema import devices, tenants
from farhand_server.tasks import Tasks
from tests.support.servers import PostgresServer

__all__ = ["run"]

_TENANT = "n-benchbenchbench"
_MOST_MS = 100.0

Ask = Callable[[], Awaitable[None]]


def run(*, quick: bool) -> list[Figure]:
    """Load the fleet into both stores and ask each of them."""
    size = Size(200, 300, 2_000) if quick else Size(10_000, 3_000, 20_000)
    rounds = 30 if quick else 300
    start = time.perf_counter()
    fleet = make_fleet(size)
    _say(f"made {size.devices} devices in {time.perf_counter() - start:.0f} s")
    figures: list[Figure] = []
    folder = Path(tempfile.mkdtemp(prefix="fhbench-"))
    try:
        url = sqlite_url(folder / "farhand.db")
        figures += asyncio.run(_measure("SQLite", url, fleet, rounds))
    finally:
        shutil.rmtree(folder)
    with PostgresServer() as server:
        url = server.create_database()
        figures += asyncio.run(_measure("PostgreSQL", url, fleet, rounds))
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


async def _sign_in(relay: Relay) -> dict[str, str]:
    async with relay.db.write() as c:
        directory = relay.service(make_directory)
        account = await directory.add(c, name="ann", role="technician", actor="bench")
        token = await relay.service(make_tokens).issue(c, account.id)
    return {"Authorization": f"Bearer {token.text}"}


async def _measure(store: str, url: str, fleet: Fleet, rounds: int) -> list[Figure]:
    chance = random.Random(7)
    async with _relay(url) as relay:
        start = time.perf_counter()
        await load(relay, fleet)
        took_s = time.perf_counter() - start
        size_mb = await _size_mb(relay)
        _say(f"{store}: loaded in {took_s:.0f} s, {size_mb:.0f} MB")
        headers = await _sign_in(relay)
        app: Any = build_app(relay)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://relay/api/v1", headers=headers
        ) as web:
            row_ms = await _times(lambda: _read_row(relay, chance.choice(fleet.ids)), rounds)
            search_ms: list[float] = []
            for name, query in _queries(fleet, chance).items():
                each = await _times(lambda q=query: _list(web, q()), max(rounds // 6, 5))  # type: ignore[misc]
                _say(f"{store}: {name}: p95 {percentile(each, 0.95):.1f} ms")
                search_ms += each
            cursors = await _cursors(web)
            page_ms = await _times(lambda: _page(web, chance.choice(cursors)), rounds)
            diff_ms = await _times(lambda: _diff(web, chance.choice(fleet.ids)), rounds)
        report_ms = await _reports(relay, fleet, chance, 3 if rounds < 100 else 20)
    baseline = percentile(row_ms, 0.95)
    name = "one row by its key, p95"
    return [
        Figure(f"{store}: search, p95", percentile(search_ms, 0.95), "ms", at_most=_MOST_MS),
        Figure(
            f"{store}: page of the list, p95", percentile(page_ms, 0.95), "ms", at_most=_MOST_MS
        ),
        Figure(f"{store}: diff of 30 days, p95", percentile(diff_ms, 0.95), "ms", at_most=_MOST_MS),
        Figure(f"{store}: search, p95", percentile(search_ms, 0.95), "ms", name, baseline),
        Figure(f"{store}: page of the list, p95", percentile(page_ms, 0.95), "ms", name, baseline),
        Figure(f"{store}: diff of 30 days, p95", percentile(diff_ms, 0.95), "ms", name, baseline),
        Figure(f"{store}: a report that upgrades 20 packages", report_ms, "ms"),
        Figure(f"{store}: the store's size", size_mb, "MB"),
        Figure(f"{store}: loading", took_s, "s"),
    ]


async def _times(ask: Ask, rounds: int) -> list[float]:
    await ask()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


async def _size_mb(relay: Relay) -> float:
    if relay.db.dialect == "sqlite":
        return os.path.getsize(str(relay.db.url.database)) / 1e6
    async with relay.db.read() as c:
        return float(await c.scalar(text("SELECT pg_database_size(current_database())"))) / 1e6


# What is asked.


def _queries(fleet: Fleet, chance: random.Random) -> dict[str, Callable[[], str]]:
    def title() -> str:
        return chance.choice(fleet.titles)

    return {
        "software": lambda: f"software:{title()}",
        "software by version": lambda: f'software:"{title()}<3.0"',
        "all at once": lambda: f'os:debian software:"{title()}>=2" check:disk.space=critical',
        "one or the other": lambda: (
            f"(tag:tag-{chance.randrange(50)} OR group:group-3) -software:{title()}"
        ),
        "a thousand titles": lambda: f"software:lib{chance.randrange(10)}1*",
        "checks": lambda: "check:*=critical group:group-4",
        "a word": lambda: f"pc-{chance.randrange(100):02d}",
        "nothing": lambda: f"software:{title()} software:no-such-thing",
    }


async def _list(web: httpx.AsyncClient, query: str) -> None:
    _fine(await web.get("/devices", params={"q": query}))


async def _page(web: httpx.AsyncClient, cursor: str) -> None:
    _fine(await web.get("/devices", params={"cursor": cursor, "limit": "100"}))


async def _diff(web: httpx.AsyncClient, device: str) -> None:
    _fine(await web.get(f"/devices/{device}/diff", params={"since": "30d", "limit": "100"}))


def _fine(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.url}: {answer.status_code} {answer.text[:200]}")


async def _cursors(web: httpx.AsyncClient) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        params = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        cursor = (await web.get("/devices", params=params)).json()["next"]
        if cursor is None:
            return found
        found.append(cursor)


async def _read_row(relay: Relay, device: str) -> None:
    async with relay.db.read() as c:
        query = select(devices.c.name).where(devices.c.tenant == _TENANT, devices.c.id == device)
        assert await c.scalar(query) is not None


async def _reports(relay: Relay, fleet: Fleet, chance: random.Random, rounds: int) -> float:
    """Return what storing a device's report costs that upgrades 20 of its packages, at best."""
    best = float("inf")
    count = fleet.size.packages
    for _ in range(rounds):
        device = chance.choice(fleet.ids)
        base = chance.sample(range(len(fleet.titles)), min(count, len(fleet.titles)) - 20)
        for step in range(2):
            items = [
                {
                    "source": "dpkg",
                    "name": fleet.titles[title],
                    "version": fleet.versions[4 * title + (step if place < 20 else 0)][1],
                    "arch": "amd64",
                }
                for place, title in enumerate(base)
            ]
            report = SectionReport(
                name="software",
                status="ok",
                reason="",
                items=items,
                hash=section_hash("ok", items),
                collected_at=format_instant(relay.now().replace(microsecond=0)),
                duration_ms=1,
            )
            start = time.perf_counter()
            async with relay.db.write() as c:
                await store_sections(
                    c,
                    tenant=_TENANT,
                    device=device,
                    reports=[(report, encode_section(report))],
                    now=relay.now(),
                )
            if step:
                best = min(best, (time.perf_counter() - start) * 1000)
    return best
