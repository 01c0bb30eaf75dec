"""Sealed recordings: a chain of encrypted chunks, each signed by the device and seen by the relay.

A recording belongs to one session and bears its id.  The device cuts what happens into chunks,
encrypts each with age to the audit keys (not here: this module never sees plaintext), and signs a
head over it:

    head(i)     DSSE envelope of `RecordingHead` by the device key; its `previous` is the SHA-256
                of head(i-1)'s payload, 64 zeros for the first
    witness(i)  the relay's Ed25519 signature over  "farhand recording witness v1\\0" + canonical
                JSON of {"at", "head", "index", "session", "tenant"}; `head` is head(i)'s hash

So nobody can change, drop or reorder a chunk without the device key, the device cannot rewrite what
the relay has countersigned, and an end that is missing shows: the last head says `final`.  A chunk
says in clear how much was lost before it (`dropped_bytes`).

A sealed recording as a file is `MAGIC`, then for each chunk three byte strings, each behind its
length as u32: the head's envelope, the witness as canonical JSON (empty without), the ciphertext.

What a failed check is called:

    recording-malformed   cannot be read as a chunk, a head, a witness or a sealed file
    recording-signature   a head is not signed by the device key it names, or by another one known
    recording-changed     a ciphertext is not the one that its head was signed over
    recording-foreign     a chunk of another recording
    recording-order       a chunk stands again, or does not follow from the one before
    recording-gap         chunks are missing
    recording-tail        the end is missing, something follows it, or the receipt names another
    recording-witness     a countersignature is wrong, or not by the relay that is known
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from farhand_protocol.envelopes import (
    Statement,
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import PUBLIC_KEY_BYTES, device_id, is_session_id
from farhand_protocol.instants import parse_instant
from farhand_protocol.keys import Signer, verify

__all__ = [
    "FIRST",
    "MAGIC",
    "MAX_CIPHERTEXT_BYTES",
    "MAX_HEAD_BYTES",
    "MAX_PLAINTEXT_BYTES",
    "Chunk",
    "OpenedHead",
    "RecordingChain",
    "RecordingHead",
    "SealedReader",
    "VerifiedRecording",
    "Witness",
    "check_witness",
    "open_chunk",
    "open_head",
    "seal_head",
    "sign_witness",
    "write_chunk",
]

# A chunk with its head fits a message of a device that no organisation vouches for (64 KiB).
MAX_PLAINTEXT_BYTES: Final = 48 * 1024
MAX_CIPHERTEXT_BYTES: Final = 56 * 1024
MAX_HEAD_BYTES: Final = 4 * 1024
MAX_KEEP_DAYS: Final = 36_500
MAX_CHUNKS: Final = 2**31 - 1
MAGIC: Final = b"farhand recording v1\n"
FIRST: Final = "0" * 64
_MAX_WITNESS_BYTES = 1024
_WITNESS_LABEL = b"farhand recording witness v1\0"


class RecordingHead(Statement, frozen=True, kw_only=True):
    """What the device says of one chunk; the relay sees it.

    `index` counts from 0; `sha256` and `size_bytes` are of the ciphertext; `dropped_bytes` of
    plaintext were lost just before this chunk; `keep_days` is what policy wants of the relay;
    `at` is the device's time (RFC 3339).
    """

    tenant: str
    session: str
    device: str
    device_key: bytes
    index: int
    previous: str
    sha256: str
    size_bytes: int
    dropped_bytes: int
    keep_days: int
    final: bool
    at: str


class Witness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The relay's word that it saw a head at its time `at`."""

    at: str
    relay_key: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One chunk as it is kept: `head` is the envelope's bytes; `witness` None before the relay."""

    head: bytes
    ciphertext: bytes
    witness: Witness | None = None


@dataclass(frozen=True, kw_only=True)
class OpenedHead:
    """A head whose own signature holds; `digest` is its place in the chain."""

    head: RecordingHead
    digest: str


@dataclass(frozen=True, kw_only=True)
class VerifiedRecording:
    """What a chain came to.

    `witnessed` counts chunks with a good countersignature; `complete` is False where the end is
    missing; `dropped_bytes` were lost on the device, which says so itself.
    """

    tenant: str
    session: str
    device: str
    device_key: bytes
    chunks: int
    witnessed: int
    size_bytes: int
    dropped_bytes: int
    complete: bool
    head_sha256: str
    first_at: str
    last_at: str
    first_witnessed_at: str | None
    last_witnessed_at: str | None


def _malformed(words: str) -> FarhandError:
    return FarhandError("recording-malformed", words)


def seal_head(head: RecordingHead, signer: Signer) -> tuple[bytes, str]:
    """Sign a head with the device key; return its envelope's bytes and its digest."""
    envelope = seal(head, signer)
    return encode_envelope(envelope), hashlib.sha256(envelope.payload).hexdigest()


