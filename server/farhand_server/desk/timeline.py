"""What a ticket shows of its past: what was said, what happened, which sessions were held.

Messages and events are only ever added, in the caller's transaction; nothing here moves a ticket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.references import format_number
from farhand_server.desk.search_index import index_message
from farhand_server.store.schema import (
    event_queue,
    sessions,
    ticket_events,
    ticket_messages,
)
from farhand_server.wording import check_body

__all__ = [
    "MESSAGE_KINDS",
    "Event",
    "Message",
    "MessageKind",
    "SessionLine",
    "add_event",
    "insert_message",
    "list_events",
    "list_messages",
    "sessions_of",
]


MessageKind = Literal["reply", "note", "session", "run", "system", "chat", "call", "instruction"]
MESSAGE_KINDS: Final[tuple[MessageKind, ...]] = get_args(MessageKind)
# What whoever asked for help is shown, unless whoever writes it says otherwise.
_PUBLIC: Final = ("reply", "chat", "instruction")
# What a message is kept as, but for the ticket's number.
_COLUMNS: Final = (
    "seq", "kind", "author", "body", "at", "public", "channel", "person", "language", "supersedes",
)  # fmt: skip


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something said on a ticket; what is not `public` never leaves the desk.

    `ticket` is where it was said: a merged one, in the thread of what it was merged into, or the
    one that follows a ticket which is over.  `channel` is how it came (mail, chat, phone, web,
    device, webhook), empty for console and API; `person` is whose words these are where they are no
    account's; `supersedes` the `seq` of the message that this one corrects.  `folded` are the
    ranges of the body, in characters (from, to), that a mail quotes: found when it is shown, not
    kept.
    """

    seq: int
    ticket: str
    kind: str
    author: str
    body: str
    at: str
    public: bool = False
    channel: str = ""
    person: str | None = None
    language: str = ""
    supersedes: int | None = None
    folded: list[tuple[int, int]] = []


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a ticket; every metric is computed from these."""

    seq: int
    kind: str
    actor: str
    detail: dict[str, Any]
    at: str


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its ticket shows it."""

    session: str
    device: str
    operator: str
    state: str
    reason: str
    started_at: str | None
    ended_at: str | None
    active_s: int


async def insert_message(
    c: AsyncConnection,
    tenant: str,
    number: int,
    kind: MessageKind,
    author: str,
    body: str,
    at: str,
    *,
    public: bool | None = None,
    channel: str = "",
    person: str | None = None,
    language: str = "",
    supersedes: int | None = None,
) -> Message:
    """Add a message.

    Args:
        c: connection of a write transaction.
        tenant: organisation.
        number: of the ticket.
        kind: what it is.
        author: name of an account, or of what else speaks.
        body: the words.
        at: when.
        public: whether the requester is shown it; None goes by the kind.
        channel: how it came.
        person: whose words they are.
        language: in which they are written, where that is known.
        supersedes: the message that it corrects.

    Raises:
        FarhandError: `invalid` for a text that cannot be a message.
    """
    row: dict[str, Any] = {
        "kind": kind,
        "author": author,
        "body": check_body(body, "message"),
        "at": at,
        "public": kind in _PUBLIC if public is None else public,
        "channel": channel,
        "person": person,
        "language": language,
        "supersedes": supersedes,
    }
    made = await c.execute(
        insert(ticket_messages)
        .values(tenant=tenant, ticket=number, **row)
        .returning(ticket_messages.c.seq)
    )
    seq = made.scalar_one()
    await index_message(c, tenant, number, row["body"], public=row["public"], language=language)
    return Message(seq=seq, ticket=format_number(number), **row)


async def add_event(
    c: AsyncConnection,
    tenant: str,
    number: int,
    kind: str,
    actor: str,
    detail: Mapping[str, Any],
    at: str,
) -> None:
    """Add an event, and queue it for whatever follows from it (`desk.heed`)."""
    text = json.dumps(detail, sort_keys=True)
    made = await c.execute(
        insert(ticket_events)
        .values(tenant=tenant, ticket=number, kind=kind, actor=actor, detail=text, at=at)
        .returning(ticket_events.c.seq)
    )
    await c.execute(insert(event_queue).values(tenant=tenant, event=made.scalar_one()))


async def list_messages(
    c: AsyncConnection,
    tenant: str,
    numbers: Sequence[int],
    *,
    with_notes: bool,
    after: int = 0,
    limit: int = 50,
    newest: bool = False,
) -> list[Message]:
    """Return messages in the order they were written; a requester is given what is public.

    Args:
        c: any connection.
        tenant: organisation.
        numbers: of the ticket, and of those merged into it.
        with_notes: whether whoever asks is of the desk.
        after: only later ones than this `seq` (the cursor).
        limit: at most so many.
        newest: of more than that the last ones, not the first.
    """
    where = [
        ticket_messages.c.tenant == tenant,
        ticket_messages.c.ticket.in_(numbers),
        ticket_messages.c.seq > after,
    ]
    if not with_notes:
        where.append(ticket_messages.c.public)
    order = ticket_messages.c.seq.desc() if newest else ticket_messages.c.seq
    query = select(ticket_messages).where(*where).order_by(order).limit(limit)
    found = [
        Message(
            ticket=format_number(row["ticket"]),
            **{name: row[name] for name in _COLUMNS},
        )
        for row in (await c.execute(query)).mappings()
    ]
    return found[::-1] if newest else found


async def list_events(
    c: AsyncConnection, tenant: str, number: int, *, after: int = 0, limit: int = 50
) -> list[Event]:
    """Return what happened to a ticket, in order."""
    query = (
        select(ticket_events)
        .where(
            ticket_events.c.tenant == tenant,
            ticket_events.c.ticket == number,
            ticket_events.c.seq > after,
        )
        .order_by(ticket_events.c.seq)
        .limit(limit)
    )
    return [
        Event(
            seq=row["seq"],
            kind=row["kind"],
            actor=row["actor"],
            detail=json.loads(row["detail"]),
            at=row["at"],
        )
        for row in (await c.execute(query)).mappings()
    ]


async def sessions_of(
    c: AsyncConnection, tenant: str, number: int, *, limit: int = 50
) -> Sequence[SessionLine]:
    """Return the newest sessions held for a ticket."""
    query = (
        select(sessions)
        .where(sessions.c.tenant == tenant, sessions.c.ticket == number)
        .order_by(sessions.c.created_at.desc(), sessions.c.id)
        .limit(limit)
    )
    return [
        SessionLine(
            session=row["id"],
            **{n: row[n] for n in SessionLine.__struct_fields__ if n != "session"},
        )
        for row in (await c.execute(query)).mappings()
    ]
