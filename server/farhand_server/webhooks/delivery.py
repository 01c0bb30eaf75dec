"""Tells webhooks what happened: queued as events come, sent and signed by the outbox.

    2xx                      done
    410, or no such webhook  given up
    anything else            later

A delivery's id is the same at each try, so a receiver can leave out what it has.
"""

from __future__ import annotations

import uuid
from typing import Final

import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.tickets import get_ticket
from farhand_server.outbox.calling import Answer, call
from farhand_server.outbox.items import Item
from farhand_server.outbox.sending import GiveUp, TryLater
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import webhooks
from farhand_server.webhooks.endpoints import Endpoint, get_endpoint, queue_for_all, secret_of
from farhand_server.webhooks.events import TICKET_EVENTS, event_body
from farhand_server.webhooks.signing import HEADER, sign

__all__ = ["Tried", "heed_webhooks", "send_webhook", "try_webhook"]

_ANSWER_BYTES: Final = 16 * 1024
_NAMESPACE: Final = uuid.UUID("6f0c1c1e-5d0e-5c55-9d0f-6661726861ad")


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a test came to; `status` is 0 where nothing answered."""

    status: int
    words: str


async def heed_webhooks(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Queue an event for whoever wants it; a heeder of `desk.heed`."""
    if event.kind not in TICKET_EVENTS:
        return
    ticket = await get_ticket(c, relay.tenant, str(event.ticket))
    if ticket.security:
        return
    await queue_for_all(
        c,
        relay,
        event=f"ticket.{event.kind}",
        body=event_body(event, ticket),
        key=f"event {event.seq}",
    )


async def send_webhook(relay: Relay, item: Item) -> None:
    """Send one delivery; a sender of the outbox."""
    name = str(item.payload["webhook"])
    try:
        async with relay.db.read() as c:
            endpoint = await get_endpoint(c, relay.tenant, name)
            secret = await secret_of(c, relay, name)
    except FarhandError as error:
        if error.code != "not-found":
            raise
        raise GiveUp("the webhook was removed") from error
    if not endpoint.enabled:
        raise GiveUp("the webhook is switched off")
    try:
        answer = await _post(relay, endpoint, secret, item.payload, item.id)
    except FarhandError as error:
        await _note(relay, name, f"{error.code}: {error.message}")
        raise
    await _note(relay, name, str(answer.status))
    if 200 <= answer.status < 300:
        return
    if answer.status == 410:
        raise GiveUp("its server says that it is gone (410)")
    raise TryLater(f"its server answered {answer.status}", answer.retry_after_s)


async def try_webhook(relay: Relay, name: str) -> Tried:
    """Send a delivery that means nothing, now, and say what came of it.

    Raises:
        FarhandError: `not-found`.
    """
    async with relay.db.read() as c:
        endpoint = await get_endpoint(c, relay.tenant, name)
        secret = await secret_of(c, relay, name)
    body = f'{{"at": "{relay.stamp()}", "event": "test"}}'
    try:
        answer = await _post(relay, endpoint, secret, {"event": "test", "body": body}, body)
    except FarhandError as error:
        return Tried(status=0, words=f"{error.code}: {error.message}")
    await _note(relay, name, str(answer.status))
    return Tried(status=answer.status, words="taken" if answer.status // 100 == 2 else "not taken")


async def _post(
    relay: Relay, endpoint: Endpoint, secret: bytes, payload: dict[str, str], about: str
) -> Answer:
    body = payload["body"].encode()
    return await call(
        "POST",
        endpoint.url,
        headers={
            "Content-Type": "application/json",
            "X-Farhand-Event": payload["event"],
            "X-Farhand-Delivery": str(uuid.uuid5(_NAMESPACE, about)),
            HEADER: sign(secret, body, at=int(relay.now().timestamp())),
        },
        content=body,
        allow_private=endpoint.allow_private,
        max_bytes=_ANSWER_BYTES,
    )


async def _note(relay: Relay, name: str, status: str) -> None:
    async with relay.db.write() as c:
        await c.execute(
            update(webhooks)
            .where(webhooks.c.tenant == relay.tenant, webhooks.c.name == name)
            .values(last_status=status[:200], last_at=relay.stamp())
        )
