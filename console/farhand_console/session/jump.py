"""The console's half of the jump port: a key for stock ssh, and where the port is.

The jump key signs in at the relay's jump port and opens nothing else; it is no roster key and has
no passphrase, because ssh and Ansible must use it unasked.  The port's host key is believed only
with the signature of the relay key that this console pinned when it signed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import Home, Settings, write_private
from farhand_console.relay import Relay
from farhand_console.relay.answers import JumpAddress, JumpKeyAnswer
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import public_key_line
from farhand_protocol.jump import jump_statement
from farhand_protocol.keys import verify

__all__ = ["JUMP_HOST", "Jump", "prepare_jump"]

# The name under which ssh's configuration knows the port: `ssh -J farhand-jump DEVICE`.
JUMP_HOST = "farhand-jump"


@dataclass(frozen=True, kw_only=True)
class Jump:
    """What ssh needs; `expires_at` is when the key must be registered again."""

    host: str
    port: int
    key_file: Path
    known_hosts: Path
    expires_at: str


def prepare_jump(home: Home, settings: Settings, relay: Relay) -> Jump:
    """Register this home's jump key and pin the port's host key.

    Raises:
        FarhandError: `jump-unavailable` when the relay has no jump port, `jump-unproved` when its
            address is not signed by the pinned relay key, `home-unreadable`, `home-unwritable`.
    """
    try:
        address = relay.get("/jump", JumpAddress)
    except FarhandError as error:
        if error.code != "not-found":
            raise
        raise FarhandError(
            "jump-unavailable",
            "this relay has no jump port",
            hint="farhand ssh-config works without one; farhand-server run --jump H:P opens one",
        ) from error
    statement = jump_statement(settings.tenant, address.host, address.port, address.host_key)
    if not verify(bytes.fromhex(settings.relay_key), address.signature, statement):
        raise FarhandError(
            "jump-unproved",
            "the jump port's address is not signed by the relay key that this console pinned",
            hint="nothing was written; ask who runs the relay",
        )
    folder = home.folder / "ssh"
    key_file = folder / "jump"
    answer = relay.post("/jump/keys", JumpKeyAnswer, {"key": _public_key(key_file)})
    known_hosts = folder / "jump_known_hosts"
    name = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
    write_private(known_hosts, f"{name} {public_key_line(address.host_key)}\n".encode())
    return Jump(
        host=address.host,
        port=address.port,
        key_file=key_file,
        known_hosts=known_hosts,
        expires_at=answer.expires_at,
    )


def _public_key(file: Path) -> bytes:
    """Return the raw public half of the key in `file`, which is made where there is none."""
    if not file.exists():
        made = Ed25519PrivateKey.generate()
        write_private(
            file,
            made.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            ),
        )
    try:
        key = serialization.load_ssh_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise FarhandError(
            "home-unreadable", f"{file} cannot be read", hint="remove it; a new one is made"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise FarhandError("home-unreadable", f"{file} is no Ed25519 key", hint="remove it")
    return key.public_key().public_bytes_raw()
