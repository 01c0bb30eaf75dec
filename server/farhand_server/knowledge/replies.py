"""Between articles and tickets: an article put into a reply, a message made into an article.

What a requester is sent is what she may read: an article for the desk's eyes goes into no reply.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.moves import add_message
from farhand_server.desk.tickets import Sight, get_ticket
from farhand_server.desk.timeline import Message
from farhand_server.errors import not_found
from farhand_server.knowledge.articles import (
    Article,
    ArticleDetails,
    create_article,
    get_article,
)
from farhand_server.knowledge.readers import CUSTOMER
from farhand_server.knowledge.texts import add_text, index_article, read_text
from farhand_server.knowledge.uses import note_use
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_messages, tickets

__all__ = ["Form", "make_article", "promote_message", "reply_with_article"]

Form = Literal["text", "link"]


async def make_article(
    c: AsyncConnection,
    relay: Relay,
    *,
    title: str,
    body: str,
    language: str,
    actor: str,
    details: ArticleDetails | None = None,
) -> Article:
    """Make a draft with its first words, and find it from now on.

    Raises:
        FarhandError: as `create_article` and `add_text`.
    """
    made = await create_article(
        c, relay, title=title, language=language, actor=actor, details=details
    )
    article = await get_article(c, relay.tenant, made)
    await add_text(
        c, relay, article=article, language=language, title=title, body=body, actor=actor
    )
    article = await get_article(c, relay.tenant, made)
    await index_article(c, relay.tenant, article)
    return article


async def reply_with_article(
    c: AsyncConnection,
    relay: Relay,
    *,
    slug: str,
    ticket: str,
    actor: str,
    sight: Sight,
    words: str = "",
    form: Form = "text",
    languages: tuple[str, ...] = (),
) -> Message:
    """Answer a requester with an article, in her language.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        slug: of an article that is published, and not for the desk alone.
        ticket: as `get_ticket` takes it.
        actor: who answers.
        sight: what she sees of tickets.
        words: said before it.
        form: the whole text, or its title and address.
        languages: before the ticket's own, best first.

    Raises:
        FarhandError: `article-not-for-requesters`, `not-found`, and as `add_message`.
    """
    article = await get_article(c, relay.tenant, slug)
    if article.state != "published" or article.visibility == "internal":
        raise FarhandError(
            "article-not-for-requesters",
            f"{article.slug} is {article.state} and {article.visibility}; no requester may read it",
            hint="farhand kb publish, farhand kb edit --visibility customers",
        )
    found = await get_ticket(c, relay.tenant, ticket, sight=sight)
    query = select(tickets.c.language).where(
        tickets.c.tenant == relay.tenant, tickets.c.number == found.row
    )
    hers = await c.scalar(query)
    wanted = (*languages, *([hers] if hers else []))
    text = await read_text(c, relay.tenant, article, reader=CUSTOMER, wanted=wanted)
    address = f"{relay.settings.url}/kb/{article.slug}"
    said = f"{text.title}\n{address}" if form == "link" else f"## {text.title}\n\n{text.body}"
    body = f"{words.strip()}\n\n{said}" if words.strip() else said
    message = await add_message(
        c, relay, ref=found.number, kind="reply", body=body, actor=actor, sight=sight
    )
    await note_use(c, relay, article=article, ticket=found.row, kind="reply", actor=actor)
    return message


async def promote_message(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: str,
    message: int | None,
    actor: str,
    sight: Sight,
    title: str | None = None,
    language: str | None = None,
    details: ArticleDetails | None = None,
) -> Article:
    """Make a draft of something said on a ticket, for somebody to make general.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        ticket: as `get_ticket` takes it.
        message: its `seq`; the last answer of the desk by default.
        actor: who promotes.
        sight: what she sees of tickets.
        title: the ticket's by default.
        language: the ticket's by default, else English.
        details: the rest of the article; for the desk's eyes unless they say otherwise.

    Raises:
        FarhandError: `not-found` for the ticket or where it has no such message; as `make_article`.
    """
    found = await get_ticket(c, relay.tenant, ticket, sight=sight)
    query = select(ticket_messages).where(
        ticket_messages.c.tenant == relay.tenant, ticket_messages.c.ticket == found.row
    )
    if message is None:
        of_desk = ticket_messages.c.author != (found.requester or "")
        query = query.where(ticket_messages.c.kind == "reply", of_desk)
    else:
        query = query.where(ticket_messages.c.seq == message)
    row = (await c.execute(query.order_by(ticket_messages.c.seq.desc()).limit(1))).mappings()
    said = row.first()
    if said is None:
        raise not_found("message", f"{found.number} {message or ''}".strip())
    spoken = select(tickets.c.language).where(
        tickets.c.tenant == relay.tenant, tickets.c.number == found.row
    )
    made = await make_article(
        c,
        relay,
        title=title or found.title,
        body=said["body"],
        language=language or await c.scalar(spoken) or "en",
        actor=actor,
        details=details,
    )
    await note_use(c, relay, article=made, ticket=found.row, kind="promoted", actor=actor)
    return await get_article(c, relay.tenant, made.id)
