"""The jump port of this node as it is known to consoles: its address and its host key.

The host key is a seed of its own in the home (`jump.key`, 0600), made when a jump port is first
configured.  It is no relay key: whoever takes it can pose as the jump port, to clients that it
then cannot let through anywhere, and as nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farhand_protocol.errors import FarhandError
from farhand_protocol.jump import jump_statement
from farhand_server.config import JUMP_KEY_NAME, parse_listen
from farhand_server.relay import Relay

__all__ = ["JumpAddress", "JumpHost", "make_jump_host"]

_SEED_BYTES: Final = 32


class JumpAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where ssh finds the port; `signature` is the relay key's over `protocol.jump_statement`."""

    host: str
    port: int
    host_key: bytes
    signature: bytes


def make_jump_host(relay: Relay) -> JumpHost:
    """Return this node's jump host."""
    return JumpHost(relay)


class JumpHost:
    """Knows the port's key and says where it is."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._key: Ed25519PrivateKey | None = None
        # Where it listens really; another than configured only for port 0 (tests).
        self.port = parse_listen(relay.settings.jump)[1] if relay.settings.jump else 0

    async def openssh_key(self) -> bytes:
        """Return the private key as an OpenSSH key file.

        Raises:
            FarhandError: `jump-key-unreadable`.
        """
        key = await self._load()
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    async def address(self) -> JumpAddress | None:
        """Return the signed address, or None where this node has no jump port.

        Raises:
            FarhandError: `jump-key-unreadable`.
        """
        relay = self._relay
        if not relay.settings.jump:
            return None
        host = urlsplit(relay.settings.node_url or relay.settings.url).hostname or ""
        public = (await self._load()).public_key().public_bytes_raw()
        statement = jump_statement(relay.tenant, host, self.port, public)
        return JumpAddress(
            host=host, port=self.port, host_key=public, signature=relay.signer.sign(statement)
        )

    async def _load(self) -> Ed25519PrivateKey:
        if self._key is None:
            seed = await asyncio.to_thread(
                _read_or_make, Path(self._relay.settings.home), self._relay.random(_SEED_BYTES)
            )
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
        return self._key


def _read_or_make(home: Path, fresh: bytes) -> bytes:
    """Return the seed in the home; `fresh` becomes it where there is none."""
    path = home / JUMP_KEY_NAME
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(fresh)
                file.flush()
                os.fsync(file.fileno())
        seed = path.read_bytes()
    except OSError as error:
        raise FarhandError(
            "jump-key-unreadable", f"the jump port's key {path} cannot be read", detail=str(error)
        ) from error
    if len(seed) != _SEED_BYTES:
        raise FarhandError(
            "jump-key-unreadable",
            f"the jump port's key {path} has not 32 bytes",
            hint="remove it: a new one is made, and consoles write their ssh-config again",
        )
    return seed
