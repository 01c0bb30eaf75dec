"""Secrets shared with other programs, kept but not shown: sealed under a key of the relay's.

The sealing key is made from the relay key's signature over a fixed label (Ed25519 signs the same
label alike every time), so nothing more has to be kept or backed up, and every node of a relay has
it.  A copy of the database alone opens nothing; whoever holds the relay's key opens everything.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from farhand_protocol.errors import FarhandError
from farhand_server.relay import Relay

__all__ = ["Sealing", "make_sealing"]

_LABEL = b"farhand relay: key that seals secrets of other programs, v1"
_NONCE_BYTES = 12


def make_sealing(relay: Relay) -> Sealing:
    """Return the relay's sealing."""
    return Sealing(relay)


class Sealing:
    """Seals small secrets; `purpose` binds each to its place, so that none can be moved."""

    def __init__(self, relay: Relay) -> None:
        self._random = relay.random
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL)
        self._box = AESGCM(derive.derive(relay.signer.sign(_LABEL)))

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Return `secret` as the database may keep it."""
        nonce = self._random(_NONCE_BYTES)
        return nonce + self._box.encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return what was sealed for this purpose.

        Raises:
            FarhandError: `sealed-unreadable` for another relay's, another place's, or a broken one.
        """
        try:
            return self._box.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise FarhandError(
                "sealed-unreadable", "a sealed secret of the database belongs to another relay key"
            ) from error
