"""Pairing by one-time code: SPAKE2, proofs, and the sealed exchange under the agreed key.

It decides nothing about consent or trust and does no I/O; the relay carries every body below and
can read none after the first two.  Pure state machines: the caller carries the bodies.

    console                                   device
      pake     version "B" point commitment     ->        66 bytes
               <-   pake     version "A" point             34 bytes
      confirm  opening proof                    ->        64 bytes (the guesser proves first)
               <-   confirm  proof                         32 bytes
      sealed blobs both ways, each direction with its own key and counter

DevicePairing                              ConsolePairing
state    event            -> state         state    event            -> state
start    receive_pake        proving       start    send_pake           sent
proving  receive_confirm     sealed        sent     receive_pake        proving
sealed   seal, open          sealed        proving  receive_confirm     sealed
                                           sealed   seal, open          sealed
any      anything else, a malformed body,  any      the same            burned
         a wrong proof, a blob that does
         not open                  burned

Odds: a relay (or anyone in its place) has one online guess per shown code, 1 in 20^6, and learns
nothing to try offline: the password is used in SPAKE2 only, stretched by scrypt, with address and
nameplate as its salt.  The four words hold even against one who knows the code: the console commits
to 32 random bytes before it sees the device's point and opens them after, so nobody in the middle
can search for keys that give both ends the same words; he has one try in 2^32.

`spake2` is "very much not constant-time" (its README).  A secret lives for one run of the protocol,
so that timing has nothing to add up.  This module and the relay's messages are all that knows it is
SPAKE2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

import spake2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.words import four_words

__all__ = ["MAX_SEALED_BYTES", "ConsolePairing", "DevicePairing", "canonical_origin"]

VERSION = 1
MAX_SEALED_BYTES = 256 * 1024
POINT_BYTES = 33
OPENING_BYTES = 32
PROOF_BYTES = 32
_TAG_BYTES = 16
_DEVICE_ID = b"farhand device"
_CONSOLE_ID = b"farhand console"
_LABEL = b"farhand pair v1"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_origin(url: str) -> str:
    """Return scheme, lower-case host and port of an address, without a default port or a path.

    Text that is no address with a host is returned as it is, without white space around it: both
    ends treat it alike, and that is all that pairing needs.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return text
    if not parts.scheme or not host:
        return text
    shown = f"[{host}]" if ":" in host else host
    if port is None or port == _DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{shown}"
    return f"{parts.scheme}://{shown}:{port}"


def _stretch(origin: str, nameplate: str, secret: str) -> bytes:
    salt = f"farhand-pair-v1|{origin}|{nameplate}".encode()
    return hashlib.scrypt(secret.upper().encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)


