"""Runs the jump port beside the relay, where one is configured; wiring and nothing else.

asyncssh is an extra (`farhand-server[jump]`): it is loaded here, and only then.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.authorisation import Actor
from farhand_server.accounts.jump_keys import make_jump_keys
from farhand_server.config import parse_listen
from farhand_server.errors import not_found
from farhand_server.gateway.jump_host import make_jump_host
from farhand_server.gateway.jump_pipe import JumpPipe
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.sessions.control import Attached
from farhand_server.sessions.service import make_sessions

__all__ = ["jump_port"]


@contextlib.asynccontextmanager
async def jump_port(relay: Relay) -> AsyncIterator[None]:
    """Listen for `ssh -J` while the block runs; without a jump port configured do nothing.

    Raises:
        FarhandError: `jump-unavailable` without asyncssh; `listen-failed`, `jump-key-unreadable`.
    """
    if not relay.settings.jump:
        yield
        return
    if find_spec("asyncssh") is None:
        raise FarhandError(
            "jump-unavailable",
            "the jump port needs the package asyncssh",
            hint="pip install 'farhand-server[jump]'",
        )
    # An extra: only a relay with a jump port pays for it, and only that one needs it.
    from farhand_server.gateway.jump import JumpPort

    host = relay.service(make_jump_host)
    port = JumpPort(
        await host.openssh_key(),
        find_actor=relay.service(make_jump_keys).actor_of,
        make_pipe=_PipeMaker(relay).make,
        tasks=relay.tasks,
    )
    name, number = parse_listen(relay.settings.jump)
    host.port = await port.start(name, number)
    try:
        yield
    finally:
        await port.stop()


class _PipeMaker:
    """Finds the session that a client wants and makes its pipe."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._tls = _node_tls(relay)

    async def make(
        self,
        actor: Actor,
        name: str,
        deliver: Callable[[bytes], None],
        on_writable: Callable[[bool], None],
    ) -> JumpPipe:
        """Return the pipe to a device; raises `not-found` without an open session on it."""
        relay = self._relay
        async with relay.db.read() as c:
            session = await rows.reachable(c, relay.tenant, operator=actor.name, name=name)
        if session is None:
            raise not_found("session on device", name[:80])
        found = session.session
        number: int | None = None

        async def attach() -> Attached:
            nonlocal number
            place = await relay.service(make_sessions).attach(actor, found, number)
            number = place.number
            return place

        return JumpPipe(
            found,
            attach=attach,
            tls=self._tls,
            random=relay.random,
            deliver=deliver,
            on_writable=on_writable,
        )


def _node_tls(relay: Relay) -> ssl.SSLContext:
    """Return how this node checks another: by public authorities, or by its own certificate."""
    context = ssl.create_default_context()
    if relay.settings.tls_cert:
        context.load_verify_locations(relay.settings.path(relay.settings.tls_cert))
    return context
