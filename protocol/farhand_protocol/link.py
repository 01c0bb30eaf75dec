"""The link handshake: device and relay prove their keys to each other, without I/O.

    device                                   relay
      HELLO  magic version role tenant nonce key   ->        (fixed 103 bytes)
             <-   CHALLENGE  nonce key signature             (fixed 128 bytes)
      PROOF  signature                              ->        (fixed 64 bytes)
             <-   messages.Welcome, then messages both ways

The relay signs first, over everything said so far; the device signs the same and the relay's
signature.  Labels keep the two apart.  Nothing is parsed before PROOF but one fixed frame, and no
message is read before it is verified.  Signatures are made and checked by the caller, because the
resident agent leaves that to a child process.

DeviceHandshake                            RelayHandshake
state      event              -> state     state       event           -> state
start      receive_challenge  checked      start       receive_hello   must-sign
checked    message_to_sign    checked      must-sign   challenge       challenged
                                           challenged  receive_proof   proved
any        another or a bad frame          any         another or a bad frame
                              failed                                   failed

A bad frame, and any frame after it, is a RemoteError.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from farhand_protocol.errors import RemoteError
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id

__all__ = [
    "CHALLENGE_BYTES",
    "HELLO_BYTES",
    "NONCE_BYTES",
    "PROOF_BYTES",
    "ROLES",
    "DeviceHandshake",
    "RelayHandshake",
    "Role",
]

MAGIC = b"FHLK"
VERSION = 1
NONCE_BYTES = 32
TENANT_BYTES = 33
HELLO_BYTES = 4 + 1 + 1 + TENANT_BYTES + NONCE_BYTES + PUBLIC_KEY_BYTES
CHALLENGE_BYTES = NONCE_BYTES + PUBLIC_KEY_BYTES + 64
PROOF_BYTES = 64

Role = Literal["device", "enrol", "session"]
ROLES: tuple[Role, ...] = ("device", "enrol", "session")


def _pack_tenant(tenant: str) -> bytes:
    raw = tenant.encode("ascii")
    if len(raw) >= TENANT_BYTES:
        raise ValueError("a tenant id has at most 32 characters")
    return bytes([len(raw)]) + raw.ljust(TENANT_BYTES - 1, b"\0")


def _unpack_tenant(raw: bytes) -> str:
    length = raw[0]
    body = raw[1:]
    text = body[:length].decode("latin-1")
    if length >= TENANT_BYTES or body[length:].strip(b"\0") or not text.isascii():
        raise RemoteError("handshake-malformed", "the hello's tenant cannot be read")
    if not text.isprintable():
        raise RemoteError("handshake-malformed", "the hello's tenant cannot be shown")
    return text


def _relay_message(hello: bytes, nonce: bytes, relay_key: bytes) -> bytes:
    return b"farhand link v1 relay\0" + hashlib.sha256(hello + nonce + relay_key).digest()


def _device_message(hello: bytes, challenge: bytes) -> bytes:
    return b"farhand link v1 device\0" + hashlib.sha256(hello + challenge).digest()


class DeviceHandshake:
    """The device's side.

    Args:
        role: what the link is for.
        tenant: organisation id, at most 32 ASCII characters; empty on a guest.
        device_key: raw public key of the device.
        relay_key: the pinned key of the relay; None only for a guest device, which has no pin
            and relies on TLS for the address it was given.
        nonce: 32 fresh random bytes.
    """

    def __init__(
        self, role: Role, tenant: str, device_key: bytes, relay_key: bytes | None, *, nonce: bytes
    ) -> None:
        if len(nonce) != NONCE_BYTES or len(device_key) != PUBLIC_KEY_BYTES:
            raise ValueError("a nonce and a key have 32 bytes each")
        self._hello = (
            MAGIC + bytes([VERSION, ROLES.index(role)]) + _pack_tenant(tenant) + nonce + device_key
        )
        self._pinned = relay_key
        self._challenge = b""
        self._failed = False
        self.relay_key: bytes | None = None

    def hello(self) -> bytes:
        """Return the HELLO frame."""
        return self._hello

    def receive_challenge(self, frame: bytes) -> tuple[bytes, bytes, bytes]:
        """Take the CHALLENGE frame and return what must be verified: (key, signature, message).

        Raises:
            RemoteError: `handshake-malformed`, or `relay-key-mismatch` when the relay names
                another key than the pinned one.
        """
        failed, self._failed = self._failed, True
        if failed or self._challenge or len(frame) != CHALLENGE_BYTES:
            raise RemoteError("handshake-malformed", "the relay's frame is not a challenge")
        nonce, key, signature = frame[:32], frame[32:64], frame[64:]
        if self._pinned is not None and key != self._pinned:
            raise RemoteError(
                "relay-key-mismatch",
                "the relay holds another key than the one this device was enrolled with",
                hint="if the relay was rebuilt on purpose, enrol this device again",
            )
        self._failed = False
        self._challenge = frame
        self.relay_key = key
        return key, signature, _relay_message(self._hello, nonce, key)

    def message_to_sign(self) -> bytes:
        """Return what the device key must sign, once the relay's signature was verified."""
        if not self._challenge:
            raise ValueError("no challenge was received")
        return _device_message(self._hello, self._challenge)


