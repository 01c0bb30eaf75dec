"""Keys that open recordings: age identities, and ssh-ed25519 keys as age takes them.

An age identity file holds `AGE-SECRET-KEY-1...` lines, as age-keygen writes them, or is itself
encrypted with a passphrase.  A new one gets a passphrase where one can be had.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import pyrage
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farhand_console.home import Home, write_private
from farhand_console.keys import load_private_key
from farhand_console.output import warn
from farhand_protocol.errors import FarhandError

__all__ = [
    "AUDIT_KEY_NAME",
    "Opener",
    "create_audit_key",
    "is_recipient",
    "load_identities",
]

AUDIT_KEY_NAME: Final = "audit.key"
# What pyrage says where the header is whole and none of its stanzas is for one of the keys.
_NO_KEY_FITS: Final = "No matching keys found"
_MAX_KEY_BYTES: Final = 64 * 1024
_ENCRYPTED: Final = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED FILE")


class Opener:
    """Decrypts chunks, all of which are sealed to the same keys.

    Args:
        identities: age's, all of which are tried.
    """

    def __init__(self, identities: list[Any]) -> None:
        self._identities = identities
        self._opened = 0

    def open(self, ciphertext: bytes) -> bytes:
        """Return a chunk's plaintext; called for each in its order.

        Raises:
            FarhandError: `recording-identity` when none of the keys opens it, the first of all;
                `recording-damaged` when one should, and what was sealed is not whole.
        """
        try:
            plain = bytes(pyrage.decrypt(ciphertext, self._identities))
        except pyrage.DecryptError as error:
            # Damage to the part that names the keys looks like a stranger's chunk; it is not, where
            # these keys have opened another.  In the first chunk the two cannot be told apart.
            if str(error) == _NO_KEY_FITS and not self._opened:
                raise FarhandError(
                    "recording-identity",
                    "none of these keys opens the recording",
                    hint="name the key of an auditor with --identity FILE",
                    detail=str(error),
                ) from error
            raise FarhandError(
                "recording-damaged",
                f"chunk {self._opened} cannot be opened: it was damaged before it was signed",
                detail=str(error),
            ) from error
        self._opened += 1
        return plain


def is_recipient(text: str) -> bool:
    """Tell whether devices could seal to an audit key; with any other they open no session."""
    words = text.split()
    try:
        if text.startswith("age1") and len(words) == 1:
            pyrage.x25519.Recipient.from_str(text)
        elif len(words) >= 2 and words[0] == "ssh-ed25519":
            pyrage.ssh.Recipient.from_str(" ".join(words[:2]))
        else:
            return False
    except pyrage.RecipientError:
        return False
    return True


def load_identities(home: Home, path: Path | None) -> Opener:
    """Return what opens recordings: the key at `path`, else this home's audit and operator keys.

    Raises:
        FarhandError: `key-missing`, `key-malformed`, `key-passphrase`, `recording-identity`.
    """
    if path is not None:
        return Opener(_load(path))
    audit_key = home.folder / AUDIT_KEY_NAME
    found = _load(audit_key) if audit_key.exists() else []
    operator_key = home.key_file()
    # A key that only an ssh-agent holds signs, but opens nothing.
    if operator_key.suffix != ".pub" and operator_key.exists():
        found += _load(operator_key)
    if not found:
        raise FarhandError(
            "recording-identity",
            "there is no key here that could open a recording",
            hint="name one with --identity FILE",
        )
    return Opener(found)


def _load(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise FarhandError("key-missing", f"cannot read {path}: {error.strerror}") from error
    if data.startswith(b"-----BEGIN OPENSSH PRIVATE KEY"):
        pem = load_private_key(path).private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
        return [pyrage.ssh.Identity.from_buffer(pem)]
    if data.startswith(_ENCRYPTED):
        data = _decrypted(data, path)
    try:
        lines = [line.strip() for line in data.decode().splitlines()]
        found = [
            pyrage.x25519.Identity.from_str(line)
            for line in lines
            if line and not line.startswith("#")
        ]
    except (UnicodeDecodeError, pyrage.IdentityError) as error:
        raise FarhandError(
            "key-malformed", f"{path} is neither an age identity nor an OpenSSH key"
        ) from error
    if not found:
        raise FarhandError("key-malformed", f"{path} holds no key")
    return found


def _decrypted(data: bytes, path: Path) -> bytes:
    given = os.environ.get("FARHAND_PASSPHRASE")
    if given is None and sys.stdin.isatty() and sys.stderr.isatty():
        given = str(click.prompt(f"passphrase for {path}", hide_input=True, err=True))
    try:
        return bytes(pyrage.passphrase.decrypt(data, given or ""))
    except pyrage.DecryptError as error:
        raise FarhandError(
            "key-passphrase",
            f"the passphrase does not open {path}" if given else f"{path} needs its passphrase",
            hint="set FARHAND_PASSPHRASE",
        ) from error


def create_audit_key(path: Path) -> str:
    """Make an age identity, with a passphrase where one can be had; return its public recipient.

    Raises:
        FarhandError: `key-exists`, `home-unwritable`.
    """
    if path.exists():
        raise FarhandError("key-exists", f"there is a key at {path} already")
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    data = f"# public key: {recipient}\n{identity}\n".encode()
    if passphrase := _passphrase_for_new_key():
        data = bytes(pyrage.passphrase.encrypt(data, passphrase))
    write_private(path, data)
    return recipient


def _passphrase_for_new_key() -> str:
    given = os.environ.get("FARHAND_PASSPHRASE")
    if given is None and sys.stdin.isatty() and sys.stderr.isatty():
        given = str(
            click.prompt(
                "passphrase for the new audit key (empty for none)",
                hide_input=True,
                confirmation_prompt=True,
                default="",
                show_default=False,
                err=True,
            )
        )
    if not given:
        warn("the audit key is stored without a passphrase")
    return given or ""
