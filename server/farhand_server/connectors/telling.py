"""Tells another desk what became of its ticket: queued as it happens, sent by the outbox.

    a session ended        its time entry brings it: summary, link, minutes, hash
    a ticket was resolved  the closing note

Only for a ticket whose key somebody of the desk gave it (`connectors.joined`).  A session that was
held for a foreign key alone, with no ticket of ours, is found by a sweep.  What went out once has
an item of the outbox under its key; at any later try, also one that a person asked for, a comment
is looked for before it is made.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.connectors.desks import DeskError, Reference, Remark
from farhand_server.connectors.joined import is_joined
from farhand_server.connectors.registry import find_connector, open_connector, split_key
from farhand_server.connectors.summary import of_session, of_ticket
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.tickets import get_ticket
from farhand_server.outbox.items import Item, put
from farhand_server.outbox.sending import GiveUp, TryLater
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.store.schema import sessions, ticket_messages

__all__ = ["heed_connectors", "send_connector", "sweep_sessions", "sweep_sessions_for_ever"]

_log = logging.getLogger(__name__)

_EVERY_S: Final = 60.0
_LOOK_BACK: Final = timedelta(days=1)
_AT_ONCE: Final = 200
# What no second try will change.
_NEVER: Final = (400, 404, 405, 410, 413, 422)


async def heed_connectors(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Queue what another desk is to hear of an event; a heeder of `desk.heed`."""
    if event.kind not in ("time", "resolved"):
        return
    ticket = await get_ticket(c, relay.tenant, str(event.ticket))
    name, key = split_key(ticket.external_key or "")
    connector = await find_connector(c, relay.tenant, name)
    if connector is None or ticket.security or not await is_joined(c, relay, ticket):
        return
    if event.kind == "resolved":
        told = of_ticket(relay, ticket.row, await _note(c, relay, event))
        await _queue(c, relay, name, key, told, f"{name} resolved {event.seq}")
    elif isinstance(session := event.detail.get("session"), str):
        found = await rows.find(c, relay.tenant, session)
        if found is not None:
            told = of_session(relay, found, ticket=ticket.row)
            await _queue(c, relay, name, key, told, f"{name} session {session}")


async def _note(c: AsyncConnection, relay: Relay, event: HeededEvent) -> str:
    query = select(ticket_messages.c.body).where(
        ticket_messages.c.tenant == relay.tenant,
        ticket_messages.c.ticket == event.ticket,
        ticket_messages.c.seq == event.detail.get("message"),
    )
    return str(await c.scalar(query) or "")


async def _queue(
    c: AsyncConnection, relay: Relay, name: str, key: str, told: dict[str, Any], once: str
) -> None:
    await put(c, relay, kind="connector", payload={"connector": name, "key": key, **told}, key=once)


async def send_connector(relay: Relay, item: Item) -> None:
    """Tell one desk; a sender of the outbox."""
    payload = item.payload
    try:
        async with relay.db.read() as c:
            opened = await open_connector(c, relay, str(payload["connector"]))
    except FarhandError as error:
        if error.code != "not-found":
            raise
        raise GiveUp("the connector was removed") from error
    desk, key = opened.desk, str(payload["key"])
    reference = Reference(**payload["link"])
    try:
        linked = False if desk.is_public else await desk.link(key, reference)
        remark = Remark(
            text=_words(payload, reference, is_public=desk.is_public, linked=linked),
            marker=item.id,
            minutes=int(payload["minutes"]),
        )
        await desk.comment(key, remark, again=item.claims > 1)
    except DeskError as error:
        if error.status in _NEVER:
            raise GiveUp(error.message) from error
        raise TryLater(error.message, error.retry_after_s) from error


def _words(payload: dict[str, Any], reference: Reference, *, is_public: bool, linked: bool) -> str:
    parts = [str(payload["text"])]
    if not is_public:
        parts += [str(payload["summary"])] if payload["summary"] else []
        parts += [] if linked else [f"{reference.title}: {reference.url}"]
    return "\n\n".join(parts)


async def sweep_sessions_for_ever(relay: Relay) -> None:
    """Look now and then for sessions that ended without a ticket; runs until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            await sweep_sessions(relay)
        except FarhandError as error:
            _log.warning("sessions for other desks were not looked at: %s", error)


async def sweep_sessions(relay: Relay) -> None:
    """Queue what other desks are to hear of sessions that were held for their tickets alone.

    Raises:
        FarhandError: the store's; what was not done is done by a later sweep.
    """
    query = (
        select(sessions.c.id, sessions.c.external_key)
        .where(
            sessions.c.tenant == relay.tenant,
            sessions.c.state == "ended",
            sessions.c.ticket.is_(None),
            sessions.c.external_key.is_not(None),
            sessions.c.started_at.is_not(None),
            sessions.c.ended_at > stamp(relay.now() - _LOOK_BACK),
        )
        .order_by(sessions.c.ended_at.desc())
        .limit(_AT_ONCE)
    )
    async with relay.db.read() as c:
        ended = (await c.execute(query)).all()
    for session, external_key in ended:
        name, key = split_key(external_key)
        async with relay.db.write() as c:
            if await find_connector(c, relay.tenant, name) is None:
                continue
            found = await rows.find(c, relay.tenant, session)
            if found is not None:
                told = of_session(relay, found, ticket=None)
                await _queue(c, relay, name, key, told, f"{name} session {session}")
