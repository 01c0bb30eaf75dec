"""Promises that are nearly spent: noted once as an event, at four fifths of their time.

A look is dear (a ticket's clocks are made from its events), so a ticket that was looked at is left
alone until the earliest moment at which it could be due for a note: open time never passes faster
than time.  What is remembered of that is only of this node, and bounded.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, select

from farhand_server.clock import stamp
from farhand_server.desk.service import service_of
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.store.schema import ticket_events, tickets

__all__ = ["Soon", "make_soon"]

_SHARE: Final = 0.8
_HORIZON: Final = timedelta(days=14)
_AT_ONCE: Final = 500
_MAX_KEPT: Final = 10_000
_THE_RELAY: Final = "relay"


def make_soon(relay: Relay) -> Soon:
    """Return the relay's watch over promises."""
    return Soon(relay)


class Soon:
    """Looks at tickets whose promises run, and notes those that are nearly spent."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._not_before: OrderedDict[tuple[int, str], datetime] = OrderedDict()

    async def sweep(self) -> None:
        """Note what is nearly spent.

        Raises:
            FarhandError: the store's; a later sweep goes on.
        """
        relay, now = self._relay, self._relay.now()
        query = (
            select(tickets.c.number, tickets.c.due_at)
            .where(
                tickets.c.tenant == relay.tenant,
                tickets.c.due_known.is_(True),
                tickets.c.due_at > stamp(now),
                tickets.c.due_at < stamp(now + _HORIZON),
                tickets.c.state.not_in(ENDED),
            )
            .order_by(tickets.c.due_at)
            .limit(_AT_ONCE)
        )
        async with relay.db.read() as c:
            found = (await c.execute(query)).all()
        for row in found:
            key = (row.number, row.due_at)
            if self._not_before.get(key, now) <= now:
                self._remember(key, await self._look(row.number, now))

    async def _look(self, number: int, now: datetime) -> datetime:
        """Note what is nearly spent of one ticket; returns when to look again."""
        relay = self._relay
        async with relay.db.read() as c:
            timers = await service_of(c, relay, number)
        again = now + _HORIZON
        for one in timers:
            if one.state != "running" or one.due_at is None:
                continue
            left_s = one.target_s * _SHARE - one.spent_s
            if left_s > 0:
                again = min(again, now + timedelta(seconds=left_s))
                continue
            detail = {
                "metric": one.metric,
                "due_at": stamp(one.due_at),
                "target_s": one.target_s,
            }
            await self._note(number, detail)
        return again

    async def _note(self, number: int, detail: dict[str, object]) -> None:
        relay = self._relay
        text = json.dumps(detail, sort_keys=True)
        known = and_(
            ticket_events.c.tenant == relay.tenant,
            ticket_events.c.ticket == number,
            ticket_events.c.kind == "service-soon",
            ticket_events.c.detail == text,
        )
        mine = and_(tickets.c.tenant == relay.tenant, tickets.c.number == number)
        async with relay.db.write() as c:
            # Held, so that of two nodes one notes it.
            await c.execute(select(tickets.c.number).where(mine).with_for_update())
            if (await c.execute(select(ticket_events.c.seq).where(known).limit(1))).first():
                return
            at = relay.stamp()
            await add_event(c, relay.tenant, number, "service-soon", _THE_RELAY, detail, at)

    def _remember(self, key: tuple[int, str], again: datetime) -> None:
        self._not_before[key] = again
        self._not_before.move_to_end(key)
        while len(self._not_before) > _MAX_KEPT:
            self._not_before.popitem(last=False)
