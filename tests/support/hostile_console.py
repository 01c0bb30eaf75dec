"""The product's own console under a hostile relay: its session client, in this process.

A `Console` is one home as `farhand login` would leave it.  The calls below are those that the
command line makes; they block, so they run in a thread while the relay answers on the loop.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import Home, Settings, write_private
from farhand_console.keys import load_signer
from farhand_console.relay import Relay
from farhand_console.session.opening import Wish, open_by_code, open_by_grant
from farhand_console.session.record import SessionRecord
from farhand_console.session.ssh import connect_ssh
from farhand_console.trust.verified import VerifiedTrust, load_trust
from farhand_protocol.identity import public_key_line
from tests.support.hostile_relay import HostileRelay

__all__ = ["Console", "ssh_key_file"]


def ssh_key_file(seed: bytes) -> bytes:
    """Return an Ed25519 seed as an OpenSSH private key file."""
    return Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


class Console:
    """One technician's console.

    Args:
        relay: the hostile relay that it signed in to.
        folder: its home.
        account: the name it signs as.
        seed: the operator's key.
    """

    def __init__(self, relay: HostileRelay, folder: Path, account: str, seed: bytes) -> None:
        organisation = relay.organisation
        self.home = Home(folder)
        self.relay = Relay(relay.url, "token", None)
        self.settings = Settings(
            url=relay.url,
            relay_key=relay.key.public_key.hex(),
            tls_sha256="",
            tenant=organisation.tenant,
            organisation="Example Support",
            account=account,
            role="technician",
            api_token="token",
            root_version=1,
            root_sha256=hashlib.sha256(organisation.pinned).hexdigest(),
        )
        folder.mkdir(parents=True)
        self.home.save(self.settings)
        write_private(self.home.key_file(), ssh_key_file(seed))
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        write_private(folder / "operator.key.pub", f"{public_key_line(public, account)}\n".encode())
        self.said: list[str] = []

    def trust(self) -> VerifiedTrust:
        """Fetch and verify the organisation's trust; blocks."""
        return load_trust(self.home, self.relay)

    def wish(self, *scopes: str) -> Wish:
        """Return what is asked for."""
        return Wish(
            ticket="FH-1",
            scopes=list(scopes or ("view", "terminal", "files")),
            forward=[],
            minutes=30,
            reason="no sound",
        )

    async def by_code(self, code: str, *scopes: str) -> SessionRecord:
        """Open a session by code."""
        return await asyncio.to_thread(
            open_by_code,
            self.home,
            self.settings,
            self.relay,
            code,
            self.wish(*scopes),
            signer=lambda: load_signer(self.home.key_file()),
            trust=self.trust,
            say=self.said.append,
        )

    async def by_grant(self, device: str, *scopes: str) -> SessionRecord:
        """Open a session on an enrolled device whose policy allows it."""
        trust = await asyncio.to_thread(self.trust)
        return await asyncio.to_thread(
            open_by_grant,
            self.home,
            self.settings,
            self.relay,
            device,
            self.wish(*scopes),
            signer=lambda: load_signer(self.home.key_file()),
            trust=trust,
            say=self.said.append,
        )

    @asynccontextmanager
    async def ssh(self, record: SessionRecord) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Connect as `farhand exec` does."""
        async with connect_ssh(
            self.home, self.relay, record, notice=self.said.append
        ) as connection:
            yield connection