def open_head(
    data: bytes, *, device_key: bytes | None = None, number: int | None = None
) -> OpenedHead:
    """Read one signed head.

    Args:
        data: the envelope's canonical bytes.
        device_key: the device's raw key, where it is known from elsewhere.
        number: where the chunk stands, from 0, for the words of an error.

    Raises:
        FarhandError: `recording-malformed`, `recording-signature`.
    """
    which = "a chunk" if number is None else f"chunk {number}"
    if len(data) > MAX_HEAD_BYTES:
        raise _malformed(f"the head of {which} is too large")
    try:
        envelope = decode_envelope(data)
        head = open_payload(envelope, RecordingHead)
        parse_instant(head.at)
    except FarhandError as error:
        raise FarhandError(
            "recording-malformed", f"the head of {which} cannot be read", detail=str(error)
        ) from error
    sound = (
        is_session_id(head.session)
        and len(head.device_key) == PUBLIC_KEY_BYTES
        and device_id(head.device_key) == head.device
        and 0 <= head.index < MAX_CHUNKS
        and _is_digest(head.previous)
        and _is_digest(head.sha256)
        and 0 < head.size_bytes <= MAX_CIPHERTEXT_BYTES
        and 0 <= head.dropped_bytes < 2**53
        and 1 <= head.keep_days <= MAX_KEEP_DAYS
        and len(head.tenant) <= 64
    )
    if not sound:
        raise _malformed(f"the head of {which} is out of bounds")
    if device_key is not None and head.device_key != device_key:
        raise FarhandError("recording-signature", "the recording is by another device key")
    if len(envelope.signatures) != 1 or not signers(envelope, [head.device_key]):
        raise FarhandError("recording-signature", f"the device did not sign the head of {which}")
    return OpenedHead(head=head, digest=hashlib.sha256(envelope.payload).hexdigest())


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(one in "0123456789abcdef" for one in text)


def open_chunk(
    head: bytes, ciphertext: bytes, *, device_key: bytes | None = None, number: int | None = None
) -> OpenedHead:
    """Read one chunk: its head, and that the ciphertext is the one it was signed over.

    Raises:
        FarhandError: as `open_head`; `recording-changed`.
    """
    opened = open_head(head, device_key=device_key, number=number)
    if (
        len(ciphertext) != opened.head.size_bytes
        or hashlib.sha256(ciphertext).hexdigest() != opened.head.sha256
    ):
        raise FarhandError("recording-changed", f"chunk {opened.head.index} was changed")
    return opened


def _witness_message(opened: OpenedHead, at: str) -> bytes:
    head = opened.head
    covered = {
        "at": at,
        "head": opened.digest,
        "index": head.index,
        "session": head.session,
        "tenant": head.tenant,
    }
    return _WITNESS_LABEL + msgspec.json.encode(covered, order="sorted")


def sign_witness(opened: OpenedHead, at: str, signer: Signer) -> Witness:
    """Countersign a head with the relay key."""
    return Witness(
        at=at,
        relay_key=signer.public_key,
        signature=signer.sign(_witness_message(opened, at)),
    )


def check_witness(opened: OpenedHead, witness: Witness, *, relay_key: bytes | None) -> None:
    """Check a countersignature.

    Args:
        opened: the head it is over.
        witness: to be checked.
        relay_key: the relay's raw key; None where it is not known, and then the one it names.

    Raises:
        FarhandError: `recording-witness`.
    """
    known = relay_key is None or relay_key == witness.relay_key
    if not known or not verify(
        witness.relay_key, witness.signature, _witness_message(opened, witness.at)
    ):
        raise FarhandError(
            "recording-witness", f"the relay did not countersign chunk {opened.head.index}"
        )


