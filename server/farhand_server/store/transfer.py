"""Rows from one database into another: for backups, restores, and moving off SQLite.

The portable form is one line of JSON per row, `{"t": TABLE, "r": {COLUMN: VALUE}}`, bytes as
base64, tables in the order of their references.  It holds no SQL and reads the same on both
databases.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import LargeBinary, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.schema import metadata, tenants

__all__ = ["adopt", "dump_rows", "load_rows"]

_log = logging.getLogger(__name__)
_BATCH = 500


async def dump_rows(c: AsyncConnection) -> AsyncIterator[bytes]:
    """Yield every row as a line, out of one consistent reading transaction."""
    for table in metadata.sorted_tables:
        order = list(table.primary_key.columns)
        result = await c.stream(select(table).order_by(*order))
        async for row in result:
            values = {str(name): value for name, value in row._mapping.items()}
            yield msgspec.json.encode({"t": str(table.name), "r": values}) + b"\n"


async def load_rows(c: AsyncConnection, lines: Iterable[bytes]) -> int:
    """Insert dumped rows into an empty database, inside a write transaction.

    Returns: how many rows.

    Raises:
        FarhandError: `backup-malformed`.
    """
    count = 0
    batch: list[dict[str, Any]] = []
    current = ""
    for line in lines:
        name, row = _parse(line)
        if batch and (name != current or len(batch) >= _BATCH):
            await c.execute(insert(metadata.tables[current]), batch)
            batch = []
        current = name
        batch.append(row)
        count += 1
    if batch:
        await c.execute(insert(metadata.tables[current]), batch)
    await _reset_numbers(c)
    return count


def _parse(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        table = metadata.tables[record["t"]]
        row: dict[str, Any] = record["r"]
        for column in table.columns:
            value = row[column.name]
            if isinstance(column.type, LargeBinary) and value is not None:
                row[column.name] = base64.b64decode(value, validate=True)
        if row.keys() != set(table.columns.keys()):
            raise KeyError("unknown column")
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FarhandError("backup-malformed", "a row of the backup cannot be read") from error
    return table.name, row


async def _reset_numbers(c: AsyncConnection) -> None:
    """Let PostgreSQL's counters go on after the highest number that was inserted."""
    if c.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        highest = await c.scalar(select(func.max(column)))
        if highest is not None:
            await c.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"),
                {"table": table.name, "column": column.name, "highest": highest},
            )


async def adopt(db: Database, own: Path) -> None:
    """Fill another, empty database from the home's own SQLite database, once.

    Args:
        db: the database in use, migrated.
        own: the home's SQLite file.

    This is how a relay moves beyond one machine: `run --database postgresql+asyncpg://...` on the
    home that `init` made.  A database that holds an organisation is left alone.
    """
    if db.url.database == str(own) or not own.exists():
        return
    source = Database(sqlite_url(own))
    try:
        async with db.write() as c:
            if db.dialect == "postgresql":
                # Nodes that start together must not both copy.
                await c.execute(text("LOCK TABLE tenants IN EXCLUSIVE MODE"))
            if await c.scalar(select(func.count()).select_from(tenants)):
                return
            await source.require_current()
            async with source.read() as reading:
                lines = [line async for line in dump_rows(reading)]
            count = await load_rows(c, lines)
        _log.info("moved %d rows from %s into the named database", count, own.name)
    finally:
        await source.close()
