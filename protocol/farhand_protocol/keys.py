"""Ed25519 signing and verifying, behind two small types.

The only module here that imports `cryptography`; the resident agent never loads it and leaves
keys to its short-lived child processes.
"""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from farhand_protocol.identity import PUBLIC_KEY_BYTES

__all__ = ["SeedSigner", "Signer", "verify"]


class Signer(Protocol):
    """Anything that signs with one Ed25519 key: a seed in memory, a key file, an ssh-agent."""

    @property
    def public_key(self) -> bytes:
        """Return the raw 32-byte public key."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""


class SeedSigner:
    """Signs with the key that a 32-byte seed gives (RFC 8032 s5.1.5)."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """Return the raw 32-byte public key."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return "SeedSigner(hidden)"


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` over `message` is by `public_key`; malformed input is False."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
