"""Databases for the server's tests: migrated once, then handed out empty, test after test.

SQLite: the migrated file is copied for each test.  PostgreSQL: one database of this test process is
emptied before each test, its sequences begin again, and whoever is still connected is cut off, so a
test finds what a fresh database would give it.  The migrations themselves have tests of their own,
which take databases that nobody has touched.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import asyncpg

from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.schema import metadata
from tests.support.servers import PostgresServer

_WAIT_S = 60


async def _migrate(url: str) -> None:
    database = Database(url)
    try:
        await database.migrate()
    finally:
        await database.close()


class SqliteTemplate:
    """A migrated, empty file to copy."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "template.db"
        _in_thread(_migrate(sqlite_url(self._file)))

    def copy_to(self, path: Path) -> str:
        """Make a database at `path` and return its address."""
        shutil.copyfile(self._file, path)
        return sqlite_url(path)


class PostgresTemplate:
    """One migrated database, emptied on demand."""

    def __init__(self, server: PostgresServer) -> None:
        self.url = server.create_database("shared")
        self._address = {
            "host": "127.0.0.1",
            "port": server.port,
            "user": "postgres",
            "database": self.url.rpartition("/")[2],
        }
        _in_thread(_migrate(self.url))
        self._script = _in_thread(self._write_script())

    async def _write_script(self) -> str:
        connection = await asyncpg.connect(**self._address)
        try:
            sequences = await connection.fetch("SELECT sequencename FROM pg_sequences")
        finally:
            await connection.close()
        return ";".join(
            [
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
                # Every table is emptied, so no foreign key needs to be looked after.
                "SET session_replication_role = replica",
                *(f'DELETE FROM "{table.name}"' for table in metadata.sorted_tables),
                *(f"SELECT setval('\"{row['sequencename']}\"', 1, false)" for row in sequences),
            ]
        )

    async def _empty(self) -> None:
        connection = await asyncpg.connect(**self._address)
        try:
            await connection.execute(self._script)
        finally:
            await connection.close()

    def empty(self) -> str:
        """Empty the database and return its address."""
        _in_thread(self._empty())
        return self.url


def _in_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own, away from the one that the test runner keeps."""
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((asyncio.run(work), None))
        except BaseException as error:
            answers.put((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(_WAIT_S)
    answer, error = answers.get(timeout=1)
    if error is not None:
        raise error
    return answer
