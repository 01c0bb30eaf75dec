"""The relay's database: SQLite in the home, or PostgreSQL beyond one machine.

What it is: `Database(url)` with two ways in, `read()` and `write()`, each one transaction; and
the translation of the drivers' errors into stable codes.  It is not a query layer: callers write
SQLAlchemy Core against `store.schema`.

SQLite runs in WAL mode with one writer connection (`BEGIN IMMEDIATE`, synchronous=FULL: what is
acknowledged survives a power cut) behind one lock, and a few reading connections that cannot
write.  PostgreSQL uses plain READ COMMITTED transactions.  Leaving `write()` with an exception
rolls everything back, so nothing is ever half written.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.store.revisions import current_revision, newest_revision, upgrade

__all__ = ["MIN_FREE_BYTES", "Database", "sqlite_url"]

# With less than this on SQLite's disk the relay is not well, though small writes may still fit.
MIN_FREE_BYTES = 1024 * 1024

_BUSY_TIMEOUT_S = 10.0
_READERS = 4
_JOIN_TIMEOUT_S = 5.0
_POOL_SIZE = 10
# Any fixed number: nodes that start together migrate one after the other.
_MIGRATION_LOCK = 0x46617268

_FULL_STATES = {"53100", "53000"}  # PostgreSQL: disk_full, insufficient_resources
_BUSY_STATES = {"40001", "40P01", "55P03", "53300", "57014"}


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


class Database:
    """One database and its connections.

    Args:
        url: `sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://...`.

    Raises:
        UsageError: `database-url` for anything else.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise UsageError("database-url", "the database address cannot be read") from error
        # Whether the last write found no space; `ping` then tries whether there is some again.
        self._was_full = False
        # The threads in which aiosqlite works; see `close`.
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        if self.url.drivername == "sqlite+aiosqlite" and self.url.database:
            self.dialect = "sqlite"
            self._reader = self._sqlite_engine(writing=False)
            self._writer = self._sqlite_engine(writing=True)
            self._write_lock: asyncio.Lock | None = asyncio.Lock()
        elif self.url.drivername == "postgresql+asyncpg":
            self.dialect = "postgresql"
            self._reader = self._postgresql_engine()
            self._writer = self._reader
            self._write_lock = None
        else:
            raise UsageError(
                "database-url",
                "the database address names a database that the relay does not speak",
                hint="use postgresql+asyncpg://USER@HOST/NAME, or leave it out for SQLite",
            )

    def _postgresql_engine(self) -> AsyncEngine:
        try:
            return create_async_engine(
                self.url, pool_size=_POOL_SIZE, max_overflow=_POOL_SIZE, pool_pre_ping=True
            )
        except ModuleNotFoundError as error:
            raise UsageError(
                "extra-missing",
                "PostgreSQL needs the package asyncpg",
                hint="pip install 'farhand-server[postgresql]'",
            ) from error

    def _sqlite_engine(self, *, writing: bool) -> AsyncEngine:
        def open_connection() -> Any:
            connection = aiosqlite.connect(
                str(self.url.database),
                timeout=_BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            # Known from the start, because a connection that fails has a thread too.
            self._threads.add(connection._thread)
            return connection

        engine = create_async_engine(
            self.url,
            pool_size=1 if writing else _READERS,
            max_overflow=0,
            async_creator=open_connection,
        )

        def connected(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            if not writing:
                cursor.execute("PRAGMA query_only=ON")
            cursor.close()

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

        event.listen(engine.sync_engine, "connect", connected)
        event.listen(engine.sync_engine, "begin", begin)
        return engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a consistent reading transaction.

        Raises:
            FarhandError: `store-busy`, `store-full`, `store-unreachable`, `store-failed`.
        """
        with _translated():
            async with contextlib.AsyncExitStack() as stack:
                with _connecting():
                    connection = await stack.enter_async_context(self._reader.connect())
                if self.dialect == "postgresql":
                    await connection.execute(
                        text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    )
                yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a writing transaction: committed on a clean exit, else rolled back.

        Never open one inside another: on SQLite that would wait for itself.  Do no network wait
        inside it.

        Raises:
            FarhandError: as `read`; nothing was written then.
            sqlalchemy.exc.IntegrityError: a constraint was broken; the caller knows what it means.
        """
        with self._noting_space(), _translated():
            async with contextlib.AsyncExitStack() as stack:
                if self._write_lock is not None:
                    await stack.enter_async_context(self._write_lock)
                with _connecting():
                    connection = await stack.enter_async_context(self._writer.begin())
                yield connection

    async def migrate(self) -> str:
        """Bring the schema to the newest revision and return that revision.

        Safe to call when it already is, and from several nodes at once.
        """
        async with self.write() as connection:
            if self.dialect == "postgresql":
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK}
                )
            await connection.run_sync(upgrade)
        return newest_revision()

    async def revision(self) -> str | None:
        """Return the revision that the database is at; None when it is empty."""
        async with self.read() as connection:
            return await connection.run_sync(current_revision)

    async def require_current(self) -> None:
        """Check that the schema is the newest.

        Raises:
            FarhandError: `store-schema` when it is not.
        """
        found = await self.revision()
        if found != newest_revision():
            raise FarhandError(
                "store-schema",
                f"the database is at revision {found or 'none'}, not {newest_revision()}",
                hint="farhand-server migrate --home DIR",
            )

    async def ping(self) -> None:
        """Check that the database answers and has room to write; raises as `write`.

        A full disk can still be read.  SQLite's disk is looked at; and once a write has found no
        space, here or on PostgreSQL's, one is tried until it succeeds.
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))
        if self.dialect == "sqlite":
            await asyncio.to_thread(self._require_space)
        if self._was_full:
            async with self.write() as connection:
                await connection.execute(text("UPDATE tenants SET name = name"))
            self._was_full = False

    def _require_space(self) -> None:
        free = shutil.disk_usage(Path(str(self.url.database)).parent).free
        if free < MIN_FREE_BYTES:
            raise _full(f"{free} bytes free")

    @contextlib.contextmanager
    def _noting_space(self) -> Iterator[None]:
        try:
            yield
        except FarhandError as error:
            # A write that succeeds proves nothing: it may have changed nothing.
            self._was_full = self._was_full or error.code == "store-full"
            raise

    async def close(self) -> None:
        """Close all connections.  Afterwards it may be used again, on any loop."""
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()
        # A connection that was slow to say goodbye is cut, and lets its socket go a turn later.
        await asyncio.sleep(0)
        # A statement that was cancelled goes on in its thread, which then reports to the loop; the
        # loop must still be there.
        for thread in [one for one in self._threads if one.ident is not None]:
            await asyncio.to_thread(thread.join, _JOIN_TIMEOUT_S)
        if self._write_lock is not None:
            self._write_lock = asyncio.Lock()  # a lock belongs to the loop that waited for it
        self._was_full = False


@contextlib.contextmanager
def _translated() -> Any:
    """Turn the drivers' errors into ours; constraint errors pass."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise _store_error(error) from error
    except PoolTimeoutError as error:
        raise FarhandError("store-busy", "all database connections are in use") from error


