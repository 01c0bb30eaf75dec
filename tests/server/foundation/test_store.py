"""The store on both databases: migrations, transactions, errors."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, select, text

from farhand_protocol.errors import FarhandError
from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.revisions import newest_revision
from farhand_server.store.schema import metadata, tenants


def _row(name: str) -> dict[str, str]:
    return {"id": name, "name": name, "created_at": "2026-11-22T12:00:00.000000Z"}


async def _count(db: Database) -> int:
    async with db.read() as c:
        return int(await c.scalar(select(func.count()).select_from(tenants)) or 0)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_migrating_an_empty_database_gives_the_schema(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        # What each database finds the words of tickets by is its own: no table of the schema.
        words = ("ticket_search_", "ix_ticket_search_")
        return kind == "unique_constraint" or not (name or "").startswith(words)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"include_name": ours})
        return list(compare_metadata(context, metadata))

    if store == "sqlite":
        url = sqlite_url(tmp_path / "fresh.db")
    else:
        url = request.getfixturevalue("postgres_url")
    db = Database(url)
    try:
        assert await db.revision() is None
        assert await db.migrate() == newest_revision()
        async with db.write() as c:
            assert await c.run_sync(differences) == []
        assert await db.revision() == newest_revision()
        await db.require_current()
    finally:
        await db.close()


def test_the_last_numbered_file_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "farhand_server:store/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()


async def test_migrating_again_changes_nothing(db: Database) -> None:
    async with db.write() as c:
        await c.execute(insert(tenants).values(_row("n-1")))
    assert await db.migrate() == newest_revision()
    assert await _count(db) == 1


async def test_an_unmigrated_database_is_told_apart(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "empty.db"))
    try:
        with pytest.raises(FarhandError, match="store-schema"):
            await database.require_current()
    finally:
        await database.close()


async def test_an_exception_rolls_everything_back(db: Database) -> None:
    async def fail() -> None:
        async with db.write() as c:
            await c.execute(insert(tenants).values(_row("n-1")))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await _count(db) == 0


async def test_a_cancelled_write_leaves_nothing_and_blocks_nobody(db: Database) -> None:
    entered = asyncio.Event()

    async def write_and_wait() -> None:
        async with db.write() as c:
            await c.execute(insert(tenants).values(_row("n-1")))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_wait())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with db.write() as c:
        await c.execute(insert(tenants).values(_row("n-2")))
    assert await _count(db) == 1


async def test_readers_see_committed_rows_while_a_writer_works(db: Database) -> None:
    async with db.write() as c:
        await c.execute(insert(tenants).values(_row("n-1")))
        assert await _count(db) == 0
    assert await _count(db) == 1


async def test_reading_transactions_cannot_write(db: Database) -> None:
    with pytest.raises(FarhandError, match="store-failed"):
        async with db.read() as c:
            await c.execute(insert(tenants).values(_row("n-1")))
    assert await _count(db) == 0


async def test_concurrent_writers_all_land(db: Database) -> None:
    async def write(number: int) -> None:
        async with db.write() as c:
            await c.execute(insert(tenants).values(_row(f"n-{number}")))

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(write(number))
    assert await _count(db) == 30


async def _fill(db: Database) -> None:
    async with db.write() as c:
        for number in range(2000):
            await c.execute(insert(tenants).values(_row(f"n-{number:0200d}")))


async def test_a_full_disk_is_store_full_and_writes_nothing(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "full.db"))
    try:
        await database.migrate()
        async with database.write() as c:
            pages = await c.scalar(text("PRAGMA page_count"))
            # SQLite then answers exactly as on a full disk.
            await c.execute(text(f"PRAGMA max_page_count={pages}"))
        with pytest.raises(FarhandError, match="store-full"):
            await _fill(database)
        assert await _count(database) == 0
    finally:
        await database.close()


async def test_a_locked_database_is_store_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_server.store.database._BUSY_TIMEOUT_S", 0.01)
    path = tmp_path / "locked.db"
    database = Database(sqlite_url(path))
    await database.migrate()
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(FarhandError, match="store-busy"):
            async with database.write() as c:
                await c.execute(insert(tenants).values(_row("n-1")))
        other.execute("ROLLBACK")
        async with database.write() as c:
            await c.execute(insert(tenants).values(_row("n-1")))
    finally:
        other.close()
        await database.close()


async def test_an_unreachable_database_says_so(tmp_path: Path) -> None:
    missing = Database(sqlite_url(tmp_path / "no" / "such" / "folder.db"))
    refused = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    for database in (missing, refused):
        with pytest.raises(FarhandError, match="store-unreachable"):
            await database.ping()
        await database.close()


async def test_a_callers_own_timeout_stays_one(db: Database) -> None:
    async def wait_inside() -> None:
        async with db.write() as c, asyncio.timeout(0):
            await c.execute(insert(tenants).values(_row("n-1")))
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait_inside()
    assert await _count(db) == 0


@pytest.mark.parametrize("url", ["", "mysql://x/y", "not an address", "sqlite+aiosqlite://"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(FarhandError, match="database-url"):
        Database(url)
