"""Which ticket here is the one of another desk: by its key, if somebody of ours gave it that key.

A key alone is no proof.  Whoever asks for help could have written one on her own ticket, and would
read there what the desk says to somebody else.
"""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.accounts.directory import make_directory
from farhand_server.desk.tickets import Ticket, ticket_of_row
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, tickets

__all__ = ["find_joined", "is_joined"]

_STAFF = ("technician", "admin")


async def is_joined(c: AsyncConnection, relay: Relay, ticket: Ticket) -> bool:
    """Tell whether somebody who works here made the ticket, and so gave it its key."""
    account = await relay.service(make_directory).find(c, ticket.created_by)
    return account is not None and account.role in _STAFF


async def find_joined(c: AsyncConnection, relay: Relay, external_key: str) -> Ticket | None:
    """Return the newest ticket that somebody of the desk made for a key, `CONNECTOR:KEY`."""
    by_staff = exists().where(
        accounts.c.tenant == tickets.c.tenant,
        accounts.c.name == tickets.c.created_by,
        accounts.c.role.in_(_STAFF),
    )
    query = (
        select(tickets)
        .where(
            tickets.c.tenant == relay.tenant,
            tickets.c.external_key == external_key.replace("\0", ""),
            by_staff,
        )
        .order_by(tickets.c.number.desc())
        .limit(1)
    )
    row = (await c.execute(query)).mappings().first()
    return None if row is None else ticket_of_row(row)
