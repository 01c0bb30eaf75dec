"""Routes of the jump port: where it is, and with which key a console's ssh signs in."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from farhand_server.accounts.jump_keys import JumpKey, make_jump_keys
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.errors import not_found
from farhand_server.gateway.jump_host import JumpAddress, make_jump_host

__all__ = ["AREA"]


class NewJumpKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A raw Ed25519 public key."""

    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class JumpController(Controller):
    """The jump port."""

    path = "/jump"

    @get("/", action="session.attach")
    async def address(self, relay: FromRelay) -> JumpAddress:
        """Return where the port is and its host key, signed by the relay key."""
        found = await relay.service(make_jump_host).address()
        if found is None:
            raise not_found("jump port", "jump")
        return found

    @post("/keys", action="session.attach", status_code=201)
    async def register(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewJumpKey]
    ) -> JumpKey:
        """Register a key for the account that is signed in, or renew it."""
        return await relay.service(make_jump_keys).register(actor, data.key)


AREA = Area(
    name="jump",
    controllers=[JumpController],
    statuses={"jump-key-taken": 409, "jump-key-unreadable": 500},
)
