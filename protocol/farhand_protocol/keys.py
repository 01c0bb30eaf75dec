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

# Encodings (y coordinate, top bit cleared) of the points of small order, canonical and not.  Under
# such a key almost anybody can make a "signature" over almost anything, and OpenSSL accepts it.
# Source: Cremers and Jackson, "Prime, Order Please!", 2019, and libsodium's ge25519 deny-list.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


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
    """Tell whether `signature` over `message` is by `public_key`.

    Malformed input is False, and so is every signature under a key of small order.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != 64:
        return False
    if public_key[:-1] + bytes([public_key[-1] & 0x7F]) in _SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
