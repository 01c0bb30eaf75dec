"""Inbound hooks: where other programs bring messages or alerts, and how they show who they are.

    X-Farhand-Signature-256: t=..,sha256=..     signed with the hook's secret, and fresh
    X-Hub-Signature-256: sha256=..              signed the way that many programs know
    X-Farhand-Token: SECRET                     for those that sign nothing; TLS hides it

A hook is named in its address, the name is no secret, and a caller that cannot show the secret
learns only that it was refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.sealing import make_sealing
from farhand_server.desk.queues import DEFAULT_QUEUE, get_queue
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import inbound_hooks
from farhand_server.webhooks.endpoints import check_name, check_secret
from farhand_server.webhooks.signing import HEADER, hex_hmac, is_signed

__all__ = [
    "MAX_DELIVERIES_A_MINUTE",
    "MAX_DELIVERY_BYTES",
    "MAX_HOOKS",
    "Hook",
    "HookRates",
    "NewHook",
    "add_hook",
    "get_hook",
    "list_hooks",
    "make_hook_rates",
    "open_hook",
    "remove_hook",
]

MAX_HOOKS: Final = 100
MAX_DELIVERY_BYTES: Final = 256 * 1024
MAX_DELIVERIES_A_MINUTE: Final = 120
Purpose = Literal["messages", "alerts"]


class NewHook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hook to be; without a secret one is drawn.

    With `resolves` the end of an alert resolves its ticket; without it a person does.
    """

    name: str
    purpose: Purpose = "messages"
    queue: str = DEFAULT_QUEUE
    resolves: bool = False
    secret: str = ""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A hook; `secret` only in the answer to its making, where it was drawn here."""

    name: str
    purpose: Purpose
    queue: str
    resolves: bool
    enabled: bool
    last_at: str | None
    created_by: str
    created_at: str
    secret: str | None = None


class HookRates:
    """How often each hook is heard."""

    def __init__(self, relay: Relay) -> None:
        self.deliveries = RateLimit(
            relay.clock,
            limit=MAX_DELIVERIES_A_MINUTE,
            window_s=60,
            message="too many deliveries to this hook",
        )


def make_hook_rates(relay: Relay) -> HookRates:
    """Return this node's counts."""
    return HookRates(relay)


def _purpose(name: str) -> str:
    return f"hook {name}"


async def add_hook(c: AsyncConnection, relay: Relay, *, new: NewHook, actor: str) -> Hook:
    """Add a hook.

    Raises:
        FarhandError: `invalid`, `not-found` for the queue; `hook-exists`, `hook-limit`.
    """
    name = check_name(new.name, "hook")
    if new.resolves and new.purpose != "alerts":
        raise UsageError("invalid", "only the end of an alert can resolve a ticket")
    secret, drawn = check_secret(relay, new.secret)
    await get_queue(c, relay.tenant, new.queue)
    count = await c.scalar(
        select(func.count())
        .select_from(inbound_hooks)
        .where(inbound_hooks.c.tenant == relay.tenant)
    )
    if (count or 0) >= MAX_HOOKS:
        raise FarhandError("hook-limit", f"there are {MAX_HOOKS} hooks already")
    try:
        async with c.begin_nested():
            await c.execute(
                insert(inbound_hooks).values(
                    tenant=relay.tenant,
                    name=name,
                    purpose=new.purpose,
                    queue=new.queue,
                    resolves=new.resolves,
                    secret=relay.service(make_sealing).seal(secret.encode(), _purpose(name)),
                    enabled=True,
                    last_at=None,
                    created_by=actor,
                    created_at=relay.stamp(),
                )
            )
    except IntegrityError as error:
        raise FarhandError("hook-exists", f"there is a hook {name} already") from error
    await relay.audit.append(c, actor=actor, action="hook.add", subject=name)
    made = await get_hook(c, relay.tenant, name)
    return msgspec.structs.replace(made, secret=secret) if drawn else made


async def get_hook(c: AsyncConnection, tenant: str, name: str) -> Hook:
    """Return a hook.

    Raises:
        FarhandError: `not-found`.
    """
    return _hook(await _row(c, tenant, name))


async def _row(c: AsyncConnection, tenant: str, name: str) -> RowMapping:
    query = select(inbound_hooks).where(
        inbound_hooks.c.tenant == tenant, inbound_hooks.c.name == name
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("hook", name)
    return row


def _hook(row: RowMapping) -> Hook:
    return Hook(**{name: row[name] for name in Hook.__struct_fields__ if name != "secret"})


async def list_hooks(c: AsyncConnection, tenant: str) -> list[Hook]:
    """Return all hooks by name; there are at most `MAX_HOOKS`."""
    query = select(inbound_hooks).where(inbound_hooks.c.tenant == tenant)
    rows = (await c.execute(query.order_by(inbound_hooks.c.name))).mappings()
    return [_hook(row) for row in rows]


async def remove_hook(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> None:
    """Remove a hook; its tickets stay.

    Raises:
        FarhandError: `not-found`.
    """
    await _row(c, relay.tenant, name)
    await c.execute(
        delete(inbound_hooks).where(
            inbound_hooks.c.tenant == relay.tenant, inbound_hooks.c.name == name
        )
    )
    await relay.audit.append(c, actor=actor, action="hook.remove", subject=name)


async def open_hook(
    c: AsyncConnection, relay: Relay, *, name: str, headers: Mapping[str, str], body: bytes
) -> Hook:
    """Return the hook that this delivery may speak to, and note that it was heard.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        name: as the address says.
        headers: of the request, names in lower case.
        body: as it came.

    Raises:
        FarhandError: `not-found`; `hook-refused` for whoever cannot show the secret.
    """
    row = await _row(c, relay.tenant, name)
    secret = relay.service(make_sealing).open(row["secret"], _purpose(name))
    if not row["enabled"] or not _shows(secret, headers, body, int(relay.now().timestamp())):
        raise FarhandError("hook-refused", "the delivery is not signed with this hook's secret")
    await c.execute(
        update(inbound_hooks)
        .where(inbound_hooks.c.tenant == relay.tenant, inbound_hooks.c.name == name)
        .values(last_at=relay.stamp())
    )
    return _hook(row)


def _shows(secret: bytes, headers: Mapping[str, str], body: bytes, now: int) -> bool:
    """Tell whether a delivery shows the secret; the strictest thing that it brings decides."""
    if (signature := headers.get(HEADER.lower())) is not None:
        return is_signed(secret, body, signature, now=now)
    if (hub := headers.get("x-hub-signature-256")) is not None:
        return hmac.compare_digest(hub.encode(), b"sha256=" + hex_hmac(secret, body).encode())
    return hmac.compare_digest(headers.get("x-farhand-token", "").encode(), secret)
