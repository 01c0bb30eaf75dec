"""Sends what the outbox holds of the kind `mail`: the sender that `farhand_server.senders` lists.

    connect     no server configured: the item waits, and costs no try
    recipients  each is taken, refused for good (5xx), or refused for now (4xx)
    DATA        noted before it begins; its answer settles everybody who was taken
    settle      one transaction: each recipient's outcome, a note on the ticket for who is left out

A kill between DATA and its answer leaves a mail of which nobody knows whether it went.  It is sent
once more, under the same Message-ID, by which receivers may tell; when that ends alike, no third
time: the owner is told that nobody knows.  Sources: RFC 5321, RFC 3834 (the null sender).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import aiosmtplib
import msgspec
from sqlalchemy import RowMapping, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.mail.composing import compose
from farhand_server.mail.drafting import draft_of, give_sender
from farhand_server.mail.imap import reason_of, tls_context
from farhand_server.mail.keeping import RAW_TYPE
from farhand_server.mail.mailboxes import SMTP, Server, server_of
from farhand_server.mail.oauth import mail_tokens
from farhand_server.mail.outgoing import Letter, is_secret, register_mail
from farhand_server.mail.unreached import tell_of_failure
from farhand_server.outbox.items import Item
from farhand_server.outbox.sending import GiveUp, TryLater
from farhand_server.people.blobs import keep_blob, read_blob
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mail_recipients, mails

__all__ = ["GIVE_UP_TRIES", "connected", "send_mail"]

# Within the outbox's own bound, so that the owner hears of it from here.
GIVE_UP_TRIES: Final = 28
# Two tries whose DATA had no answer: the second was the double, a third is not made.
_MAX_UNANSWERED: Final = 2
_TIMEOUT_S: Final = 50.0
_OPEN: Final = ("queued", "sending")
_WAIT_UNCONFIGURED_S: Final = 60.0


class _Outcome(NamedTuple):
    """What became of one recipient: sent, failed, or queued for another try."""

    state: str
    words: str


async def send_mail(relay: Relay, item: Item) -> None:
    """Send one mail to whoever of its recipients has not got it.

    Raises:
        TryLater: somebody is still to get it.
        GiveUp: nobody will.
    """
    row = await _row_of(relay, item)
    if row is None or row["state"] not in _OPEN:
        return  # held, or done by an earlier try whose end was not kept
    pending = await _pending(relay, row["id"])
    async with relay.db.read() as c:
        try:
            found = await server_of(c, relay, SMTP)
        except FarhandError as error:
            raise TryLater(error.message, counts=False) from error
    if found is None:
        raise TryLater("no mail server is configured", _WAIT_UNCONFIGURED_S, counts=False)
    if not row["sender"]:
        raise TryLater("no mailbox is configured to send from", _WAIT_UNCONFIGURED_S, counts=False)
    if row["tries"] >= _MAX_UNANSWERED:
        words = "nobody knows whether it arrived: the mail server never answered"
        outcomes = {address: _Outcome("failed", words) for address in pending}
    else:
        outcomes = await _transfer(relay, row, pending, *found)
    if item.tries >= GIVE_UP_TRIES:
        outcomes = {a: _given_up(one) for a, one in outcomes.items()}
    await _settle(relay, row, outcomes)
    if any(one.state == "queued" for one in outcomes.values()):
        raise TryLater("; ".join(sorted({o.words for o in outcomes.values() if o.words}))[:300])
    if outcomes and all(one.state == "failed" for one in outcomes.values()):
        raise GiveUp("; ".join(sorted({o.words for o in outcomes.values()}))[:300])


def _given_up(one: _Outcome) -> _Outcome:
    return _Outcome("failed", f"given up: {one.words}") if one.state == "queued" else one


async def _row_of(relay: Relay, item: Item) -> RowMapping | None:
    """Return the mail's row; made now for an item that somebody else put."""
    letter = msgspec.convert(item.payload, Letter)
    async with relay.db.write() as c:
        mail = letter.mail
        if mail is None:
            mail = await register_mail(c, relay, letter, mark=item.id, secret=is_secret(item.key))
        if mail is None:
            return None
        mine = and_(mails.c.tenant == relay.tenant, mails.c.id == mail)
        owner = await c.scalar(select(mails.c.item).where(mine).with_for_update())
        if owner not in ("", item.id):
            return None  # it was held and let go, and goes with a later item
        if item.tries == 1:
            await _try_anew(c, relay, mail)
        await c.execute(update(mails).where(mine).values(item=item.id))
        # From here on it is too late to hold it.
        await c.execute(
            update(mails).where(mine, mails.c.state == "queued").values(state="sending")
        )
        row = (await c.execute(select(mails).where(mine))).mappings().first()
        if row is not None and not row["sender"] and await give_sender(c, relay, row):
            row = (await c.execute(select(mails).where(mine))).mappings().first()
        return row


