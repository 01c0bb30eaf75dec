"""Erasing words: what was said and written goes, what was counted stays.

The one place of the relay that changes messages and events, which are append-only everywhere else:
a body becomes a marker, and an event keeps its kind, its time and everything that measures are made
of.  What is erased here is gone from the database; backups made before still hold it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Table, and_, delete, or_, select, true, update
from sqlalchemy import Text as TextType
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.care.known import Known, chunks, traces_of
from farhand_server.people.blobs import keep_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    assistant_talks,
    assistant_turns,
    attachments,
    blobs,
    calls,
    csat,
    desk_settings,
    mail_recipients,
    mails,
    metadata,
    notify_items,
    outbox,
    referrals,
    sessions,
    ticket_checklist_items,
    ticket_events,
    ticket_instructions,
    ticket_messages,
    ticket_search,
    tickets,
    time_entries,
    visits,
)

__all__ = [
    "ERASED",
    "Rename",
    "drop_orphans",
    "erase_mails",
    "erase_messages",
    "erase_talks",
    "erase_ticket_words",
    "erase_words_on",
    "rename_author",
    "renamed",
    "renamer_of",
    "scrub_events",
    "scrub_notes",
]

# What stands where something was.
ERASED: Final = "[erased]"
# What people write into a ticket's own row, and so into the events that tell of it.
_OF_TICKET: Final = ("title", "steps_tried", "repro_steps", "identity_check")
# Words beside the thread: each table's column for the ticket, and what people wrote there.
_BESIDE: Final[tuple[tuple[Table, tuple[str, ...]], ...]] = (
    (time_entries, ("note",)),
    (sessions, ("note",)),
    (ticket_checklist_items, ("note",)),
    (ticket_instructions, ("words", "reason")),
    (csat, ("comment",)),
    (calls, ("number",)),
    (visits, ("place", "outcome")),
    (referrals, ("outcome",)),
)
# A mail that nobody has read yet, or that has not gone, is not read and does not go any more.
_UNSETTLED: Final = ("kept", "quarantined", "queued", "held", "sending")
# Who writes on tickets for the relay.
_WRITING_NOTES: Final = ("relay", "mail", "monitor")
# Where events name people.
_OF_PEOPLE: Final = ("actor", "name", "requester")
# Where contents are named inside JSON, and which rows still need them: the pages' logo, files of
# what may still go out.  The states are few rows of large tables, and have an index.
_NAMING: Final[tuple[tuple[Column[str], ColumnElement[bool]], ...]] = (
    (desk_settings.c.value, true()),
    (mails.c.letter, mails.c.state.in_(("queued", "held", "sending", "partly", "failed"))),
    (outbox.c.payload, outbox.c.state.in_(("waiting", "taken", "dead"))),
)


async def erase_messages(c: AsyncConnection, relay: Relay, seqs: Sequence[int]) -> dict[str, int]:
    """Erase the bodies, files and mails of messages; returns how many of each."""
    counts = {"messages": len(seqs), "attachments": 0, "mails": 0}
    tenant = relay.tenant
    for some in chunks(seqs):
        await c.execute(
            update(ticket_messages)
            .where(ticket_messages.c.tenant == tenant, ticket_messages.c.seq.in_(some))
            .values(body=ERASED)
        )
        await _fill(c, tenant, ticket_instructions, ("words", "reason"), "message", some)
        counts["attachments"] += await _erase_files(c, relay, some)
        counts["mails"] += await erase_mails(c, relay, mails.c.message.in_(some))
    return counts


async def _erase_files(c: AsyncConnection, relay: Relay, seqs: Sequence[int]) -> int:
    mine = and_(
        attachments.c.tenant == relay.tenant,
        attachments.c.message.in_(seqs),
        attachments.c.name != ERASED,
    )
    gone = list(await c.scalars(select(attachments.c.sha256).where(mine)))
    if gone:
        marker = await keep_blob(c, relay, ERASED.encode(), "text/plain")
        await c.execute(
            update(attachments).where(mine).values(sha256=marker, name=ERASED, inline_cid="")
        )
        await drop_orphans(c, relay.tenant, gone)
    return len(gone)


async def erase_mails(c: AsyncConnection, relay: Relay, which: ColumnElement[bool]) -> int:
    """Erase the raw bytes of mails and what was read out of them; returns how many."""
    # The subject alone goes where others keep the rest.
    left = or_(mails.c.subject != ERASED, mails.c.raw.is_not(None), mails.c.letter.is_not(None))
    mine = and_(mails.c.tenant == relay.tenant, left, which)
    rows = (await c.execute(select(mails.c.id, mails.c.raw).where(mine))).all()
    for some in chunks(row.id for row in rows):
        which_ones = and_(mails.c.tenant == relay.tenant, mails.c.id.in_(some))
        await c.execute(
            update(mails)
            .where(which_ones, mails.c.state.in_(_UNSETTLED))
            .values(state="dropped", done_at=relay.stamp())
        )
        await c.execute(
            update(mails)
            .where(which_ones)
            .values(
                raw=None,
                letter=None,
                refs="",
                envelope_from="",
                sender="",
                subject=ERASED,
                thread_index="",
                thread_topic="",
                reason="",
            )
        )
        await c.execute(
            delete(mail_recipients).where(
                mail_recipients.c.tenant == relay.tenant, mail_recipients.c.mail.in_(some)
            )
        )
    await drop_orphans(c, relay.tenant, [row.raw for row in rows if row.raw])
    return len(rows)


async def drop_orphans(c: AsyncConnection, tenant: str, digests: Sequence[str]) -> None:
    """Delete contents to which nothing points any more.

    Whatever column may name a content is asked: each whose name is `raw`, `blob`, or ends in
    `sha256`, and those whose JSON does.
    """
    for digest in sorted(set(digests)):
        asked = [(column, column == digest) for column in _pointers()]
        asked += [(column, and_(needed, column.contains(digest))) for column, needed in _NAMING]
        for column, names_it in asked:
            query = select(column.table.c.tenant).where(column.table.c.tenant == tenant, names_it)
            if await c.scalar(query.limit(1)) is not None:
                break
        else:
            await c.execute(delete(blobs).where(blobs.c.tenant == tenant, blobs.c.sha256 == digest))


def _pointers() -> list[Column[Any]]:
    return [
        column
        for table in metadata.sorted_tables
        if table is not blobs and "tenant" in table.c
        for column in table.c
        if isinstance(column.type, TextType)
        and (column.name in ("raw", "blob") or column.name.endswith("sha256"))
    ]


async def _fill(
    c: AsyncConnection,
    tenant: str,
    table: Table,
    columns: Sequence[str],
    key: str,
    values: Sequence[int],
) -> None:
    """Put the marker where somebody wrote something."""
    for name in columns:
        written = and_(table.c[name].is_not(None), table.c[name] != "")
        await c.execute(
            update(table)
            .where(table.c.tenant == tenant, table.c[key].in_(values), written)
            .values({name: ERASED})
        )


# Whole tickets.


async def erase_ticket_words(c: AsyncConnection, relay: Relay, numbers: Sequence[int]) -> None:
    """Erase what stands in the rows of tickets themselves, and take them out of the search."""
    tenant = relay.tenant
    for some in chunks(numbers):
        mine = and_(tickets.c.tenant == tenant, tickets.c.number.in_(some))
        await _fill(c, tenant, tickets, _OF_TICKET, "number", some)
        await c.execute(
            update(tickets)
            .where(mine)
            .values(fields="{}", priority_reason="", revision=tickets.c.revision + 1)
        )
        for table in (ticket_search, notify_items):
            await c.execute(delete(table).where(table.c.tenant == tenant, table.c.ticket.in_(some)))


async def erase_words_on(
    c: AsyncConnection, relay: Relay, numbers: Sequence[int]
) -> dict[str, int]:
    """Erase all that anybody said and wrote on tickets; returns how many of each thing."""
    tenant = relay.tenant
    counts = {"tickets": len(numbers), "messages": 0, "attachments": 0, "mails": 0}
    await erase_ticket_words(c, relay, numbers)
    for some in chunks(numbers):
        said = select(ticket_messages.c.seq).where(
            ticket_messages.c.tenant == tenant, ticket_messages.c.ticket.in_(some)
        )
        done = await erase_messages(c, relay, list(await c.scalars(said)))
        done["mails"] += await erase_mails(c, relay, mails.c.ticket.in_(some))
        for name, count in done.items():
            counts[name] += count
        for table, columns in _BESIDE:
            await _fill(c, tenant, table, columns, "ticket", some)
        await erase_talks(c, tenant, assistant_talks.c.ticket.in_(some))
    await scrub_events(c, tenant, numbers, _keep, words=True)
    return counts


async def erase_talks(c: AsyncConnection, tenant: str, which: ColumnElement[bool]) -> None:
    """Erase what was asked of the assistant, and answered, in some talks."""
    talks = select(assistant_talks.c.token_hash).where(assistant_talks.c.tenant == tenant, which)
    await c.execute(
        update(assistant_turns)
        .where(assistant_turns.c.tenant == tenant, assistant_turns.c.token_hash.in_(talks))
        .values(question=ERASED, answer=ERASED)
    )


# Names, on messages and in events.


async def rename_author(c: AsyncConnection, which: ColumnElement[bool]) -> None:
    """Put the marker where the author of messages stood."""
    await c.execute(update(ticket_messages).where(which).values(author=ERASED))


# Renames a text, of which the key in its event is known.
Rename = Callable[[str, str], str]


def renamer_of(known: Known) -> Rename:
    """Return what takes somebody's names and addresses out of events.

    A name alone counts only where people stand: somebody may be called as a state or a priority
    is, and measures are made of those.
    """
    names = set(known.names)
    traces = traces_of(known)

    def rename(key: str, text: str) -> str:
        if key in _OF_PEOPLE and text.casefold() in names:
            return ERASED
        return ERASED if traces is not None and traces.search(text) else text

    return rename


def _keep(key: str, text: str) -> str:
    return text


async def scrub_events(
    c: AsyncConnection, tenant: str, numbers: Sequence[int], rename: Rename, *, words: bool
) -> None:
    """Change what events say of people, and nothing that a measure is made of.

    Args:
        c: connection of a write transaction.
        tenant: organisation.
        numbers: of the tickets whose events are looked at.
        rename: what stands for a text, most often the text itself.
        words: whether what people wrote into the ticket's own row goes as well.
    """
    for some in chunks(numbers):
        query = select(
            ticket_events.c.seq, ticket_events.c.kind, ticket_events.c.actor, ticket_events.c.detail
        ).where(ticket_events.c.tenant == tenant, ticket_events.c.ticket.in_(some))
        for row in (await c.execute(query)).all():
            detail = json.loads(row.detail)
            if words:
                _drop_words(row.kind, detail)
            text = json.dumps(renamed("", detail, rename), sort_keys=True)
            values = {"actor": rename("actor", row.actor), "detail": text}
            if values != {"actor": row.actor, "detail": row.detail}:
                await c.execute(
                    update(ticket_events)
                    .where(ticket_events.c.tenant == tenant, ticket_events.c.seq == row.seq)
                    .values(values)
                )


def _drop_words(kind: str, detail: dict[str, Any]) -> None:
    if kind == "changed":
        for name in _OF_TICKET:
            if name in detail:
                detail[name] = {"from": ERASED, "to": ERASED}
    elif kind == "escalated" and "reason" in detail:
        detail["reason"] = ERASED


def renamed(key: str, value: Any, rename: Rename) -> Any:
    """Return a value of JSON in which every text is what stands for it; keys stay."""
    if isinstance(value, str):
        return rename(key, value)
    if isinstance(value, list):
        return [renamed(key, one, rename) for one in value]
    if isinstance(value, dict):
        return {name: renamed(name, one, rename) for name, one in value.items()}
    return value


async def scrub_notes(c: AsyncConnection, tenant: str, known: Known, numbers: list[int]) -> None:
    """Take her address out of the relay's own notes, such as the one of a mail that bounced."""
    traces = traces_of(known)
    if traces is None:
        return
    for some in chunks(numbers):
        query = select(ticket_messages.c.seq, ticket_messages.c.body).where(
            ticket_messages.c.tenant == tenant,
            ticket_messages.c.ticket.in_(some),
            ticket_messages.c.author.in_(_WRITING_NOTES),
        )
        for row in (await c.execute(query)).all():
            left = traces.sub(ERASED, row.body)
            if left != row.body:
                await c.execute(
                    update(ticket_messages)
                    .where(ticket_messages.c.tenant == tenant, ticket_messages.c.seq == row.seq)
                    .values(body=left)
                )
