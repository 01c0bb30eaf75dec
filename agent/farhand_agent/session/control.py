"""The session process's own link to the relay: kept up, and asked through.

One websocket with role `session`.  When it is lost it is opened again after a random wait, and
`Present` names the session that is served; whoever waits for it goes on waiting.  Before a session
is open a relay that cannot be reached or proves the wrong key is a failure; afterwards it is only
bad news: the session goes on, and ends at its expiry at the latest.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import random
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final

from farhand_agent.errors import LinkLost
from farhand_agent.hostname import host_name
from farhand_agent.link import Link, RelayAddress, RelayUnavailable, open_link
from farhand_agent.reconnect import Backoff
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.keys import Signer, verify
from farhand_protocol.messages import DeviceMessage, Present, Reconnect, RelayMessage

__all__ = ["Control", "SignerProver"]

_log = logging.getLogger(__name__)

# Somebody waits at the other end, and there are as many of these links as sessions, not devices.
MAX_WAIT_S: Final = 5.0


class SignerProver:
    """Proves the device key from memory; the session process holds it anyway, as SSH host key."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    async def prove(
        self, *, relay_key: bytes, relay_signature: bytes, relay_message: bytes, message: bytes
    ) -> bytes:
        """Return the device's signature (see `farhand_agent.link.Prover`)."""
        if not verify(relay_key, relay_signature, relay_message):
            raise RemoteError(
                "relay-signature-wrong", "the relay could not prove that it holds its key"
            )
        return self._signer.sign(message)


class Control:
    """Keeps the link.

    Args:
        address: of the relay.
        tenant: the organisation, empty on a guest.
        relay_key: the pinned key, None on a guest.
        signer: the device key.
        on_message: is given every message that is no answer; must not wait for answers itself.
        on_up: is told when a link is up, the first and each one after it.
        on_lost: is told when a link that was up is gone.
    """

    def __init__(
        self,
        address: RelayAddress,
        *,
        tenant: str,
        relay_key: bytes | None,
        signer: Signer,
        on_message: Callable[[RelayMessage], Awaitable[None]],
        on_up: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = address
        self.session: str | None = None
        self._tenant = tenant
        self._relay_key = relay_key
        self._signer = signer
        self._on_message = on_message
        self._on_up = on_up
        self._on_lost = on_lost
        self._link: Link | None = None
        self._was_up = False
        self._up = asyncio.Event()

    async def run(self) -> None:
        """Keep the link up; runs until cancelled.

        Raises:
            FarhandError: before a session is open, whatever keeps the link from coming up.
        """
        backoff = Backoff(random.random)
        while True:
            retry_after_s = 0.0
            try:
                await self._hold(backoff)
            except RelayUnavailable as error:
                retry_after_s = error.retry_after_s
                if self.session is None and not self._was_up:
                    raise
                _log.info("relay: %s", error)
            except LinkLost as error:
                _log.info("link lost: %s", error.detail)
            except RemoteError as error:
                if self.session is None:
                    raise
                _log.warning("link: %s", error)
            wait_s = min(backoff.next_wait_s(retry_after_s=retry_after_s), MAX_WAIT_S)
            await asyncio.sleep(wait_s)

    async def _hold(self, backoff: Backoff) -> None:
        present = Present(
            agent_version=version("farhand-agent"),
            host_name=host_name(),
            os=platform.system().lower(),
            session=self.session,
        )
        async with open_link(
            self.address,
            role="session",
            tenant=self._tenant,
            device_key=self._signer.public_key,
            relay_key=self._relay_key,
            prover=SignerProver(self._signer),
            present=present,
        ) as link:
            if link.welcome.standing == "retired":
                raise RemoteError("device-retired", "this device was retired by its organisation")
            backoff.connected(link.welcome.reconnect_window_s)
            self._link, self._was_up = link, True
            self._up.set()
            self._on_up()
            try:
                while True:
                    message = await link.receive()
                    if isinstance(message, Reconnect):
                        backoff.set_window(message.window_s)
                    elif message is not None:
                        await self._on_message(message)
            finally:
                self._up.clear()
                self._link = None
                self._on_lost()

    async def request(
        self, build: Callable[[int], DeviceMessage], *, timeout_s: float = 30.0
    ) -> RelayMessage:
        """Ask the relay, once the link is up.

        Raises:
            LinkLost, RemoteError: no answer came; `relay-silent` when there was no link in time.
        """
        return await (await self._wait(timeout_s)).request(build, timeout_s=timeout_s)

    async def offered_timestamp(self, *, timeout_s: float = 30.0) -> int:
        """Return the version of the trust timestamp that the relay has, once the link is up.

        Raises:
            FarhandError: as `request`.
        """
        return (await self._wait(timeout_s)).welcome.timestamp_version

    async def send(self, message: DeviceMessage, *, timeout_s: float = 30.0) -> None:
        """Send something that has no answer, once the link is up.

        Raises:
            FarhandError: as `request`.
        """
        await (await self._wait(timeout_s)).send(message)

    async def _wait(self, timeout_s: float) -> Link:
        try:
            async with asyncio.timeout(timeout_s):
                while self._link is None:
                    await self._up.wait()
        except TimeoutError as error:
            raise FarhandError("relay-unavailable", "the relay cannot be reached") from error
        return self._link
