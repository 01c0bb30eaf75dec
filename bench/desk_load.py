"""A desk made up and stored at once: tickets, what was said on them, and the terms of all that.

Words are made up, some of them in front far more often than the others, as in any language; long
ones are compounds of two.  Terms are made by the code of the desk, once for each text, said
on many tickets.  Rows go in by the fastest way that each database has.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import Table

from farhand_server.clock import stamp
from farhand_server.desk.search_terms import terms_of
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_events, ticket_messages, ticket_search, tickets

__all__ = ["QUEUES", "Desk", "load_desk", "make_desk"]

QUEUES = ("desk", "network", "printers", "accounts", "phones")
_LANGUAGES = ("en", "pt", "de", "ro", "ru")
_STATES = ("new", "open", "waiting", "resolved", "closed", "closed", "closed", "closed")
_WORDS = 20_000
_TEXTS = 5_000
_SAID = 10  # messages of a ticket
_EVENTS = 3
_LATIN = "aeioubcdfglmnprst"
_CYRILLIC = "аеиоубвгдклмнпрст"
_START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass
class Desk:
    """What is the same on both stores: made once."""

    count: int
    words: list[str] = field(default_factory=list)  # the most frequent first
    texts: list[tuple[str, str, list[str]]] = field(default_factory=list)  # text, language, terms
    requesters: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)


def make_desk(count: int) -> Desk:
    """Make up a desk of so many tickets."""
    chance = random.Random(11)
    desk = Desk(count)
    desk.words = _make_words(chance)
    desk.requesters = [f"person-{n}" for n in range(max(10, count // 20))]
    desk.owners = [f"tech-{n}" for n in range(40)]
    for place in range(_TEXTS):
        # Every fifth word of the list is of one language.
        language = _LANGUAGES[place % len(_LANGUAGES)]
        chosen = [_pick(chance, place % len(_LANGUAGES)) for _ in range(10)]
        text = " ".join(desk.words[number] for number in chosen)
        desk.texts.append((text, language, terms_of([text], language).split()))
    return desk


def _make_words(chance: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        letters = _CYRILLIC if len(found) % len(_LANGUAGES) == 4 else _LATIN
        word = "".join(
            chance.choice(letters[:5] if at % 2 else letters[5:])
            for at in range(chance.randint(4, 8))
        )
        if len(found) % len(_LANGUAGES) == 2 and chance.random() < 0.3:
            word += "".join(chance.choice(letters) for _ in range(6))
        found[word] = None
    return list(found)


def _pick(chance: random.Random, language: int) -> int:
    """Draw a word of a language, one in front more often."""
    most = _WORDS // len(_LANGUAGES)
    return int(most ** chance.random()) % most * len(_LANGUAGES) + language


async def load_desk(relay: Relay, desk: Desk) -> None:
    """Store a desk in an empty database."""
    parts = (
        (tickets, _tickets(relay, desk)),
        (ticket_messages, _messages(relay, desk)),
        (ticket_events, _events(relay, desk)),
        (ticket_search, _terms(relay, desk)),
    )
    if relay.db.dialect == "sqlite":
        await asyncio.to_thread(_load_sqlite, str(relay.db.url.database), parts)
    else:
        await _load_postgresql(relay, parts)


_Parts = Iterable[tuple[Table, Iterator[dict[str, Any]]]]


def _load_sqlite(path: str, parts: _Parts) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA cache_size = -400000")
        for table, rows in parts:
            connection.execute("BEGIN IMMEDIATE")
            names = [one.name for one in table.columns]
            marks = ",".join("?" * len(names))
            connection.executemany(
                f"INSERT INTO {table.name} ({','.join(names)}) VALUES ({marks})",
                (tuple(row.get(name) for name in names) for row in rows),
            )
            connection.execute("COMMIT")
        # What both databases do by themselves sooner or later.
        connection.execute("INSERT INTO ticket_search_fts(ticket_search_fts) VALUES ('optimize')")
        connection.execute("ANALYZE")
    finally:
        connection.close()


async def _load_postgresql(relay: Relay, parts: _Parts) -> None:
    url = relay.db.url
    connection = await asyncpg.connect(
        host=url.host, port=url.port, user=url.username, database=url.database
    )
    try:
        await connection.execute("SET maintenance_work_mem = '256MB'")
        indexes = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%USING gin%'"
        )
        for row in indexes:
            await connection.execute(f"DROP INDEX {row['indexname']}")
        for table, rows in parts:
            names = [one.name for one in table.columns]
            await connection.copy_records_to_table(
                table.name,
                columns=names,
                records=(tuple(row.get(name) for name in names) for row in rows),
            )
        for row in indexes:
            await connection.execute(row["indexdef"])
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _at(number: int, step: int = 0) -> str:
    return stamp(_START + timedelta(minutes=7 * number, seconds=step))


def _tickets(relay: Relay, desk: Desk) -> Iterator[dict[str, Any]]:
    chance = random.Random(12)
    for number in range(1, desk.count + 1):
        text, language, _ = desk.texts[number % len(desk.texts)]
        state = chance.choice(_STATES)
        yield {
            "tenant": relay.tenant,
            "number": number,
            "title": text[:80],
            "state": state,
            "state_reason": "customer" if state == "waiting" else "",
            "kind": "incident",
            "queue": "tiny" if number % 1_000 == 1 else chance.choice(QUEUES),
            "impact": "medium",
            "urgency": "medium",
            "priority": chance.randint(1, 4),
            "priority_reason": "",
            "security": number % 500 == 0,
            "requester": chance.choice(desk.requesters),
            "owner": chance.choice(desk.owners) if state != "new" else None,
            "tier": 1,
            "external_key": f"SN-{number:06d}",
            "steps_tried": "",
            "repro_steps": "",
            "identity_check": "",
            "language": language,
            "category": "",
            "fields": "{}",
            "reopen_count": 0,
            "created_by": "mail",
            "created_at": _at(number),
            "updated_at": _at(number, chance.randint(1, 86_400)),
            "late": False,
            "due_known": True,
            "revision": 5,
        }


def _said_on(desk: Desk, number: int) -> list[tuple[str, str, list[str]]]:
    chance = random.Random(number)
    return [desk.texts[chance.randrange(len(desk.texts))] for _ in range(_SAID)]


def _messages(relay: Relay, desk: Desk) -> Iterator[dict[str, Any]]:
    seq = 0
    for number in range(1, desk.count + 1):
        for place, (text, language, _) in enumerate(_said_on(desk, number)):
            seq += 1
            is_note = place % 5 == 4
            yield {
                "seq": seq,
                "tenant": relay.tenant,
                "ticket": number,
                "kind": "note" if is_note else "reply",
                "author": "mia" if place % 2 else "ann",
                "body": text,
                "at": _at(number, place),
                "public": not is_note,
                "channel": "",
                "language": language,
            }


def _events(relay: Relay, desk: Desk) -> Iterator[dict[str, Any]]:
    seq = 0
    for number in range(1, desk.count + 1):
        for place in range(_EVENTS):
            seq += 1
            yield {
                "seq": seq,
                "tenant": relay.tenant,
                "ticket": number,
                "kind": "reply" if place else "created",
                "actor": "ann",
                "detail": "{}",
                "at": _at(number, place),
            }


def _terms(relay: Relay, desk: Desk) -> Iterator[dict[str, Any]]:
    for number in range(1, desk.count + 1):
        own = desk.texts[number % len(desk.texts)]
        said: dict[str, None] = {}
        notes: dict[str, None] = {}
        for place, (_, _, terms) in enumerate(_said_on(desk, number)):
            (notes if place % 5 == 4 else said).update(dict.fromkeys(terms))
        yield {
            "seq": number,
            "tenant": relay.tenant,
            "ticket": number,
            "head": " ".join([*own[2], *terms_of([f"FH-{number} SN-{number:06d}"], "").split()]),
            "said": " ".join(said),
            "notes": " ".join(notes),
        }
