"""Routes of webhooks: where events go, and where other programs bring messages and alerts."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Page
from farhand_server.webhooks.delivery import Tried, try_webhook
from farhand_server.webhooks.endpoints import (
    Endpoint,
    NewEndpoint,
    add_endpoint,
    list_endpoints,
    remove_endpoint,
    set_enabled,
)
from farhand_server.webhooks.hooks import (
    MAX_DELIVERY_BYTES,
    Hook,
    NewHook,
    add_hook,
    list_hooks,
    make_hook_rates,
    open_hook,
    remove_hook,
)
from farhand_server.webhooks.intake import Delivery, Taken, take_delivery

__all__ = ["AREA", "read_bounded"]

_DELIVERY_HEADERS = ("x-farhand-delivery", "x-github-delivery", "x-request-id")


class Enabled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether it is to be told."""

    enabled: bool


async def read_bounded(request: Request[Any, Any, Any], max_bytes: int) -> bytes:
    """Return the body of a request of a stranger, of whom no more is read than it may send.

    Raises:
        FarhandError: `body-too-large`.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise FarhandError("body-too-large", f"the body is larger than {max_bytes} bytes")
    return bytes(body)


class WebhookController(Controller):
    """Where events go."""

    path = "/webhooks"

    @get("/", action="webhook.read")
    async def list_all(self, relay: FromRelay) -> Page[Endpoint]:
        """Return all webhooks, without their secrets."""
        async with relay.db.read() as c:
            return Page(items=await list_endpoints(c, relay.tenant))

    @post("/", action="webhook.write", status_code=201, keep_answer=False)
    async def add(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewEndpoint]
    ) -> Endpoint:
        """Add a webhook; a secret that is drawn here is in this answer and never again."""
        async with relay.db.write() as c:
            return await add_endpoint(c, relay, new=data, actor=actor.name)

    @post("/{webhook:str}/test", action="webhook.write", status_code=200)
    async def test(self, relay: FromRelay, webhook: FromPath[str]) -> Tried:
        """Send a delivery that means nothing."""
        return await try_webhook(relay, webhook)

    @post("/{webhook:str}/enabled", action="webhook.write", status_code=200)
    async def enable(
        self,
        relay: FromRelay,
        actor: FromActor,
        webhook: FromPath[str],
        data: JSONBody[Enabled],
    ) -> Endpoint:
        """Stop telling a webhook, or go on."""
        async with relay.db.write() as c:
            return await set_enabled(c, relay, name=webhook, enabled=data.enabled, actor=actor.name)

    @post("/{webhook:str}/remove", action="webhook.write", status_code=200)
    async def remove(
        self, relay: FromRelay, actor: FromActor, webhook: FromPath[str]
    ) -> Page[Endpoint]:
        """Remove a webhook."""
        async with relay.db.write() as c:
            await remove_endpoint(c, relay, name=webhook, actor=actor.name)
            return Page(items=await list_endpoints(c, relay.tenant))


class HookController(Controller):
    """Where other programs bring messages and alerts."""

    path = "/hooks"

    @get("/", action="webhook.read")
    async def list_all(self, relay: FromRelay) -> Page[Hook]:
        """Return all hooks, without their secrets."""
        async with relay.db.read() as c:
            return Page(items=await list_hooks(c, relay.tenant))

    @post("/", action="webhook.write", status_code=201, keep_answer=False)
    async def add(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewHook]) -> Hook:
        """Add a hook; a secret that is drawn here is in this answer and never again."""
        async with relay.db.write() as c:
            return await add_hook(c, relay, new=data, actor=actor.name)

    @post("/{hook:str}/remove", action="webhook.write", status_code=200)
    async def remove(self, relay: FromRelay, actor: FromActor, hook: FromPath[str]) -> Page[Hook]:
        """Remove a hook."""
        async with relay.db.write() as c:
            await remove_hook(c, relay, name=hook, actor=actor.name)
            return Page(items=await list_hooks(c, relay.tenant))

    @post("/{hook:str}", action=PUBLIC, status_code=202)
    async def deliver(
        self, relay: FromRelay, request: Request[Any, Any, Any], hook: FromPath[str]
    ) -> Taken:
        """Take what another program brings; it shows the hook's secret, and needs no account."""
        # By address, so that nobody keeps the hook's own program out.
        caller = f"{hook[:64]} {caller_address(request, relay)}"
        relay.service(make_hook_rates).deliveries.take(caller)
        body = await read_bounded(request, MAX_DELIVERY_BYTES)
        headers = {name.lower(): value for name, value in request.headers.items()}
        named = next((headers[one] for one in _DELIVERY_HEADERS if one in headers), "")
        async with relay.db.write() as c:
            found = await open_hook(c, relay, name=hook, headers=headers, body=body)
            return await take_delivery(c, relay, hook=found, delivery=Delivery(id=named, body=body))


AREA = Area(
    name="webhooks",
    controllers=[WebhookController, HookController],
    statuses={
        "webhook-exists": 409,
        "webhook-limit": 409,
        "hook-exists": 409,
        "hook-limit": 409,
        "hook-refused": 403,
        "hook-full": 429,
    },
)
