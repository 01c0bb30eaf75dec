"""A mail as the desk shows it: which of its words are quoted, its own HTML, the pictures in that.

Made each time it is shown, so that a better rule also helps old mails.  What it costs is bounded:
`MAX_FOLDED_CHARS` of one answer are looked at, the messages behind those are shown whole, and two
mails at a time are made into HTML.  All of it happens beside the loop.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.timeline import Message
from farhand_server.errors import not_found
from farhand_server.mail.folding import fold
from farhand_server.mail.parsing import parse
from farhand_server.mail.quarantine import raw_of
from farhand_server.mail.rendering import render_html
from farhand_server.people.blobs import Attachment, Blob, attachments_of, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mails

__all__ = [
    "MAX_FOLDED_CHARS",
    "MAX_PICTURES_BYTES",
    "html_of_mail",
    "picture_of_mail",
    "split_folded",
    "with_folds",
]

MAX_FOLDED_CHARS: Final = 400_000
# Of the pictures that a mail's page holds itself.
MAX_PICTURES_BYTES: Final = 4 * 1024 * 1024
_AT_ONCE: Final = 2
# What a browser shows as a picture and never runs.
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")


# What is quoted.


async def with_folds(relay: Relay, messages: Sequence[Message]) -> list[Message]:
    """Return messages in which those that came by mail say what of them is quoted.

    Args:
        relay: the wiring; no connection may be held, one is taken.
        messages: of one ticket, in any order.
    """
    came = [one.seq for one in messages if one.channel == "mail"]
    if not came:
        return list(messages)
    query = select(mails.c.message, mails.c.subject).where(
        mails.c.tenant == relay.tenant, mails.c.message.in_(came), mails.c.direction == "in"
    )
    async with relay.db.read() as c:
        subjects = {row.message: row.subject for row in await c.execute(query)}
    return await asyncio.to_thread(_fold_all, messages, subjects)


def _fold_all(messages: Sequence[Message], subjects: dict[int, str]) -> list[Message]:
    room = MAX_FOLDED_CHARS
    made = []
    for one in messages:
        if one.channel == "mail" and len(one.body) <= room:
            room -= len(one.body)
            found = fold(one.body, subject=subjects.get(one.seq, ""))
            # A signature is short, and often holds the number to call.
            quoted = [(part.start, part.end) for part in found if part.kind == "history"]
            one = msgspec.structs.replace(one, folded=quoted)
        made.append(one)
    return made


def split_folded(message: Message) -> list[tuple[bool, str]]:
    """Return the words of a message piece by piece, each with whether it is quoted."""
    pieces = []
    at = 0
    for start, end in message.folded:
        pieces += [(False, message.body[at:start]), (True, message.body[start:end])]
        at = end
    pieces.append((False, message.body[at:]))
    trimmed = ((is_quoted, words.strip("\n")) for is_quoted, words in pieces)
    return [(is_quoted, words) for is_quoted, words in trimmed if words.strip()]


# Its HTML.


def _make_turns(relay: Relay) -> asyncio.Semaphore:
    return asyncio.Semaphore(_AT_ONCE)


async def html_of_mail(
    relay: Relay, mail: int, *, message: int | None, pictures: str | None
) -> str:
    """Return a page with a mail's own HTML, to be served under `rendering.CSP_WITH_PICTURES`.

    Without `pictures` it holds them itself, as far as `MAX_PICTURES_BYTES` go, since the frame of
    a browser that may nothing has no sign-in to fetch them with; `rendering.CSP_WITH_DATA` is then
    enough.

    Args:
        relay: the wiring.
        mail: its id; the caller has made sure that whoever asks may see it.
        message: of the ticket, on which its files are.
        pictures: where its pictures are, to which the place of each is added; None to hold them.

    Raises:
        FarhandError: `not-found`, also where the mail has no HTML.
    """
    async with relay.service(_make_turns):
        async with relay.db.read() as c:
            raw = await raw_of(c, relay.tenant, mail)
            files = await attachments_of(c, relay.tenant, [] if message is None else [message])
            shown = [one for one in files if _is_picture(one)]
            if pictures is None:
                cids = await _held(c, relay.tenant, shown)
            else:
                cids = {one.inline_cid: f"{pictures}{one.place}" for one in shown}
        markup = await asyncio.to_thread(_render, raw, cids)
    if not markup:
        raise not_found("mail's HTML", str(mail))
    return markup


async def _held(c: AsyncConnection, tenant: str, files: Sequence[Attachment]) -> dict[str, str]:
    room, cids = MAX_PICTURES_BYTES, {}
    for one in files:
        if one.size <= room:
            room -= one.size
            content = (await read_blob(c, tenant, one.sha256)).content
            data = base64.b64encode(content).decode()
            cids[one.inline_cid] = f"data:{one.media_type};base64,{data}"
    return cids


def _is_picture(file: Attachment) -> bool:
    return bool(file.inline_cid) and file.media_type in _PICTURES


def _render(raw: bytes, cids: dict[str, str]) -> str:
    mail = parse(raw)
    if not mail.html:
        return ""
    title = escape(mail.subject)
    return (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body>{render_html(mail.html, cids)}</body></html>\n"
    )


async def picture_of_mail(relay: Relay, message: int | None, place: int) -> Blob:
    """Return a picture that stands in a mail's HTML.

    Args:
        relay: the wiring.
        message: that the mail became.
        place: of the file on it.

    Raises:
        FarhandError: `not-found`, also for a file that is no picture, or not one of the HTML's.
    """
    async with relay.db.read() as c:
        files = await attachments_of(c, relay.tenant, [] if message is None else [message])
        for one in files:
            if one.place == place and _is_picture(one):
                return await read_blob(c, relay.tenant, one.sha256)
    raise not_found("picture", str(place))
