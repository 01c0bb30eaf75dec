"""Live chats: a ticket's own thread, while both sides are there; mail when one is not.

    live -> late        nobody at the desk answered in time: the person is told, once
    live, late -> over  the person has left (not seen for a while): answers go out by mail
    over -> live        the person is there again

A chat is a ticket from its first line, so nothing has to be kept when it ends.  Typing is not told.
The desk is there when somebody of it watches (`farhand ticket chats`), which a row tells, written
twice a minute for each.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import RowMapping, and_, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.actors import THE_RELAY
from farhand_server.care.card import card_of
from farhand_server.channels.words import nobody_there
from farhand_server.clock import stamp
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Intake, Ticket, create_ticket, get_ticket
from farhand_server.desk.timeline import insert_message
from farhand_server.errors import not_found
from farhand_server.mail.outgoing import queue_mail
from farhand_server.people.people import get_person, main_address
from farhand_server.relay import Relay
from farhand_server.store.schema import chats, desk_presence, ticket_messages

__all__ = [
    "GONE_S",
    "LATE_S",
    "SEEN_EVERY_S",
    "STATES",
    "Chat",
    "begin_chat",
    "chats_subject",
    "desk_seen",
    "get_chat",
    "heed_chat",
    "is_chat",
    "list_chats",
    "person_seen",
    "somebody_there",
    "sweep_chats",
]

State = Literal["live", "late", "over"]
STATES: Final[tuple[State, ...]] = get_args(State)

LATE_S: Final = 60.0
GONE_S: Final = 60.0
SEEN_EVERY_S: Final = 20.0
_DESK_GONE_S: Final = 90.0
_AT_ONCE: Final = 200


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One chat; `somebody` tells whether the desk is there, `open` whether it is its hour."""

    ticket: str
    state: State
    language: str
    began_at: str
    answered_at: str | None
    seen_at: str
    somebody: bool = False
    open: bool = False


def chats_subject(tenant: str) -> str:
    """Return the bus subject on which it is told that a chat began."""
    return f"chats.{tenant}"


def _chat(row: RowMapping) -> Chat:
    names = ("state", "language", "began_at", "answered_at", "seen_at")
    return Chat(ticket=format_number(row["ticket"]), **{name: row[name] for name in names})


async def begin_chat(
    c: AsyncConnection,
    relay: Relay,
    *,
    title: str,
    actor: str,
    requester: str,
    person: str | None = None,
    organisation: str | None = None,
    queue: str = "desk",
    language: str = "en",
) -> Ticket:
    """Begin a chat: a ticket whose first words the caller adds.

    Raises:
        FarhandError: `invalid`; `not-found` for the queue.
    """
    ticket = await create_ticket(
        c,
        relay,
        title=title,
        actor=actor,
        requester=requester,
        person=person,
        organisation=organisation,
        channel="chat",
        intake=Intake(kind="question", queue=queue, language=language),
    )
    at = relay.stamp()
    await c.execute(
        insert(chats).values(
            tenant=relay.tenant,
            ticket=ticket.row,
            state="live",
            language=language,
            began_at=at,
            answered_at=None,
            seen_at=at,
        )
    )
    return ticket


async def is_chat(c: AsyncConnection, tenant: str, number: int) -> bool:
    """Tell whether a ticket is a chat."""
    query = select(chats.c.state).where(chats.c.tenant == tenant, chats.c.ticket == number)
    return await c.scalar(query) is not None


async def get_chat(c: AsyncConnection, relay: Relay, number: int) -> Chat:
    """Return a chat, with whether the desk is there.

    Raises:
        FarhandError: `not-found` for a ticket that is none.
    """
    query = select(chats).where(chats.c.tenant == relay.tenant, chats.c.ticket == number)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("chat", format_number(number))
    return msgspec.structs.replace(
        _chat(row),
        somebody=await somebody_there(c, relay),
        open=(await card_of(c, relay)).hours.open,
    )


async def list_chats(
    c: AsyncConnection, tenant: str, *, after: tuple[str, int] | None = None, limit: int = 50
) -> list[Chat]:
    """Return the chats that are not over, those that wait longest first."""
    where = [chats.c.tenant == tenant, chats.c.state.in_(("live", "late"))]
    if after is not None:
        at, number = after
        where.append(
            (chats.c.began_at > at) | and_(chats.c.began_at == at, chats.c.ticket > number)
        )
    query = select(chats).where(*where).order_by(chats.c.began_at, chats.c.ticket).limit(limit)
    return [_chat(row) for row in (await c.execute(query)).mappings()]


# Who is there.


async def desk_seen(c: AsyncConnection, relay: Relay, account: str) -> None:
    """Note that somebody of the desk watches."""
    make = postgresql_insert if c.dialect.name == "postgresql" else sqlite_insert
    at = relay.stamp()
    made = make(desk_presence).values(tenant=relay.tenant, account=account, seen_at=at)
    await c.execute(
        made.on_conflict_do_update(index_elements=["tenant", "account"], set_={"seen_at": at})
    )


