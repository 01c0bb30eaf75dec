"""Pages and searches of tickets are ranges of an index: SQLite says so when it is asked how.

PostgreSQL decides by what it has counted, so what it does with a large desk is `bench.desk`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from farhand_server.desk.listing import ListOrder, TicketListing, list_ordered
from farhand_server.desk.search import search_tickets
from farhand_server.desk.tickets import Sight, TicketFilter, list_tickets
from farhand_server.store.database import Database
from tests.server.databases import SqliteTemplate

_DESK = Sight("ann", True, True)
_HERS = Sight("mia", False, False)


@pytest.fixture
async def db(sqlite_template: SqliteTemplate, tmp_path: Path) -> Any:
    database = Database(sqlite_template.copy_to(tmp_path / "farhand.db"))
    yield database
    await database.close()


@contextmanager
def _heard(db: Database) -> Iterator[list[tuple[str, Any]]]:
    """Note the statements that are executed meanwhile."""
    found: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, *_more: object) -> None:
        if statement.startswith("SELECT"):
            found.append((statement, values))

    engine = db._reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def _plans(db: Database, asked: list[tuple[str, Any]]) -> list[list[str]]:
    async with db.read() as c:
        raw = await c.get_raw_connection()
        driver: Any = raw.driver_connection
        plans = []
        for statement, values in asked:
            rows = await driver.execute_fetchall(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.append([row[3] for row in rows])
        return plans


async def _searched(db: Database, sight: Sight) -> list[list[str]]:
    with _heard(db) as asked:
        async with db.read() as c:
            await search_tickets(
                c, "n-t", words="drucker sn-4711", wanted=TicketFilter(state="open"), sight=sight
            )
    return await _plans(db, asked)


async def test_a_search_begins_with_the_words_and_sorts_nothing(db: Database) -> None:
    plans = await _searched(db, _DESK)
    assert len(plans) == 2
    for plan in plans:
        assert "ticket_search_fts VIRTUAL TABLE" in plan[0], plan
        scanned = [step for step in plan if step.startswith("SCAN ")]
        assert len(scanned) == 1, plan
        assert not any("TEMP B-TREE" in step for step in plan), plan


async def test_a_requesters_search_begins_with_her_own_few_tickets(db: Database) -> None:
    plans = await _searched(db, _HERS)
    assert plans
    for plan in plans:
        assert re.match(r"SEARCH (tickets|ticket_search) USING INDEX", plan[0]), plan
        assert re.search(r"(number|ticket)=\?\)$", plan[0]), plan
        assert not any(step.startswith("SCAN ") for step in plan), plan


@pytest.mark.parametrize("sort", ["newest", "oldest", "priority", "due", "updated"])
async def test_an_order_is_an_index(db: Database, sort: ListOrder) -> None:
    with _heard(db) as asked:
        async with db.read() as c:
            place = None if sort in ("newest", "oldest") else 2
            when = "2026-11-22T12:00:00.000000Z" if sort in ("due", "updated") else place
            await list_ordered(
                c, "n-t", listing=TicketListing(sort=sort), sight=_DESK, after=(when, 7)
            )
    for plan in await _plans(db, asked):
        assert "USING INDEX" in plan[0], plan
        assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize(
    "wanted",
    [
        TicketFilter(),
        TicketFilter(queue="desk"),
        TicketFilter(queue="desk", state="open"),
        TicketFilter(owner="ann"),
        TicketFilter(state="open"),
        TicketFilter(priority="high"),
        TicketFilter(owner="ann", open=True),
        TicketFilter(state="waiting", reason="customer"),
        TicketFilter(due_before="2026-11-22T12:00:00Z", open=True),
    ],
)
async def test_a_page_of_a_list_is_a_range_of_an_index(db: Database, wanted: TicketFilter) -> None:
    with _heard(db) as asked:
        async with db.read() as c:
            await list_tickets(c, "n-t", wanted=wanted, sight=_DESK, before=7)
    (plan,) = await _plans(db, asked)
    assert "INDEX" in plan[0], plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