class RelayHandshake:
    """The relay's side.

    Args:
        relay_key: the relay's raw public key.
        nonce: 32 fresh random bytes.

    After `receive_hello` the claimed `role`, `tenant`, `device_key` and `device` are set; they are
    proved only when the caller has verified `receive_proof`.
    """

    def __init__(self, relay_key: bytes, *, nonce: bytes) -> None:
        if len(nonce) != NONCE_BYTES or len(relay_key) != PUBLIC_KEY_BYTES:
            raise ValueError("a nonce and a key have 32 bytes each")
        self._relay_key = relay_key
        self._nonce = nonce
        self._failed = False
        self._proved = False
        self._hello = b""
        self._challenge = b""
        self.role: Role = "device"
        self.tenant = ""
        self.device_key = b""
        self.device = ""

    def receive_hello(self, frame: bytes) -> bytes:
        """Take the HELLO frame and return the message that the relay key must sign.

        Raises:
            RemoteError: `handshake-malformed`, `handshake-version`.
        """
        failed, self._failed = self._failed, True
        if failed or self._hello or len(frame) != HELLO_BYTES or frame[:4] != MAGIC:
            raise RemoteError("handshake-malformed", "the first frame is not a hello")
        if frame[4] != VERSION:
            raise RemoteError("handshake-version", f"link version {frame[4]} is not spoken here")
        if frame[5] >= len(ROLES):
            raise RemoteError("handshake-malformed", "the hello names an unknown role")
        self.role = ROLES[frame[5]]
        self.tenant = _unpack_tenant(frame[6 : 6 + TENANT_BYTES])
        self.device_key = frame[-PUBLIC_KEY_BYTES:]
        self.device = device_id(self.device_key)
        self._hello = frame
        self._failed = False
        return _relay_message(frame, self._nonce, self._relay_key)

    def challenge(self, signature: bytes) -> bytes:
        """Return the CHALLENGE frame for the relay's signature."""
        if not self._hello or len(signature) != PROOF_BYTES:
            raise ValueError("no hello was received, or the signature has a wrong length")
        self._challenge = self._nonce + self._relay_key + signature
        return self._challenge

    def receive_proof(self, frame: bytes) -> tuple[bytes, bytes, bytes]:
        """Take the PROOF frame and return what must be verified: (key, signature, message).

        Raises:
            RemoteError: `handshake-malformed`.
        """
        out_of_turn = self._failed or self._proved or not self._challenge
        self._failed = out_of_turn or len(frame) != PROOF_BYTES
        if self._failed:
            raise RemoteError("handshake-malformed", "the device's frame is not a proof")
        self._proved = True
        return self.device_key, frame, _device_message(self._hello, self._challenge)
