"""Conversations with the assistant: kept so that a person can take them over, then forgotten.

A talk is known by a random token that only its reader holds; the relay keeps its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import assistant_talks, assistant_turns

__all__ = [
    "MAX_TURNS",
    "TALKS_KEPT",
    "Turn",
    "add_turn",
    "begin_talk",
    "check_talk",
    "hand_over",
    "transcript",
    "turns_of",
]

MAX_TURNS: Final = 30
TALKS_KEPT: Final = timedelta(days=30)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One question, and what articles answered; `citations` are their slugs."""

    question: str
    answer: str
    citations: list[str]
    at: str


def _hash(token: str) -> str:
    if not _TOKEN.match(token):
        raise not_found("talk", "of that token")
    return hashlib.sha256(token.encode()).hexdigest()


async def begin_talk(c: AsyncConnection, relay: Relay, *, account: str | None) -> str:
    """Begin a talk and return its token; old talks are forgotten here.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        account: of who talks, where she is signed in.
    """
    tenant, old = relay.tenant, stamp(relay.now() - TALKS_KEPT)
    gone = select(assistant_talks.c.token_hash).where(
        assistant_talks.c.tenant == tenant, assistant_talks.c.begun_at < old
    )
    turns = and_(assistant_turns.c.tenant == tenant, assistant_turns.c.token_hash.in_(gone))
    await c.execute(delete(assistant_turns).where(turns))
    talks = and_(assistant_talks.c.tenant == tenant, assistant_talks.c.begun_at < old)
    await c.execute(delete(assistant_talks).where(talks))
    token = base64.urlsafe_b64encode(relay.random(32)).decode().rstrip("=")
    await c.execute(
        insert(assistant_talks).values(
            tenant=tenant,
            token_hash=_hash(token),
            account=account,
            begun_at=relay.stamp(),
            ticket=None,
            closed=False,
        )
    )
    return token


async def check_talk(c: AsyncConnection, tenant: str, token: str, *, account: str | None) -> None:
    """Check that a talk is there, is this person's, and goes on.

    Raises:
        FarhandError: `not-found`, `talk-over`.
    """
    mine = and_(assistant_talks.c.tenant == tenant, assistant_talks.c.token_hash == _hash(token))
    row = (await c.execute(select(assistant_talks).where(mine))).mappings().first()
    if row is None or (row["account"] is not None and row["account"] != account):
        raise not_found("talk", "of that token")
    if row["closed"]:
        raise FarhandError("talk-over", "a person has this conversation already")


async def add_turn(
    c: AsyncConnection,
    relay: Relay,
    *,
    token: str,
    question: str,
    answer: str,
    citations: Sequence[str],
) -> None:
    """Keep what was asked and answered.

    Raises:
        FarhandError: `talk-long` when it is time for a person.
    """
    mine = and_(
        assistant_turns.c.tenant == relay.tenant, assistant_turns.c.token_hash == _hash(token)
    )
    highest = await c.scalar(select(func.max(assistant_turns.c.turn)).where(mine)) or 0
    if highest >= MAX_TURNS:
        raise FarhandError("talk-long", "this conversation is long enough", hint="talk to a person")
    await c.execute(
        insert(assistant_turns).values(
            tenant=relay.tenant,
            token_hash=_hash(token),
            turn=highest + 1,
            question=question,
            answer=answer,
            citations=json.dumps(list(citations)),
            at=relay.stamp(),
        )
    )


async def turns_of(c: AsyncConnection, tenant: str, token: str) -> list[Turn]:
    """Return a talk's turns in their order."""
    mine = and_(assistant_turns.c.tenant == tenant, assistant_turns.c.token_hash == _hash(token))
    query = select(assistant_turns).where(mine).order_by(assistant_turns.c.turn)
    return [
        Turn(
            question=row["question"],
            answer=row["answer"],
            citations=json.loads(row["citations"]),
            at=row["at"],
        )
        for row in (await c.execute(query)).mappings()
    ]


async def hand_over(c: AsyncConnection, relay: Relay, *, token: str, ticket: int) -> None:
    """Note which ticket has the talk; it does not go on.

    Raises:
        FarhandError: `talk-over` when another request was first.
    """
    mine = and_(
        assistant_talks.c.tenant == relay.tenant,
        assistant_talks.c.token_hash == _hash(token),
        assistant_talks.c.closed.is_(False),
    )
    done = await c.execute(update(assistant_talks).where(mine).values(closed=True, ticket=ticket))
    if done.rowcount != 1:
        raise FarhandError("talk-over", "a person has this conversation already")


def transcript(turns: Sequence[Turn], *, max_chars: int) -> str:
    """Return a talk as text: what was asked, and which articles were shown for it.

    The answers' words stay behind where there is no room; their articles never do.
    """

    def written(one: Turn, *, whole: bool) -> str:
        asked = "\n".join(f"> {line}" for line in one.question.splitlines())
        shown = ", ".join(one.citations) or "-"
        parts = (asked, one.answer if whole else "", f"[{shown}]")
        return "\n\n".join(part for part in parts if part)

    for whole in (True, False):
        text = "\n\n".join(written(one, whole=whole) for one in turns)
        if len(text) <= max_chars:
            return text
    return text[:max_chars]
