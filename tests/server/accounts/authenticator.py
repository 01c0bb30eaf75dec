"""A security key in software: real CBOR, real ES256 signatures, and as honest as a test wants."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

_USER_PRESENT, _ATTESTED = 0x01, 0x40


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class SoftwareKey:
    """Answers WebAuthn's questions for `origin`; `count` is its signature counter."""

    def __init__(self, origin: str = "http://127.0.0.1:8443", party: str = "127.0.0.1") -> None:
        self.origin = origin
        self.party = party
        self.count = 0
        self.credential = secrets.token_bytes(16)
        self._private = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer a registration."""
        numbers = self._private.public_key().public_numbers()
        public = cbor2.dumps(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: numbers.x.to_bytes(32, "big"),
                -3: numbers.y.to_bytes(32, "big"),
            }
        )
        attested = bytes(16) + struct.pack(">H", len(self.credential)) + self.credential + public
        data = self._data(_USER_PRESENT | _ATTESTED) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        answer = {
            "clientDataJSON": b64(self._said("webauthn.create", options)),
            "attestationObject": b64(statement),
        }
        return self._answer(answer)

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer an authentication; the counter goes up by one."""
        self.count += 1
        said = self._said("webauthn.get", options)
        data = self._data(_USER_PRESENT)
        signed = data + hashlib.sha256(said).digest()
        return self._answer(
            {
                "clientDataJSON": b64(said),
                "authenticatorData": b64(data),
                "signature": b64(self._private.sign(signed, ec.ECDSA(SHA256()))),
            }
        )

    def _said(self, kind: str, options: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return json.dumps(said).encode()

    def _data(self, flags: int) -> bytes:
        party = hashlib.sha256(self.party.encode()).digest()
        return party + bytes([flags]) + struct.pack(">I", self.count)

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        name = b64(self.credential)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}