async def somebody_there(c: AsyncConnection, relay: Relay) -> bool:
    """Tell whether anybody of the desk watches."""
    since = stamp(relay.now() - timedelta(seconds=_DESK_GONE_S))
    query = select(desk_presence.c.account).where(
        desk_presence.c.tenant == relay.tenant, desk_presence.c.seen_at > since
    )
    return await c.scalar(query.limit(1)) is not None


async def person_seen(relay: Relay, number: int) -> None:
    """Note that the person who asked is there; writes at most every `SEEN_EVERY_S`."""
    now = relay.now()
    mine = and_(chats.c.tenant == relay.tenant, chats.c.ticket == number)
    stale = mine & (chats.c.seen_at < stamp(now - timedelta(seconds=SEEN_EVERY_S)))
    async with relay.db.read() as c:
        if await c.scalar(select(chats.c.ticket).where(stale)) is None:
            return
    async with relay.db.write() as c:
        row = (await c.execute(select(chats.c.state).where(mine).with_for_update())).one()
        values = {"seen_at": stamp(now)}
        if row.state == "over":
            values["state"] = "live"
        await c.execute(update(chats).where(mine).values(**values))


# What follows.


async def heed_chat(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Note the desk's first answer, and send by mail what the person is not there to read."""
    if event.kind != "reply" or event.actor == THE_RELAY or "message" not in event.detail:
        return
    mine = and_(chats.c.tenant == relay.tenant, chats.c.ticket == event.ticket)
    row = (await c.execute(select(chats).where(mine).with_for_update())).mappings().first()
    if row is None:
        return
    if row["answered_at"] is None:
        await c.execute(update(chats).where(mine).values(answered_at=event.at))
    said = await _words_of(c, relay.tenant, int(event.detail["message"]))
    if said is None or said["kind"] != "chat" or not _is_gone(relay, row["seen_at"]):
        return
    ticket = await get_ticket(c, relay.tenant, str(event.ticket))
    address = await _address(c, relay.tenant, ticket)
    if address is not None:
        await queue_mail(
            c, relay, to=[address], subject=ticket.title, text=said["body"], ticket=ticket.row,
            message=said["seq"], language=row["language"], key=f"message:{said['seq']}",
        )  # fmt: skip


async def _words_of(c: AsyncConnection, tenant: str, seq: int) -> RowMapping | None:
    query = select(ticket_messages).where(
        ticket_messages.c.tenant == tenant, ticket_messages.c.seq == seq
    )
    return (await c.execute(query)).mappings().first()


def _is_gone(relay: Relay, seen_at: str) -> bool:
    return seen_at < stamp(relay.now() - timedelta(seconds=GONE_S))


async def _address(c: AsyncConnection, tenant: str, ticket: Ticket) -> str | None:
    if ticket.person is None:
        return None
    return await main_address(c, tenant, (await get_person(c, tenant, ticket.person)).id)


async def sweep_chats(relay: Relay) -> list[int]:
    """Tell whoever waits that nobody can answer just now, and note who has left.

    Returns: the tickets on which something was said.
    """
    now = relay.now()
    late = and_(
        chats.c.state == "live",
        chats.c.answered_at.is_(None),
        chats.c.began_at < stamp(now - timedelta(seconds=LATE_S)),
    )
    gone = and_(
        chats.c.state.in_(("live", "late")),
        chats.c.seen_at < stamp(now - timedelta(seconds=GONE_S)),
    )
    told: list[int] = []
    for condition, what in ((late, "late"), (gone, "over")):
        where = and_(chats.c.tenant == relay.tenant, condition)
        async with relay.db.read() as c:
            found = list(await c.scalars(select(chats.c.ticket).where(where).limit(_AT_ONCE)))
        for number in found:
            async with relay.db.write() as c:
                mine = and_(where, chats.c.ticket == number)
                done = await c.execute(update(chats).where(mine).values(state=what))
                if done.rowcount and what == "late":
                    await _say_late(c, relay, number)
                    told.append(number)
    async with relay.db.write() as c:
        old = stamp(now - timedelta(days=1))
        await c.execute(
            delete(desk_presence).where(
                desk_presence.c.tenant == relay.tenant, desk_presence.c.seen_at < old
            )
        )
    return told


async def _say_late(c: AsyncConnection, relay: Relay, number: int) -> None:
    ticket = await get_ticket(c, relay.tenant, str(number))
    words = nobody_there(ticket.language, await _address(c, relay.tenant, ticket))
    await insert_message(
        c, relay.tenant, number, "system", THE_RELAY, words, relay.stamp(), public=True,
        channel="chat", language=ticket.language,
    )  # fmt: skip
