"""What somebody who is erased leaves in mails and in the outbox, where others have a part in it.

A mail that went to her alone, or came from her, is erased whole (`words.erase_mails`); one that
others got as well stays theirs: she is no more among its recipients, and its raw form goes, which
names her.  One that waits still goes to them; it is made anew from what is left.  What waits in the
outbox loses her address, and is dropped only where nobody else is to get it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.care.known import Known, chunks, traces_of
from farhand_server.care.words import ERASED, Rename, drop_orphans, erase_mails, renamed
from farhand_server.relay import Relay
from farhand_server.store.schema import mail_recipients, mails, outbox, referrals

__all__ = ["erase_from_mails", "erase_from_outbox"]


async def erase_from_mails(c: AsyncConnection, relay: Relay, known: Known, mine: list[int]) -> int:
    """Erase her mails, and her from the mails of others; returns how many were hers.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        known: what she is known by.
        mine: numbers of her tickets, whose titles are her words.
    """
    tenant = relay.tenant
    received = select(mail_recipients.c.mail).where(
        mail_recipients.c.tenant == tenant, mail_recipients.c.address.in_(known.names)
    )
    others = exists().where(
        mail_recipients.c.tenant == tenant,
        mail_recipients.c.mail == mails.c.id,
        mail_recipients.c.address.not_in(known.names),
    )
    went = mails.c.direction == "out"
    count = await erase_mails(
        c,
        relay,
        or_(
            func.lower(mails.c.sender).in_(known.names),
            func.lower(mails.c.envelope_from).in_(known.names),
            and_(mails.c.id.in_(received), ~others),
        ),
    )
    for some in chunks(mine):
        # What the relay wrote of her ticket by itself, in her words: to a vendor, say.
        by_itself = and_(went, mails.c.message.is_(None), mails.c.ticket.in_(some))
        count += await erase_mails(c, relay, by_itself)
    told = and_(mails.c.tenant == tenant, went, mails.c.letter.is_not(None))
    query = select(mails.c.id, mails.c.raw, mails.c.letter, mails.c.ticket, mails.c.subject)
    shared = {row.id: row for row in await c.execute(query.where(told, mails.c.id.in_(received)))}
    for some in chunks(mine):
        found = await c.execute(query.where(told, mails.c.ticket.in_(some)))
        shared |= {row.id: row for row in found}
    for mail, row in shared.items():
        letter = json.loads(row.letter)
        _leave(letter, known)
        subject = row.subject
        if row.ticket in mine:
            subject = letter["subject"] = ERASED
        await c.execute(
            update(mails)
            .where(mails.c.tenant == tenant, mails.c.id == mail)
            .values(raw=None, letter=json.dumps(letter), subject=subject)
        )
    await c.execute(
        delete(mail_recipients).where(
            mail_recipients.c.tenant == tenant, mail_recipients.c.address.in_(known.names)
        )
    )
    await drop_orphans(c, tenant, [row.raw for row in shared.values() if row.raw])
    return count


def _leave(letter: dict[str, Any], known: Known) -> bool:
    """Take her out of those whom a letter goes to; returns whether anybody is left."""
    for part in ("to", "cc"):
        told = letter.get(part) or []
        letter[part] = [one for one in told if str(one).strip().casefold() not in known.names]
    return bool(letter["to"] or letter["cc"])


async def erase_from_outbox(c: AsyncConnection, tenant: str, known: Known, mine: list[int]) -> None:
    """Take out what was, or is, to go to her, and her address of all else.

    A mail that is being sent this moment goes.
    """
    for some in chunks(mine):
        # They quote her, and go to a vendor.
        quoting = select("referral:" + referrals.c.id).where(
            referrals.c.tenant == tenant, referrals.c.ticket.in_(some)
        )
        await c.execute(
            delete(outbox).where(
                outbox.c.tenant == tenant,
                outbox.c.kind == "mail",
                outbox.c.state != "taken",
                outbox.c.key.in_(quoting),
            )
        )
    traces = traces_of(known)
    if traces is None:
        return

    def rename(_: str, text: str) -> str:
        return traces.sub(ERASED, text)

    for address in (name for name in known.names if "@" in name):
        inside = outbox.c.payload.icontains(json.dumps(address)[1:-1], autoescape=True)
        query = select(outbox.c.id, outbox.c.kind, outbox.c.state, outbox.c.payload)
        for row in (await c.execute(query.where(outbox.c.tenant == tenant, inside))).all():
            await _erase_from_item(c, tenant, row, known, rename)


async def _erase_from_item(
    c: AsyncConnection, tenant: str, row: Any, known: Known, rename: Rename
) -> None:
    this = and_(outbox.c.tenant == tenant, outbox.c.id == row.id)
    payload = json.loads(row.payload)
    if row.kind == "mail" and ("to" in payload or "cc" in payload):
        if row.state == "taken":
            return
        if not _leave(payload, known):
            await c.execute(delete(outbox).where(this))
            return
    text = json.dumps(renamed("", payload, rename), sort_keys=True)
    await c.execute(update(outbox).where(this).values(payload=text))
