"""Sign-in and authorisation in front of every route.

`BearerMiddleware` turns `Authorization: Bearer TOKEN` into `scope["farhand_actor"]`; the guard
`require_action` then asks `authorisation.authorise` for the action that the route declares:

    @get("/devices", action="device.read")
    async def list_devices(
        self, relay: FromRelay, actor: FromActor, q: FromQuery[str] = "", cursor: Cursor = None
    ) -> Page[Device]: ...

    @post("/devices/{device:str}/tags", action="device.tag", status_code=200)
    async def tag(
        self, relay: FromRelay, actor: FromActor, device: FromPath[str], data: JSONBody[Tags]
    ) -> Device: ...

A route that declares no action is refused for everybody; `action=PUBLIC` needs no sign-in.  `relay`
and `actor` are injected by these parameter names.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.params import SkipValidation
from litestar.types import ASGIApp, Receive, Scope, Send

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import PUBLIC, Actor, authorise
from farhand_server.accounts.tokens import make_tokens
from farhand_server.errors import not_permitted, not_signed_in
from farhand_server.people.modules import make_modules
from farhand_server.relay import Relay

__all__ = [
    "BearerMiddleware",
    "FromActor",
    "FromRelay",
    "actor_in",
    "provide_actor",
    "provide_relay",
    "require_action",
]

FromRelay: TypeAlias = NamedDependency[SkipValidation[Relay]]
FromActor: TypeAlias = NamedDependency[SkipValidation[Actor]]

_ACTOR = "farhand_actor"
_ERROR = "farhand_actor_error"
_MAX_HEADER = 512


class BearerMiddleware(ASGIMiddleware):
    """Looks up the bearer token of each request, before anything else is done with it."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Set the actor, or why there is none; public routes do not mind."""
        relay: Relay = scope["litestar_app"].state.relay
        header = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        kind, _, token = header.partition(b" ")
        state: dict[str, Any] = scope  # type: ignore[assignment]
        if header:
            try:
                if kind.lower() != b"bearer" or len(header) > _MAX_HEADER:
                    raise not_signed_in("the Authorization header is not a bearer token")
                state[_ACTOR] = await relay.service(make_tokens).actor_of(token.strip())
            except FarhandError as error:
                state[_ERROR] = error
        await next_app(scope, receive, send)


def actor_in(scope: Any) -> Actor | None:
    """Return who sent the request of this scope, if anybody."""
    actor: Actor | None = scope.get(_ACTOR)
    return actor


def require_action(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse the request unless the actor may do the route's action, and it is switched on."""
    action = handler.opt.get("action")
    if action is None:
        raise not_permitted("this route declares no action")
    if action != PUBLIC and (error := connection.scope.get(_ERROR)) is not None:
        raise error  # type: ignore[misc]
    authorise(actor_in(connection.scope), action)
    relay: Relay = connection.scope["litestar_app"].state.relay
    relay.service(make_modules).check(connection.scope["path"])


def provide_relay(state: State) -> Relay:
    """Inject the wiring."""
    relay: Relay = state.relay
    return relay


def provide_actor(request: Request[Any, Any, Any]) -> Actor:
    """Inject who is signed in; only for routes whose action is not public."""
    actor = actor_in(request.scope)
    if actor is None:
        raise not_signed_in()
    return actor
