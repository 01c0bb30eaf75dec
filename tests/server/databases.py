"""Databases for the server's tests: migrated once, then handed out empty, test after test.

SQLite: the migrated file is copied for each test.  PostgreSQL: one database of this test process is
emptied before each test, its sequences begin again, and whoever is still connected is cut off, so a
test finds what a fresh database would give it.  The migrations themselves have tests of their own,
which take databases that nobody has touched.

A `Database` is kept from test to test, without its connections: it knows the statements that it has
seen, and to compile them anew is much of what a test would cost.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

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
        """Make a database at `path`, whatever was there before, and return its address."""
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        shutil.copyfile(self._file, path)
        return sqlite_url(path)

    def empty(self) -> str:
        """Make the one that test follows test in, and return its address."""
        return self.copy_to(self._file.with_name("farhand.db"))


class PostgresTemplate:
    """One migrated database, emptied on demand over one connection: a new one knows no table yet.

    A context manager, which closes that connection.
    """

    def __init__(self, server: PostgresServer) -> None:
        self.url = server.create_database("shared")
        self._address = {
            "host": "127.0.0.1",
            "port": server.port,
            "user": "postgres",
            "database": self.url.rpartition("/")[2],
        }
        _in_thread(_migrate(self.url))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._connection = self._do(asyncpg.connect(**self._address))
        self._script = self._do(self._write_script())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_S)

    async def _write_script(self) -> str:
        sequences = await self._connection.fetch("SELECT sequencename FROM pg_sequences")
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

    def empty(self) -> str:
        """Empty the database and return its address."""
        self._do(self._connection.execute(self._script))
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
