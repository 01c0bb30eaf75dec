"""Webhooks: where an event goes, and which ones; kept with a secret that is shown once.

A secret is drawn here or typed by the admin, kept sealed, and never given out again; who lost it
sets another.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.sealing import make_sealing
from farhand_server.errors import not_found
from farhand_server.outbox.calling import check_address
from farhand_server.outbox.items import put
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import webhooks
from farhand_server.webhooks.events import check_events, is_wanted

__all__ = [
    "MAX_WEBHOOKS",
    "MIN_SECRET_CHARS",
    "Endpoint",
    "NewEndpoint",
    "add_endpoint",
    "check_name",
    "check_secret",
    "get_endpoint",
    "list_endpoints",
    "queue_delivery",
    "queue_for_all",
    "remove_endpoint",
    "secret_of",
    "set_enabled",
]

MAX_WEBHOOKS: Final = 100
MIN_SECRET_CHARS: Final = 16
_MAX_SECRET_CHARS: Final = 500
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook to be; without a secret one is drawn."""

    name: str
    url: str
    events: list[str] = msgspec.field(default_factory=lambda: ["*"])
    secret: str = ""
    allow_private: bool = False


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook; `secret` only in the answer to its making, where it was drawn here."""

    name: str
    url: str
    events: list[str]
    allow_private: bool
    enabled: bool
    last_status: str
    last_at: str | None
    created_by: str
    created_at: str
    secret: str | None = None


def check_name(name: str, what: str) -> str:
    """Return a name that can stand in addresses and keys.

    Raises:
        UsageError: `invalid`.
    """
    if not _NAME.match(name):
        raise UsageError(
            "invalid", f"the name of a {what} has 1 to 40 of a-z 0-9 - and begins with a letter"
        )
    return name


def check_secret(relay: Relay, typed: str) -> tuple[str, bool]:
    """Return the secret to use, and whether it was drawn here.

    Raises:
        UsageError: `invalid` for one that is too short to be one.
    """
    if not typed:
        return base64.urlsafe_b64encode(relay.random(32)).decode().rstrip("="), True
    if not MIN_SECRET_CHARS <= len(typed) <= _MAX_SECRET_CHARS or not typed.isprintable():
        raise UsageError(
            "invalid",
            f"a secret has {MIN_SECRET_CHARS} to {_MAX_SECRET_CHARS} printable characters",
        )
    return typed, False


def _purpose(name: str) -> str:
    return f"webhook {name}"


async def add_endpoint(
    c: AsyncConnection, relay: Relay, *, new: NewEndpoint, actor: str
) -> Endpoint:
    """Add a webhook.

    Raises:
        FarhandError: `invalid`, `event-unknown`, `url-malformed`, `url-insecure`;
            `webhook-exists`, `webhook-limit`.
    """
    name = check_name(new.name, "webhook")
    secret, drawn = check_secret(relay, new.secret)
    count = await c.scalar(
        select(func.count()).select_from(webhooks).where(webhooks.c.tenant == relay.tenant)
    )
    if (count or 0) >= MAX_WEBHOOKS:
        raise FarhandError("webhook-limit", f"there are {MAX_WEBHOOKS} webhooks already")
    row = {
        "name": name,
        "url": check_address(new.url),
        "events": json.dumps(check_events(new.events)),
        "allow_private": new.allow_private,
        "enabled": True,
        "last_status": "",
        "last_at": None,
        "created_by": actor,
        "created_at": relay.stamp(),
    }
    sealed = relay.service(make_sealing).seal(secret.encode(), _purpose(name))
    try:
        async with c.begin_nested():
            await c.execute(insert(webhooks).values(tenant=relay.tenant, secret=sealed, **row))
    except IntegrityError as error:
        raise FarhandError("webhook-exists", f"there is a webhook {name} already") from error
    await relay.audit.append(c, actor=actor, action="webhook.add", subject=name)
    made = await get_endpoint(c, relay.tenant, name)
    return msgspec.structs.replace(made, secret=secret) if drawn else made


async def get_endpoint(c: AsyncConnection, tenant: str, name: str) -> Endpoint:
    """Return a webhook.

    Raises:
        FarhandError: `not-found`.
    """
    return _endpoint(await _row(c, tenant, name))


async def _row(c: AsyncConnection, tenant: str, name: str) -> RowMapping:
    query = select(webhooks).where(webhooks.c.tenant == tenant, webhooks.c.name == name)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("webhook", name)
    return row


def _endpoint(row: RowMapping) -> Endpoint:
    names = [name for name in Endpoint.__struct_fields__ if name not in ("events", "secret")]
    return Endpoint(events=json.loads(row["events"]), **{name: row[name] for name in names})


async def list_endpoints(c: AsyncConnection, tenant: str) -> list[Endpoint]:
    """Return all webhooks by name; there are at most `MAX_WEBHOOKS`."""
    query = select(webhooks).where(webhooks.c.tenant == tenant).order_by(webhooks.c.name)
    return [_endpoint(row) for row in (await c.execute(query)).mappings()]


async def secret_of(c: AsyncConnection, relay: Relay, name: str) -> bytes:
    """Return a webhook's secret, for signing.

    Raises:
        FarhandError: `not-found`, `sealed-unreadable`.
    """
    row = await _row(c, relay.tenant, name)
    return relay.service(make_sealing).open(row["secret"], _purpose(name))


async def set_enabled(
    c: AsyncConnection, relay: Relay, *, name: str, enabled: bool, actor: str
) -> Endpoint:
    """Stop or go on telling a webhook; what is in the outbox meanwhile is given up.

    Raises:
        FarhandError: `not-found`.
    """
    await _row(c, relay.tenant, name)
    await c.execute(
        update(webhooks)
        .where(webhooks.c.tenant == relay.tenant, webhooks.c.name == name)
        .values(enabled=enabled)
    )
    action = "webhook.enable" if enabled else "webhook.disable"
    await relay.audit.append(c, actor=actor, action=action, subject=name)
    return await get_endpoint(c, relay.tenant, name)


async def remove_endpoint(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> None:
    """Remove a webhook.

    Raises:
        FarhandError: `not-found`.
    """
    await _row(c, relay.tenant, name)
    await c.execute(
        delete(webhooks).where(webhooks.c.tenant == relay.tenant, webhooks.c.name == name)
    )
    await relay.audit.append(c, actor=actor, action="webhook.remove", subject=name)


async def queue_delivery(
    c: AsyncConnection, relay: Relay, *, webhook: str, event: str, body: str, key: str
) -> str:
    """Put a delivery into the outbox; the same webhook and key once."""
    return await put(
        c,
        relay,
        kind="webhook",
        payload={"webhook": webhook, "event": event, "body": body},
        key=f"{webhook} {key}",
    )


async def queue_for_all(
    c: AsyncConnection, relay: Relay, *, event: str, body: str, key: str
) -> None:
    """Put a delivery for each webhook that wants this event into the outbox."""
    for endpoint in await list_endpoints(c, relay.tenant):
        if endpoint.enabled and is_wanted(endpoint.events, event):
            await queue_delivery(c, relay, webhook=endpoint.name, event=event, body=body, key=key)
