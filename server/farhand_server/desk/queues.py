"""Queues: where tickets wait for somebody, and how long a resolved one may come back.

The queue `desk` always exists, with the defaults below, until an admin says otherwise.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import RowMapping, and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.kind_promises import promise_of_kind
from farhand_server.desk.service import get_policy
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import queues
from farhand_server.wording import check_line

__all__ = [
    "CLOSE_DAYS",
    "DEFAULT_QUEUE",
    "MAX_QUEUES",
    "REOPEN_DAYS",
    "Queue",
    "QueueTerms",
    "get_queue",
    "list_queues",
    "promised_in",
    "set_queue",
]

DEFAULT_QUEUE: Final = "desk"
MAX_QUEUES: Final = 200
REOPEN_DAYS: Final = 7
CLOSE_DAYS: Final = 7
_MAX_NAME_CHARS: Final = 40


class QueueTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin sets: days after which an answer reopens no more, and silence closes.

    `policy` names the service policy of tickets that come here from then on.
    """

    title: str = ""
    reopen_days: int = REOPEN_DAYS
    close_days: int = CLOSE_DAYS
    policy: str | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One queue."""

    name: str
    title: str
    reopen_days: int
    close_days: int
    policy: str | None = None


_DESK: Final = Queue(
    name=DEFAULT_QUEUE, title="Desk", reopen_days=REOPEN_DAYS, close_days=CLOSE_DAYS
)


def _queue(row: RowMapping) -> Queue:
    return Queue(**{name: row[name] for name in Queue.__struct_fields__})


async def get_queue(c: AsyncConnection, tenant: str, name: str) -> Queue:
    """Return a queue.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(queues).where(queues.c.tenant == tenant, queues.c.name == name)
    row = (await c.execute(query)).mappings().first()
    if row is not None:
        return _queue(row)
    if name == DEFAULT_QUEUE:
        return _DESK
    raise not_found("queue", name)


async def promised_in(
    c: AsyncConnection, tenant: str, name: str, *, kind: str, contract: str | None = None
) -> dict[str, object]:
    """Return the columns of a ticket that say what is promised.

    Args:
        c: any connection.
        tenant: organisation.
        name: of the queue, which promises where nothing else does.
        kind: of the ticket, whose own promise goes first.
        contract: what its contract promises (a policy), where it does.

    Raises:
        FarhandError: `not-found` for a queue that does not exist.
    """
    queue = await get_queue(c, tenant, name)
    policy = await promise_of_kind(c, tenant, kind) or contract or queue.policy
    version = None if policy is None else (await get_policy(c, tenant, policy)).version
    return {"policy": policy, "policy_version": version}


async def list_queues(c: AsyncConnection, tenant: str) -> list[Queue]:
    """Return every queue by name; there are at most `MAX_QUEUES`."""
    query = select(queues).where(queues.c.tenant == tenant).order_by(queues.c.name)
    found = [_queue(row) for row in (await c.execute(query)).mappings()]
    if all(one.name != DEFAULT_QUEUE for one in found):
        found.append(_DESK)
    return sorted(found, key=lambda one: one.name)


async def set_queue(
    c: AsyncConnection, relay: Relay, *, name: str, terms: QueueTerms, actor: str
) -> Queue:
    """Make a queue, or change its terms.

    Raises:
        FarhandError: `invalid`; `not-found` for a policy; `queue-limit` past `MAX_QUEUES`.
    """
    name = check_line(name, "queue's name", max_chars=_MAX_NAME_CHARS)
    if not all(part.isalnum() for part in name.split("-")) or name != name.lower():
        raise FarhandError("invalid", "a queue's name is lower case letters, digits and hyphens")
    if terms.close_days < terms.reopen_days:
        raise FarhandError(
            "invalid", "silence may not close a ticket before an answer stops reopening it"
        )
    for days, what in ((terms.reopen_days, "reopen"), (terms.close_days, "close")):
        if not 0 <= days <= 365:
            raise FarhandError("invalid", f"the days to {what} are 0 to 365")
    known = {one.name for one in await list_queues(c, relay.tenant)}
    if name not in known and len(known) >= MAX_QUEUES:
        raise FarhandError("queue-limit", f"there are {MAX_QUEUES} queues already")
    made = Queue(
        name=name,
        title=check_line(terms.title or name, "queue's title"),
        reopen_days=terms.reopen_days,
        close_days=terms.close_days,
        policy=terms.policy,
    )
    if made.policy is not None:
        await get_policy(c, relay.tenant, made.policy)
    await relay.audit.append(c, actor=actor, action="queue.set", subject=name)
    await c.execute(
        delete(queues).where(and_(queues.c.tenant == relay.tenant, queues.c.name == name))
    )
    await c.execute(insert(queues).values(tenant=relay.tenant, **msgspec.structs.asdict(made)))
    return made