def _transcript(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (_LABEL, *parts):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


class _Keys:
    """What both ends derive from the SPAKE2 key and the transcript."""

    def __init__(self, shared: bytes, transcript: bytes) -> None:
        def derive(label: bytes) -> bytes:
            info = _LABEL + b" " + label
            return HKDF(algorithm=SHA256(), length=32, salt=transcript, info=info).derive(shared)

        self.transcript = transcript
        self.confirm_console = derive(b"confirm console")
        self.confirm_device = derive(b"confirm device")
        self.from_console = derive(b"seal console")
        self.from_device = derive(b"seal device")
        self._words = derive(b"words")

    def console_proof(self, opening: bytes) -> bytes:
        return hmac.digest(self.confirm_console, self.transcript + opening, "sha256")

    def device_proof(self, opening: bytes) -> bytes:
        return hmac.digest(self.confirm_device, self.transcript + opening, "sha256")

    def words(self, opening: bytes) -> list[str]:
        return four_words(hmac.digest(self._words, self.transcript + opening, "sha256"))


def _commit(opening: bytes) -> bytes:
    return hashlib.sha256(_LABEL + b" commit\0" + opening).digest()


def _burned() -> FarhandError:
    return FarhandError(
        "code-burned",
        "this code was used up",
        hint="ask the person at the device for a new code",
    )


class _Pairing:
    """What the two sides share: state, burning, and the sealed exchange."""

    def __init__(
        self, origin: str, nameplate: str, secret: str, entropy: Callable[[int], bytes]
    ) -> None:
        self._origin = canonical_origin(origin)
        self._nameplate = nameplate
        self._password = _stretch(self._origin, nameplate, secret)
        self._entropy = entropy
        self._state = "start"
        self._keys: _Keys | None = None
        self._opening = b""
        self._seal_key = b""
        self._open_key = b""
        self._sealed = 0
        self._opened = 0

    @property
    def burned(self) -> bool:
        """Tell whether the code is used up; nothing can be done with it any more."""
        return self._state == "burned"

    @property
    def transcript(self) -> bytes:
        """Return the SHA-256 of everything said before the proofs, once the peer has proved itself.

        Raises:
            FarhandError: `code-burned`.
            ValueError: the pairing is not that far (a bug of ours).
        """
        return self._proved().transcript

    @property
    def words(self) -> list[str]:
        """Return the four words to compare by voice, once the peer has proved itself.

        Raises:
            FarhandError: `code-burned`.
            ValueError: the pairing is not that far (a bug of ours).
        """
        return self._proved().words(self._opening)

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt the next blob to the peer.

        Args:
            plaintext: at most `MAX_SEALED_BYTES` (ValueError beyond, a bug of ours).

        Raises:
            FarhandError: `code-burned`, or `pairing-malformed` before both sides proved themselves.
        """
        if len(plaintext) > MAX_SEALED_BYTES:
            raise ValueError(f"a sealed blob of {len(plaintext)} bytes cannot be sent")
        keys = self._step("sealed")
        nonce = self._sealed.to_bytes(12, "big")
        self._sealed += 1
        return ChaCha20Poly1305(self._seal_key).encrypt(nonce, plaintext, keys.transcript)

    def open(self, body: bytes) -> bytes:
        """Decrypt the next blob from the peer.

        Raises:
            FarhandError: `code-burned`; `pairing-malformed`, and the code is burned, when it is
                not exactly the next blob, or too large.
        """
        keys = self._step("sealed")
        if not _TAG_BYTES <= len(body) <= MAX_SEALED_BYTES + _TAG_BYTES:
            raise self._malformed("a sealed blob has a wrong length")
        nonce = self._opened.to_bytes(12, "big")
        try:
            plaintext = ChaCha20Poly1305(self._open_key).decrypt(nonce, body, keys.transcript)
        except InvalidTag as error:
            raise self._malformed("a sealed blob does not open") from error
        self._opened += 1
        return plaintext

    def _proved(self) -> _Keys:
        if self.burned:
            raise _burned()
        if self._keys is None or self._state != "sealed":
            raise ValueError("the peer has not proved itself yet")
        return self._keys

    def _expect(self, state: str) -> None:
        if self.burned:
            raise _burned()
        if self._state != state:
            raise self._malformed("a pairing step came twice or out of order")

    def _step(self, state: str) -> _Keys:
        self._expect(state)
        assert self._keys is not None
        return self._keys

    def _burn(self) -> None:
        self._state = "burned"
        self._keys = None
        self._password = self._seal_key = self._open_key = b""

    def _malformed(self, words: str) -> FarhandError:
        self._burn()
        return RemoteError("pairing-malformed", words, hint="ask for a new code")

    def _wrong(self) -> FarhandError:
        self._burn()
        return FarhandError(
            "code-wrong",
            "the code is not the one the device shows",
            hint="ask the person at the device for a new code; each one takes a single try",
        )

    def _check_pake(self, body: bytes, length: int) -> None:
        if len(body) != length or body[0] != VERSION:
            raise self._malformed("a pairing message has a wrong length or version")

    def _agree(self, side: spake2.SPAKE2_A | spake2.SPAKE2_B, point: bytes) -> bytes:
        try:
            shared: bytes = side.finish(point)
        except Exception as error:
            # spake2 answers bad points with its own errors, bare ValueError, AssertionError and
            # NotOnCurve; whatever it is, the code is used up.
            raise self._malformed("a pairing message holds no valid point") from error
        return shared

    def _derive(self, shared: bytes, from_device: bytes, from_console: bytes) -> _Keys:
        transcript = _transcript(
            self._origin.encode(), self._nameplate.encode(), from_device, from_console
        )
        self._keys = _Keys(shared, transcript)
        self._password = b""
        return self._keys


class DevicePairing(_Pairing):
    """The device's side of one code.

    Args:
        origin: the relay's address as the device knows it; the console must know the same.
        nameplate, secret: the code's two parts.
        entropy: returns that many bytes from a cryptographic source.

    The constructor stretches the secret (about 50 ms and 16 MiB).
    """

    def __init__(
        self, origin: str, nameplate: str, secret: str, *, entropy: Callable[[int], bytes]
    ) -> None:
        super().__init__(origin, nameplate, secret, entropy)
        self._commitment = b""

    def receive_pake(self, body: bytes) -> bytes:
        """Take the console's `pake` body and return the device's.

        Raises:
            FarhandError: `pairing-malformed` (the code is burned) or `code-burned`.
        """
        self._expect("start")
        self._check_pake(body, 1 + POINT_BYTES + OPENING_BYTES)
        side = spake2.SPAKE2_A(
            self._password, idA=_DEVICE_ID, idB=_CONSOLE_ID, entropy_f=self._entropy
        )
        mine: bytes = bytes([VERSION]) + side.start()
        shared = self._agree(side, body[1 : 1 + POINT_BYTES])
        self._commitment = body[1 + POINT_BYTES :]
        self._derive(shared, mine, body)
        self._state = "proving"
        return mine

    def receive_confirm(self, body: bytes) -> bytes:
        """Take the console's proof and return the device's; this is the console's one guess.

        Raises:
            FarhandError: `code-wrong` or `pairing-malformed` (the code is burned), `code-burned`.
        """
        keys = self._step("proving")
        if len(body) != OPENING_BYTES + PROOF_BYTES:
            raise self._malformed("the console's proof has a wrong length")
        opening, proof = body[:OPENING_BYTES], body[OPENING_BYTES:]
        if not hmac.compare_digest(proof, keys.console_proof(opening)):
            raise self._wrong()
        if not hmac.compare_digest(self._commitment, _commit(opening)):
            raise self._malformed("the console opens another commitment than it made")
        self._opening = opening
        self._seal_key, self._open_key = keys.from_device, keys.from_console
        self._state = "sealed"
        return keys.device_proof(opening)


class ConsolePairing(_Pairing):
    """The console's side of one code; arguments as for `DevicePairing`."""

    def __init__(
        self, origin: str, nameplate: str, secret: str, *, entropy: Callable[[int], bytes]
    ) -> None:
        super().__init__(origin, nameplate, secret, entropy)
        self._side: spake2.SPAKE2_B | None = None
        self._mine = b""

    def send_pake(self) -> bytes:
        """Return the console's `pake` body.

        Raises:
            FarhandError: `pairing-malformed` the second time (the code is burned), `code-burned`.
        """
        self._expect("start")
        self._side = spake2.SPAKE2_B(
            self._password, idA=_DEVICE_ID, idB=_CONSOLE_ID, entropy_f=self._entropy
        )
        self._opening = self._entropy(OPENING_BYTES)
        mine: bytes = bytes([VERSION]) + self._side.start() + _commit(self._opening)
        self._mine = mine
        self._state = "sent"
        return mine

    def receive_pake(self, body: bytes) -> bytes:
        """Take the device's `pake` body and return the console's `confirm` body.

        Raises:
            FarhandError: `pairing-malformed` (the code is burned) or `code-burned`.
        """
        self._expect("sent")
        self._check_pake(body, 1 + POINT_BYTES)
        keys = self._derive(self._agree(self._side, body[1:]), body, self._mine)
        self._side = None
        self._state = "proving"
        return self._opening + keys.console_proof(self._opening)

    def receive_confirm(self, body: bytes) -> None:
        """Take the device's proof.

        Raises:
            FarhandError: `code-wrong` (the device does not know the code, or somebody stands in
                its place) or `pairing-malformed`, and the code is burned; `code-burned`.
        """
        keys = self._step("proving")
        if len(body) != PROOF_BYTES:
            raise self._malformed("the device's proof has a wrong length")
        if not hmac.compare_digest(body, keys.device_proof(self._opening)):
            raise self._wrong()
        self._seal_key, self._open_key = keys.from_console, keys.from_device
        self._state = "sealed"