async def _try_anew(c: AsyncConnection, relay: Relay, mail: int) -> None:
    """Take up a failed mail whose item a person retries (`farhand outbox retry`)."""
    mine = and_(mails.c.tenant == relay.tenant, mails.c.id == mail)
    done = await c.execute(
        update(mails)
        .where(mine, mails.c.state.in_(("failed", "partly")))
        .values(state="queued", tries=0, done_at=None)
    )
    if done.rowcount:
        await c.execute(
            update(mail_recipients)
            .where(
                mail_recipients.c.tenant == relay.tenant,
                mail_recipients.c.mail == mail,
                mail_recipients.c.state == "failed",
            )
            .values(state="queued", words="")
        )


async def _pending(relay: Relay, mail: int) -> list[str]:
    query = select(mail_recipients.c.address).where(
        mail_recipients.c.tenant == relay.tenant,
        mail_recipients.c.mail == mail,
        mail_recipients.c.state == "queued",
    )
    async with relay.db.read() as c:
        return list(await c.scalars(query.order_by(mail_recipients.c.address)))


# The transfer.


@contextlib.asynccontextmanager
async def connected(relay: Relay, server: Server, password: str) -> AsyncIterator[aiosmtplib.SMTP]:
    """Yield a signed-in connection to the mail server.

    Raises:
        FarhandError: `mail-unreachable`, `mail-server`, `mail-oauth`.
    """
    tokens = relay.service(mail_tokens)
    credential = await tokens.credential(server, password)
    context = None
    if server.security != "plain":
        context = await asyncio.to_thread(tls_context, server.ca)
    host = relay.settings.url.partition("://")[2].partition(":")[0]
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        tls_context=context,
        timeout=_TIMEOUT_S,
        # Named, since the library would otherwise ask the resolver, which blocks.
        local_hostname=host if host.isascii() and host else "farhand.invalid",
    )
    try:
        try:
            await client.connect()
            if credential.is_token:
                await client.auth_xoauth2(server.user, credential.secret)
            elif server.user:
                await client.login(server.user, credential.secret)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            tokens.forget(server)
            raise FarhandError(
                "mail-unreachable", f"the SMTP server cannot be used: {reason_of(error)}"
            ) from error
        yield client
    finally:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            if client.is_connected:
                await client.quit(timeout=5.0)
        client.close()


async def _transfer(
    relay: Relay, row: RowMapping, pending: list[str], server: Server, password: str
) -> dict[str, _Outcome]:
    """Offer a mail to its server; returns what became of each recipient."""
    raw = await _bytes_of(relay, row)
    try:
        async with connected(relay, server, password) as client:
            return await _offer(relay, client, row, pending, raw)
    except FarhandError as error:
        if error.code.startswith("store-"):
            raise
        return {address: _Outcome("queued", error.message) for address in pending}


