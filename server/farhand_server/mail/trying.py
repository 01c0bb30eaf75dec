"""Signs in to every mail server that is configured, and says how that went; changes nothing."""

from __future__ import annotations

import asyncio

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_server.mail.mailboxes import SMTP, server_of, servers_of
from farhand_server.mail.opening import open_folder
from farhand_server.mail.sending import connected
from farhand_server.relay import Relay

__all__ = ["Tried", "try_servers"]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One server: `words` says what is wrong where it is not `ok`."""

    server: str
    ok: bool
    words: str


async def try_servers(relay: Relay) -> list[Tried]:
    """Sign in to each server, one after the other; returns them by name.

    Raises:
        FarhandError: the store's.
    """
    async with relay.db.read() as c:
        names = sorted(await servers_of(c, relay.tenant))
    return [await _try(relay, name) for name in names]


async def _try(relay: Relay, name: str) -> Tried:
    try:
        async with relay.db.read() as c:
            found = await server_of(c, relay, name)
        if found is None:
            return Tried(server=name, ok=False, words="it was removed meanwhile")
        server, password = found
        if name == SMTP:
            async with connected(relay, server, password):
                return Tried(server=name, ok=True, words=f"{server.host} took the sign-in")
        folder = await open_folder(relay, server, password)
        await asyncio.to_thread(folder.close)
        return Tried(server=name, ok=True, words=f"{server.host} opened {server.folder}")
    except FarhandError as error:
        if error.code.startswith("store-"):
            raise
        return Tried(server=name, ok=False, words=error.message)