@contextlib.contextmanager
def _connecting() -> Any:
    """Turn what asyncpg raises bare while it connects into `store-unreachable`.

    Only there: a TimeoutError or another OSError of the caller's own must stay what it is.
    """
    try:
        yield
    except OSError as error:
        raise FarhandError(
            "store-unreachable", "the database cannot be reached", detail=str(error)
        ) from error


def _store_error(error: DBAPIError) -> FarhandError:
    cause: BaseException | None = error.orig
    while cause is not None and cause.__cause__ is not None and not _known(cause):
        cause = cause.__cause__
    name = getattr(cause, "sqlite_errorname", "") or ""
    state = str(getattr(cause, "sqlstate", "") or "")
    detail = f"{type(cause).__name__}: {cause}"
    if name.startswith("SQLITE_FULL") or state in _FULL_STATES:
        return _full(detail)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or state in _BUSY_STATES:
        return FarhandError(
            "store-busy",
            "the database is busy; nothing was written",
            hint="try again",
            detail=detail,
        )
    if name.startswith("SQLITE_CANTOPEN") or state[:2] in {"08", "57"}:
        return FarhandError("store-unreachable", "the database cannot be reached", detail=detail)
    return FarhandError("store-failed", "the database refused the operation", detail=detail)


def _full(detail: str) -> FarhandError:
    return FarhandError(
        "store-full",
        "the database's disk is full; nothing was written",
        hint="free some space on the relay's disk",
        detail=detail,
    )


def _known(cause: BaseException) -> bool:
    return isinstance(cause, sqlite3.Error) or bool(getattr(cause, "sqlstate", None))