class RecordingChain:
    """Checks chunks in their order; `add` each, then `finish`.

    Args:
        device_key: the device's raw key, where it is known from elsewhere.
        relay_key: the relay's, where it is known.
        session: the recording that is expected, if one is.
    """

    def __init__(
        self,
        *,
        device_key: bytes | None = None,
        relay_key: bytes | None = None,
        session: str | None = None,
    ) -> None:
        self._device_key = device_key
        self._relay_key = relay_key
        self._session = session
        self._first: RecordingHead | None = None
        self._last: OpenedHead | None = None
        self._size_bytes = 0
        self._dropped_bytes = 0
        self._witnessed = 0
        self._first_witness: str | None = None
        self._last_witness: str | None = None

    @property
    def chunks(self) -> int:
        """How many chunks were added."""
        return self._last.head.index + 1 if self._last else 0

    def add(self, chunk: Chunk) -> RecordingHead:
        """Check the next chunk and return its head.

        Raises:
            FarhandError: see the module's table; nothing of the chunk is taken then.
        """
        opened = open_chunk(
            chunk.head, chunk.ciphertext, device_key=self._device_key, number=self.chunks
        )
        head = opened.head
        self._check_place(head)
        if chunk.witness is not None:
            check_witness(opened, chunk.witness, relay_key=self._relay_key)
            self._witnessed += 1
            self._first_witness = self._first_witness or chunk.witness.at
            self._last_witness = chunk.witness.at
        self._first = self._first or head
        self._last = opened
        self._size_bytes += head.size_bytes
        self._dropped_bytes += head.dropped_bytes
        return head

    def _check_place(self, head: RecordingHead) -> None:
        if self._session is not None and head.session != self._session:
            raise FarhandError("recording-foreign", "the recording is of another session")
        if self._first is not None and _facts(self._first) != _facts(head):
            raise FarhandError("recording-foreign", "a chunk belongs to another recording")
        last = self._last
        if last is not None and last.head.final:
            raise FarhandError("recording-tail", "something follows the recording's end")
        if head.index > self.chunks:
            raise FarhandError(
                "recording-gap", f"chunk {self.chunks} is missing before chunk {head.index}"
            )
        previous = last.digest if last is not None else FIRST
        if head.index < self.chunks or head.previous != previous:
            raise FarhandError(
                "recording-order", f"chunk {head.index} does not follow from the one before"
            )

    def finish(
        self, *, open_end: bool = False, head_sha256: str | None = None
    ) -> VerifiedRecording:
        """Return what the chain came to.

        Args:
            open_end: take a recording whose end is missing, and say so (`complete`).
            head_sha256: the last head that the session's receipt names, where there is one.

        Raises:
            FarhandError: `recording-tail`; `recording-gap` when there is nothing at all.
        """
        first, last = self._first, self._last
        if first is None or last is None:
            raise FarhandError("recording-gap", "the recording is empty")
        if not last.head.final and not open_end:
            raise FarhandError(
                "recording-tail",
                "the recording's end is missing",
                hint="it still runs, the device was cut off, or somebody took the end away",
            )
        if head_sha256 is not None and last.digest != head_sha256:
            raise FarhandError("recording-tail", "the receipt names another end of the recording")
        return VerifiedRecording(
            tenant=first.tenant,
            session=first.session,
            device=first.device,
            device_key=first.device_key,
            chunks=self.chunks,
            witnessed=self._witnessed,
            size_bytes=self._size_bytes,
            dropped_bytes=self._dropped_bytes,
            complete=last.head.final,
            head_sha256=last.digest,
            first_at=first.at,
            last_at=last.head.at,
            first_witnessed_at=self._first_witness,
            last_witnessed_at=self._last_witness,
        )


def _facts(head: RecordingHead) -> tuple[object, ...]:
    return head.tenant, head.session, head.device, head.device_key, head.keep_days


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def write_chunk(chunk: Chunk) -> bytes:
    """Return a chunk as it stands in a sealed file, after `MAGIC` or another chunk."""
    witness = msgspec.json.encode(chunk.witness, order="sorted") if chunk.witness else b""
    return _field(chunk.head) + _field(witness) + _field(chunk.ciphertext)


class SealedReader:
    """Reads a sealed file piece by piece; holds at most one chunk."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun = False
        self._taken = 0

    def receive_data(self, data: bytes) -> list[Chunk]:
        """Take the next piece and return the chunks that are whole.

        Raises:
            FarhandError: `recording-malformed`.
        """
        self._buffer += data
        if not self._begun:
            if len(self._buffer) < len(MAGIC):
                return []
            if not self._buffer.startswith(MAGIC):
                raise _malformed("this is not a sealed recording")
            del self._buffer[: len(MAGIC)]
            self._begun = True
        chunks = []
        while (chunk := self._take()) is not None:
            chunks.append(chunk)
        return chunks

    def receive_eof(self) -> None:
        """Take the end of the file.

        Raises:
            FarhandError: `recording-malformed` when it ends within a chunk.
        """
        if self._buffer or not self._begun:
            raise _malformed(f"the sealed recording ends within chunk {self._taken}")

    def _take(self) -> Chunk | None:
        fields: list[bytes] = []
        at = 0
        for limit in (MAX_HEAD_BYTES, _MAX_WITNESS_BYTES, MAX_CIPHERTEXT_BYTES):
            if len(self._buffer) < at + 4:
                return None
            size = int.from_bytes(self._buffer[at : at + 4], "big")
            if size > limit:
                raise _malformed(f"a part of chunk {self._taken} is too large")
            at += 4
            if len(self._buffer) < at + size:
                return None
            fields.append(bytes(self._buffer[at : at + size]))
            at += size
        del self._buffer[:at]
        head, witness, ciphertext = fields
        chunk = Chunk(head=head, ciphertext=ciphertext, witness=_witness(witness, self._taken))
        self._taken += 1
        return chunk


def _witness(data: bytes, number: int) -> Witness | None:
    if not data:
        return None
    try:
        witness = msgspec.json.decode(data, type=Witness)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FarhandError(
            "recording-malformed",
            f"the countersignature on chunk {number} cannot be read",
            detail=str(error),
        ) from error
    if msgspec.json.encode(witness, order="sorted") != data:
        raise _malformed(f"the countersignature on chunk {number} is not written as it should be")
    return witness
