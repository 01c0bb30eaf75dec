"""Follows the issues of open bugs: by the tracker's webhook where there is one, else by asking.

Each open bug with an issue is asked for once an hour, by whichever node takes it first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.bugs.bugs import change_state, list_bugs
from farhand_server.clock import stamp
from farhand_server.connectors.desks import ForeignEvent
from farhand_server.connectors.registry import open_connector, split_key
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import bugs

__all__ = ["ASKED_EVERY", "ask_trackers", "ask_trackers_for_ever", "heed_tracker"]

_log = logging.getLogger(__name__)

ASKED_EVERY: Final = timedelta(hours=1)
_EVERY_S: Final = 300.0
_AT_ONCE: Final = 50
_ACTOR: Final = "relay"


async def heed_tracker(
    c: AsyncConnection, relay: Relay, *, connector: str, events: Sequence[ForeignEvent]
) -> list[str]:
    """Fix the bugs whose issues are done, by the tracker's word; returns which."""
    fixed = []
    for event in events:
        if not event.is_done:
            continue
        key = f"{connector}:{event.key}"
        for bug in await list_bugs(c, relay.tenant, state="open", external_key=key):
            changed = await change_state(
                c, relay, ref=bug.id, state="fixed", fixed_in=event.fixed_in, actor=_ACTOR
            )
            fixed.append(changed.id)
    return fixed


async def ask_trackers_for_ever(relay: Relay) -> None:
    """Ask for what is due now and then; runs until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            await ask_trackers(relay)
        except FarhandError as error:
            _log.warning("the trackers of bugs were not asked: %s", error)


async def ask_trackers(relay: Relay) -> list[str]:
    """Ask for the issues that are due, one after the other; returns which bugs are fixed.

    Raises:
        FarhandError: the store's; a tracker that does not answer is asked again in an hour.
    """
    due = stamp(relay.now() - ASKED_EVERY)
    where = [
        bugs.c.tenant == relay.tenant,
        bugs.c.state == "open",
        bugs.c.external_key.is_not(None),
        bugs.c.looked_at <= due,
    ]
    query = select(bugs.c.number, bugs.c.external_key).where(*where).order_by(bugs.c.looked_at)
    async with relay.db.read() as c:
        found = (await c.execute(query.limit(_AT_ONCE))).all()
    fixed: list[str] = []
    for number, external_key in found:
        async with relay.db.write() as c:
            mine = update(bugs).where(*where, bugs.c.number == number)
            if (await c.execute(mine.values(looked_at=relay.stamp()))).rowcount != 1:
                continue  # another node asks
        try:
            fixed += await _ask(relay, external_key)
        except FarhandError as error:
            _log.info("%s was not asked for: %s", external_key, error)
    return fixed


async def _ask(relay: Relay, external_key: str) -> list[str]:
    name, key = split_key(external_key)
    async with relay.db.read() as c:
        opened = await open_connector(c, relay, name)
    found = await opened.desk.get(key)
    event = ForeignEvent(key=key, state=found.state, is_done=found.is_done, fixed_in=found.fixed_in)
    async with relay.db.write() as c:
        return await heed_tracker(c, relay, connector=name, events=[event])
