"""Relays for tests: each on SQLite with the in-process bus, and on PostgreSQL with NATS.

`relay_parts` is parametrised with both pairs, so whatever uses it runs twice; in a module marked
`either_store` once, about half of its tests on each: what those are about (who may, what is taken
and what is refused) is decided above the store, and statements of its own the module has few.
Search, paging, locks, races, migrations and sums are for both.  `relay` is a whole
wiring with a tenant, a clock that stands still until told, and no port; `web` an HTTP client
against its application.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from farhand_protocol.keys import SeedSigner
from farhand_server.accounts.authorisation import Role
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import Relay, assemble
from farhand_server.bus.bus import Bus
from farhand_server.config import Settings
from farhand_server.store.database import Database
from farhand_server.store.schema import tenants
from farhand_server.tasks import Tasks
from tests.server.databases import PostgresTemplate, SqliteTemplate
from tests.server.relays import TENANT, ManualClock, RelayParts, SignIn, serving
from tests.support.servers import PostgresServer

_PAIRS = ("sqlite", "postgresql")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test of an `either_store` module one pair, by its name: always the same one."""
    test = metafunc.definition
    if "relay_parts" not in metafunc.fixturenames or not test.get_closest_marker("either_store"):
        return
    if not any("relay_parts" in mark.args[0] for mark in test.iter_markers("parametrize")):
        pair = _PAIRS[zlib.crc32(test.name.encode()) % len(_PAIRS)]
        # As if it stood above the test: what pytest reads next tells that from the fixture's own.
        test.add_marker(pytest.mark.parametrize("relay_parts", [pair], indirect=True))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    return SqliteTemplate(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[PostgresTemplate]:
    with PostgresTemplate(postgres_server) as template:
        yield template


@pytest.fixture(scope="session")
def known_databases() -> dict[str, Database]:
    """By address, each used by one test after the other."""
    return {}


@pytest.fixture(params=_PAIRS)
def relay_parts(request: pytest.FixtureRequest) -> RelayParts:
    """The pair to run on, its database migrated and empty."""
    if request.param == "sqlite":
        return RelayParts("sqlite", request.getfixturevalue("sqlite_template").empty(), "")
    return RelayParts(
        "postgresql",
        request.getfixturevalue("postgres_template").empty(),
        request.getfixturevalue("nats_url"),
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def db(
    relay_parts: RelayParts, known_databases: dict[str, Database]
) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    url = relay_parts.database_url
    database = known_databases.get(url) or Database(url)
    known_databases[url] = database
    yield database
    await database.close()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """Background tasks; a failed one fails the test."""
    owned = Tasks()
    yield owned
    await owned.aclose()
    assert owned.failures == 0, "a background task failed; the log says which"


@pytest.fixture
async def bus(relay_parts: RelayParts, tasks: Tasks) -> AsyncIterator[Bus]:
    opened = await relay_parts.open_bus(tasks)
    yield opened
    await opened.close()


@pytest.fixture
async def relay(db: Database, bus: Bus, tasks: Tasks, clock: ManualClock, tmp_path: Path) -> Relay:
    """A wired relay with its tenant in the database."""
    settings = Settings(
        home=str(tmp_path), tenant=TENANT, org="Example Ltd", url="http://127.0.0.1:8443"
    )
    wired = assemble(
        settings, db=db, bus=bus, signer=SeedSigner(b"\x07" * 32), tasks=tasks, clock=clock
    )
    async with db.write() as c:
        await c.execute(
            insert(tenants).values(id=TENANT, name="Example Ltd", created_at=wired.stamp())
        )
    return wired


@pytest.fixture
async def web(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client against the relay's application, without a socket."""
    with serving(relay) as app:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
            yield client


@pytest.fixture
def sign_in(relay: Relay) -> SignIn:
    """Make an account (once per name) and return the headers of a fresh API token.

    `await sign_in("admin")` or `await sign_in("technician", name="ann", scopes="ticket.*")`.
    """

    async def make(role: Role, *, name: str | None = None, scopes: str = "*") -> dict[str, str]:
        directory = relay.service(make_directory)
        async with relay.db.write() as c:
            account = await directory.find(c, name or role)
            if account is None:
                account = await directory.add(c, name=name or role, role=role, actor="test")
            token = await relay.service(make_tokens).issue(c, account.id, scopes=scopes)
        return {"Authorization": f"Bearer {token.text}"}

    return make