async def _offer(
    relay: Relay, client: aiosmtplib.SMTP, row: RowMapping, pending: list[str], raw: bytes
) -> dict[str, _Outcome]:
    outcomes: dict[str, _Outcome] = {}
    try:
        await client.mail(row["envelope_from"], options=_size(client, raw))
    except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
        return {address: _refused(error) for address in pending}
    for address in pending:
        try:
            await client.rcpt(address)
        except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
            outcomes[address] = _refused(error)
    taken = [address for address in pending if address not in outcomes]
    if not taken:
        return outcomes
    await _note_attempt(relay, row["id"], +1)
    try:
        await client.data(raw)
    except aiosmtplib.SMTPDataError as error:
        answer = _refused(error)
    except (aiosmtplib.SMTPException, OSError) as error:
        # No answer: it stays counted.
        words = f"the mail server did not answer: {reason_of(error)}"
        return outcomes | {address: _Outcome("queued", words) for address in taken}
    else:
        answer = _Outcome("sent", "")
    await _note_attempt(relay, row["id"], -1)
    return outcomes | dict.fromkeys(taken, answer)


def _size(client: aiosmtplib.SMTP, raw: bytes) -> list[str]:
    return [f"SIZE={len(raw)}"] if client.supports_extension("size") else []


def _refused(error: Exception) -> _Outcome:
    """Tell a refusal for good from one for now by its code; without a code it is for now."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        words = f"{error.code} {error.message}"
        words = "".join(one if one.isprintable() else " " for one in words)[:200]
        return _Outcome("failed" if 500 <= error.code < 600 else "queued", words)
    if isinstance(error, UnicodeError):
        return _Outcome("failed", "the address has letters that this mail server cannot write to")
    return _Outcome("queued", reason_of(error))


async def _note_attempt(relay: Relay, mail: int, by: int) -> None:
    """Note that DATA begins, or that it was answered."""
    async with relay.db.write() as c:
        await c.execute(
            update(mails)
            .where(mails.c.tenant == relay.tenant, mails.c.id == mail)
            .values(tries=mails.c.tries + by)
        )


async def _bytes_of(relay: Relay, row: RowMapping) -> bytes:
    """Return the mail as it is sent: written once, kept, and the same at every try."""
    async with relay.db.read() as c:
        if row["raw"] is not None:
            return (await read_blob(c, relay.tenant, row["raw"])).content
        draft = await draft_of(c, relay, row)
    raw = await asyncio.to_thread(compose, draft)
    async with relay.db.write() as c:
        sha256 = await keep_blob(c, relay, raw, RAW_TYPE)
        await c.execute(
            update(mails)
            .where(mails.c.tenant == relay.tenant, mails.c.id == row["id"])
            .values(raw=sha256, size=len(raw))
        )
    return raw


# What became of it.


async def _settle(relay: Relay, row: RowMapping, outcomes: Mapping[str, _Outcome]) -> None:
    async with relay.db.write() as c:
        for address, one in outcomes.items():
            await c.execute(
                update(mail_recipients)
                .where(
                    mail_recipients.c.tenant == relay.tenant,
                    mail_recipients.c.mail == row["id"],
                    mail_recipients.c.address == address,
                )
                .values(state=one.state, words=one.words, at=relay.stamp())
            )
        query = select(mail_recipients.c.state).where(
            mail_recipients.c.tenant == relay.tenant, mail_recipients.c.mail == row["id"]
        )
        states = set(await c.scalars(query))
        values: dict[str, Any] = {"state": _whole(states)}
        if values["state"] not in _OPEN:
            values["done_at"] = relay.stamp()
        await c.execute(
            update(mails)
            .where(mails.c.tenant == relay.tenant, mails.c.id == row["id"])
            .values(**values)
        )
        failed = {address: one.words for address, one in outcomes.items() if one.state == "failed"}
        if failed and row["ticket"] is not None:
            await tell_of_failure(c, relay, row["ticket"], failed, event="mail-failed")


def _whole(states: set[str]) -> str:
    if "queued" in states:
        return "queued"
    if states & {"failed", "bounced"}:
        return "partly" if "sent" in states else "failed"
    return "sent"
