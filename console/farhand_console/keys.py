"""The operator's Ed25519 key: a file in OpenSSH format, or one held by an ssh-agent.

Only this module reads private keys.  A key is asked for when something must be signed, not at
start.  `FARHAND_PASSPHRASE` answers for a passphrase where nobody can be asked.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import write_private
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import parse_public_key_line, public_key_line
from farhand_protocol.keys import SeedSigner, Signer

__all__ = ["create_key", "load_private_key", "load_signer", "make_recovery_key", "read_public_key"]

_MAX_KEY_BYTES = 64 * 1024


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


def make_recovery_key(path: Path) -> Signer:
    """Make a recovery key, 0600 and without a passphrase: it is to be moved off this machine.

    Raises:
        FarhandError: `home-unwritable`.
    """
    seed = secrets.token_bytes(32)
    data = Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    write_private(path, data)
    return SeedSigner(seed)


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
        # Loaded late: most operators have no ssh-agent, and this takes a third of a second.
        from farhand_console.ssh_agent import AgentSigner

        return AgentSigner(read_public_key(path))
    except OSError as error:
        raise FarhandError("key-missing", f"cannot read {path}: {error.strerror}") from error
    return SeedSigner(_load_private(data, path).private_bytes_raw())


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file, for what a signer cannot do: opening recordings.

    Raises:
        FarhandError: `key-missing`, `key-malformed`, `key-passphrase`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise FarhandError("key-missing", f"cannot read {path}: {error.strerror}") from error
    return _load_private(data, path)


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
