"""What keeps two machines from writing to each other for ever, when all else fails.

Automatic mails are told by their headers (`mail.classes`) and never answered.  These bounds hold
where that fails: how many automatic mails one address is sent, how often mail reopens one ticket,
how many tickets one address begins, each within an hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_events
from farhand_server.store.schema.mail import mail_recipients, mails

__all__ = [
    "MAX_AUTO_AN_HOUR",
    "MAX_NEW_AN_HOUR",
    "MAX_REOPENED_AN_HOUR",
    "RECEIPT",
    "may_begin",
    "may_reopen",
    "may_write_automatically",
]

MAX_AUTO_AN_HOUR: Final = 3
MAX_REOPENED_AN_HOUR: Final = 3
MAX_NEW_AN_HOUR: Final = 30
# Of `mails.auto`: it only says that a mail arrived.
RECEIPT: Final = "receipt"


def _an_hour_ago(relay: Relay) -> str:
    return stamp(relay.now() - timedelta(hours=1))


async def may_write_automatically(
    c: AsyncConnection, relay: Relay, address: str, *, receipt: bool = False
) -> bool:
    """Tell whether an address may be sent another automatic mail now.

    Receipts count apart: anybody causes them in anybody's name, and they are not to use up what
    she is to be told.
    """
    query = (
        select(func.count())
        .select_from(mail_recipients)
        .join(
            mails,
            (mails.c.tenant == mail_recipients.c.tenant) & (mails.c.id == mail_recipients.c.mail),
        )
        .where(
            (mails.c.auto == RECEIPT) if receipt else (mails.c.auto != RECEIPT),
            mail_recipients.c.tenant == relay.tenant,
            mail_recipients.c.address == address,
            mail_recipients.c.auto.is_(True),
            mail_recipients.c.at > _an_hour_ago(relay),
        )
    )
    return int(await c.scalar(query) or 0) < MAX_AUTO_AN_HOUR


async def may_reopen(c: AsyncConnection, relay: Relay, ticket: int) -> bool:
    """Tell whether mail may reopen a ticket once more."""
    query = (
        select(func.count())
        .select_from(ticket_events)
        .where(
            ticket_events.c.tenant == relay.tenant,
            ticket_events.c.ticket == ticket,
            ticket_events.c.kind == "reopened",
            ticket_events.c.at > _an_hour_ago(relay),
        )
    )
    return int(await c.scalar(query) or 0) < MAX_REOPENED_AN_HOUR


async def may_begin(c: AsyncConnection, relay: Relay, address: str) -> bool:
    """Tell whether mail of an address may begin another ticket."""
    where: list[ColumnElement[bool]] = [
        mails.c.tenant == relay.tenant,
        mails.c.direction == "in",
        mails.c.sender == address,
        mails.c.reason == "new",
        mails.c.at > _an_hour_ago(relay),
    ]
    count = await c.scalar(select(func.count()).select_from(mails).where(*where))
    return int(count or 0) < MAX_NEW_AN_HOUR
