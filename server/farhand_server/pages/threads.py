"""What was said on a request, with its files, for whichever page shows it; and those files.

Only what is public is read here, whoever asks.  A guest, of whom nobody knows whether she is who
she says, is shown no more than what she said in her chat herself and what the desk said: not what
came by mail, by a mail's link or by an account from whoever really has her address.  A file is
always given out as a download of unknown kind, so that no browser shows what somebody sent as if it
were ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from litestar import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.api.ticket_files import file_response as download
from farhand_server.desk.timeline import Message, list_messages
from farhand_server.errors import not_found
from farhand_server.mail.showing import split_folded, with_folds
from farhand_server.people.blobs import Attachment, attachments_of, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_events
from farhand_server.store.schema.mail import mails

__all__ = ["Thread", "download", "file_of_thread", "mail_of_message", "read_thread"]

_MESSAGES: Final = 200
_SYSTEM: Final = "system"


class Thread(NamedTuple):
    """The last messages, in order; `pieces`, `files` and `mails` by a message's `seq`.

    A piece is (whether it is quoted, the words); `mails` names the mail that a message came by.
    """

    said: list[Message]
    pieces: dict[int, list[tuple[bool, str]]]
    files: dict[int, list[Attachment]]
    mails: dict[int, int]

    @property
    def last(self) -> int:
        """Return the `seq` of the last message, 0 without any."""
        return self.said[-1].seq if self.said else 0


async def read_thread(
    relay: Relay, numbers: Sequence[int], *, after: int = 0, guest: str | None = None
) -> Thread:
    """Return what was said on a request.

    Args:
        relay: the wiring; no connection may be held.
        numbers: of the ticket, and of those whose words are shown with it.
        after: only what was said after this message.
        guest: by which name the guest of a chat writes, where it is she who reads.
    """
    async with relay.db.read() as c:
        said = await list_messages(
            c, relay.tenant, numbers, with_notes=False, after=after, limit=_MESSAGES, newest=True
        )
        said = await _shown_to(c, relay, numbers, said, guest)
        kept = await attachments_of(c, relay.tenant, [one.seq for one in said])
        came = [one.seq for one in said if one.channel == "mail"]
        query = select(mails.c.message, mails.c.id).where(
            mails.c.tenant == relay.tenant,
            mails.c.message.in_(came),
            mails.c.direction == "in",
            mails.c.secret.is_(False),
        )
        by_mail = {row.message: row.id for row in await c.execute(query)} if came else {}
    files: dict[int, list[Attachment]] = {}
    for one in kept:
        files.setdefault(one.message, []).append(one)
    said = await with_folds(relay, said)
    return Thread(said, {one.seq: split_folded(one) for one in said}, files, by_mail)


async def _shown_to(
    c: AsyncConnection,
    relay: Relay,
    numbers: Sequence[int],
    said: list[Message],
    guest: str | None,
) -> list[Message]:
    """Return what of it a guest may read; everybody else reads all of it."""
    if guest is None or not said:
        return said
    # What was said for the desk, whichever way it came, is a `reply`; a requester's has another
    # kind.
    query = select(ticket_events.c.detail).where(
        ticket_events.c.tenant == relay.tenant,
        ticket_events.c.ticket.in_(numbers),
        ticket_events.c.kind == "reply",
    )
    of_desk = {json.loads(detail).get("message") for detail in await c.scalars(query)}
    return [
        one
        for one in said
        if one.seq in of_desk
        or one.kind == _SYSTEM
        or (one.channel == "chat" and one.author == guest)
    ]


async def _check_said(
    relay: Relay, numbers: Sequence[int], message: int, guest: str | None
) -> None:
    async with relay.db.read() as c:
        said = await list_messages(
            c, relay.tenant, numbers, with_notes=False, after=message - 1, limit=1
        )
        said = await _shown_to(c, relay, numbers, said, guest)
    if not said or said[0].seq != message:
        raise not_found("message", str(message))


async def mail_of_message(
    relay: Relay, numbers: Sequence[int], message: int, *, guest: str | None = None
) -> int:
    """Return the mail by which a public message of a request came.

    Raises:
        FarhandError: `not-found`.
    """
    await _check_said(relay, numbers, message, guest)
    query = select(mails.c.id).where(
        mails.c.tenant == relay.tenant,
        mails.c.message == message,
        mails.c.direction == "in",
        mails.c.secret.is_(False),
    )
    async with relay.db.read() as c:
        found: int | None = await c.scalar(query.limit(1))
    if found is None:
        raise not_found("mail", str(message))
    return found


async def file_of_thread(
    relay: Relay, numbers: Sequence[int], message: int, place: int, *, guest: str | None = None
) -> Response[bytes]:
    """Return a file of a public message as a download.

    Raises:
        FarhandError: `not-found`.
    """
    await _check_said(relay, numbers, message, guest)
    async with relay.db.read() as c:
        there = await attachments_of(c, relay.tenant, [message])
        wanted = [one for one in there if one.place == place]
        if not wanted:
            raise not_found("file", f"{message}/{place}")
        kept = await read_blob(c, relay.tenant, wanted[0].sha256)
    return download(wanted[0].name, kept.content)
