"""The operator's Ed25519 key: a file in OpenSSH format, or one held by an ssh-agent.

Only this module reads private keys.  A key is asked for when something must be signed, not at
start.  `FARHAND_PASSPHRASE` answers for a passphrase where nobody can be asked.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import asyncssh
import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import write_private
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import parse_public_key_line, public_key_line
from farhand_protocol.keys import SeedSigner, Signer
from farhand_protocol.keys import verify as verify_signature

__all__ = ["AgentSigner", "create_key", "load_signer", "read_public_key"]

# An ssh-agent may ask a person to confirm each use (ssh-add -c).
_AGENT_S = 120.0
_MAX_KEY_BYTES = 64 * 1024


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
        found: list[bytes | BaseException] = []

        def work() -> None:
            try:
                found.append(asyncio.run(self._sign(message)))
            except BaseException as error:  # handed to the caller's thread below
                found.append(error)

        # A thread of its own: the caller may have an event loop running.
        thread = threading.Thread(target=work, name="ssh-agent")
        thread.start()
        thread.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    async def _sign(self, message: bytes) -> bytes:
        try:
            async with asyncio.timeout(_AGENT_S), asyncssh.connect_agent() as agent:
                for pair in await agent.get_keys():
                    if pair.algorithm == b"ssh-ed25519" and (
                        pair.public_data[-32:] == self._public_key
                    ):
                        blob = await agent.sign(pair.public_data, message, 0)
                        return self._checked(bytes(blob[-64:]), message)
        except (OSError, EOFError) as error:
            raise FarhandError(
                "key-agent",
                "the ssh-agent cannot be reached",
                hint="the operator's private key is not in its file; start ssh-agent, ssh-add it",
                detail=str(error),
            ) from error
        except (ValueError, asyncssh.Error) as error:
            raise FarhandError(
                "key-agent",
                "the ssh-agent does not sign with the operator's key",
                detail=str(error),
            ) from error
        raise FarhandError(
            "key-agent", "the ssh-agent does not hold the operator's key", hint="ssh-add KEYFILE"
        )

    def _checked(self, signature: bytes, message: bytes) -> bytes:
        if not verify_signature(self._public_key, signature, message):
            raise FarhandError("key-agent", "the ssh-agent's signature is not the operator's")
        return signature


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


def _beside(path: Path) -> Path:
    """Return the public key's file."""
    return path if path.suffix == ".pub" else path.with_name(path.name + ".pub")


def create_key(path: Path, comment: str) -> bytes:
    """Make an operator key, with a passphrase where one can be had, and return the public key.

    Writes `path` (0600) and `path.pub`.  An existing key is left alone and its public key returned;
    a public key alone (its private half lives in an ssh-agent) is one.

    Raises:
        FarhandError: `key-missing`, `key-malformed`, `key-passphrase`, `home-unwritable`.
    """
    if _beside(path).exists():
        return read_public_key(path)
    if path.exists():
        public = load_signer(path).public_key
    else:
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
    write_private(_beside(path), f"{public_key_line(public, comment)}\n".encode())
    return public


def read_public_key(path: Path) -> bytes:
    """Return the raw public key of a private key file (from its .pub) or of a .pub file itself.

    Raises:
        FarhandError: `key-missing`, `key-malformed`.
    """
    beside = _beside(path)
    try:
        with beside.open("rb") as file:
            text = file.read(_MAX_KEY_BYTES).decode()
    except OSError as error:
        raise FarhandError(
            "key-missing",
            f"there is no public key at {beside}",
            hint="farhand login makes the operator's key; ssh-keygen -y shows a private key's half",
        ) from error
    except UnicodeDecodeError as error:
        raise FarhandError("key-malformed", f"{beside} is not a public key") from error
    return parse_public_key_line(text.strip())


def load_signer(path: Path) -> Signer:
    """Return something that signs with the key at `path`.

    A key that exists only as `path.pub` is looked for in the ssh-agent.

    Raises:
        FarhandError: `key-missing`, `key-malformed`, `key-passphrase`.
    """
    if path.suffix == ".pub":
        path = path.with_suffix("")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_BYTES)
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
        except TypeError:
            pass  # it is encrypted and there was no passphrase, or an empty one
        except (ValueError, UnsupportedAlgorithm) as error:
            if passphrase is None:
                raise FarhandError(
                    "key-malformed", f"{path} is not an OpenSSH key, or damaged"
                ) from error
        else:
            if not isinstance(key, Ed25519PrivateKey):
                raise FarhandError("key-malformed", f"{path} is not an Ed25519 key")
            return key
        passphrase = _ask_passphrase(path, attempt)
    raise FarhandError("key-passphrase", f"the passphrase does not open {path}")


def _ask_passphrase(path: Path, attempt: int) -> bytes:
    given = os.environ.get("FARHAND_PASSPHRASE")
    if given is not None and attempt == 0:
        return given.encode()
    if given is None and sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt(f"passphrase for {path}", hide_input=True, err=True)).encode()
    raise FarhandError(
        "key-passphrase",
        f"the passphrase does not open {path}" if attempt else f"{path} needs its passphrase",
        hint="set FARHAND_PASSPHRASE, or add the key to an ssh-agent and remove the private file",
    )
