"""The operator's Ed25519 key: a file in OpenSSH format, or one held by an ssh-agent.

Only this module reads private keys.  A key is asked for when something must be signed, not at
start.  `FARHAND_PASSPHRASE` answers for a passphrase where nobody can be asked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import asyncssh
import click
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import write_private
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import parse_public_key_line, public_key_line
from farhand_protocol.keys import SeedSigner, Signer

__all__ = ["AgentSigner", "create_key", "load_signer", "read_public_key"]


class AgentSigner:
    """Signs through the ssh-agent named by SSH_AUTH_SOCK, one short connection per signature."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    @property
    def public_key(self) -> bytes:
        """Return the raw 32-byte public key."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Return the agent's 64-byte signature.

        Raises:
            FarhandError: `key-agent` when there is no agent or it does not hold the key.
        """
        return asyncio.run(self._sign(message))

    async def _sign(self, message: bytes) -> bytes:
        try:
            async with asyncssh.connect_agent() as agent:
                for pair in await agent.get_keys():
                    if pair.public_data[-32:] == self._public_key:
                        signature = await agent.sign(pair.public_data, message, 0)
                        return bytes(signature[-64:])
        except (OSError, ValueError) as error:
            raise FarhandError(
                "key-agent", "the ssh-agent cannot be reached", detail=str(error)
            ) from error
        raise FarhandError(
            "key-agent", "the ssh-agent does not hold the operator's key", hint="ssh-add KEYFILE"
        )


def _passphrase_for_new_key() -> bytes | None:
    given = os.environ.get("FARHAND_PASSPHRASE")
    if given is not None:
        return given.encode() or None
    if sys.stdin.isatty() and sys.stderr.isatty():
        text = click.prompt(
            "passphrase for the new operator key (empty for none)",
            hide_input=True,
            confirmation_prompt=True,
            default="",
            show_default=False,
            err=True,
        )
        if text:
            return str(text).encode()
    click.echo("farhand: warning: the operator key is stored without a passphrase", err=True)
    return None


def create_key(path: Path, comment: str) -> bytes:
    """Make an operator key, with a passphrase where one can be had, and return the public key.

    Writes `path` (0600) and `path.pub`.  An existing key is left alone and its public key returned.
    """
    if path.exists():
        return read_public_key(path)
    private = Ed25519PrivateKey.generate()
    passphrase = _passphrase_for_new_key()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    data = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption
    )
    public = private.public_key().public_bytes_raw()
    write_private(path, data)
    write_private(
        path.with_name(path.name + ".pub"), f"{public_key_line(public, comment)}\n".encode()
    )
    return public


def read_public_key(path: Path) -> bytes:
    """Return the raw public key of a private key file (from its .pub) or of a .pub file itself.

    Raises:
        FarhandError: `key-missing`, `key-malformed`.
    """
    beside = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    try:
        text = beside.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FarhandError(
            "key-missing",
            f"there is no public key at {beside}",
            hint="farhand key show, or ssh-keygen -y",
        ) from error
    return parse_public_key_line(text)


def load_signer(path: Path) -> Signer:
    """Return something that signs with the key at `path`.

    A key that exists only as `path.pub` is looked for in the ssh-agent.

    Raises:
        FarhandError: `key-missing`, `key-malformed`, `key-passphrase`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return AgentSigner(read_public_key(path))
    except OSError as error:
        raise FarhandError("key-missing", f"cannot read {path}: {error.strerror}") from error
    return SeedSigner(_load_private(data, path).private_bytes_raw())


def _load_private(data: bytes, path: Path) -> Ed25519PrivateKey:
    passphrase: bytes | None = None
    for attempt in range(4):
        try:
            key = serialization.load_ssh_private_key(data, passphrase)
        except (TypeError, ValueError) as error:
            words = str(error).lower()
            if "password" not in words and "passphrase" not in words and "corrupt" not in words:
                raise FarhandError("key-malformed", f"{path} is not an OpenSSH key") from error
            passphrase = _ask_passphrase(path, attempt)
            continue
        if not isinstance(key, Ed25519PrivateKey):
            raise FarhandError("key-malformed", f"{path} is not an Ed25519 key")
        return key
    raise FarhandError("key-passphrase", f"the passphrase does not open {path}")


def _ask_passphrase(path: Path, attempt: int) -> bytes:
    given = os.environ.get("FARHAND_PASSPHRASE")
    if given is not None and attempt == 0:
        return given.encode()
    if given is None and sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt(f"passphrase for {path}", hide_input=True, err=True)).encode()
    raise FarhandError(
        "key-passphrase",
        f"{path} needs its passphrase",
        hint="set FARHAND_PASSPHRASE, or add the key to an ssh-agent and remove the private file",
    )
