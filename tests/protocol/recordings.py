"""Recordings for tests: chunks with stand-in ciphertext, properly signed and chained."""

from __future__ import annotations

import hashlib

from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.recording import (
    FIRST,
    MAGIC,
    Chunk,
    RecordingHead,
    open_head,
    seal_head,
    sign_witness,
    write_chunk,
)

DEVICE_SEED, RELAY_SEED = bytes([7]) * 32, bytes([8]) * 32
DEVICE, RELAY = SeedSigner(DEVICE_SEED), SeedSigner(RELAY_SEED)
SESSION = "s-aaaaaaaaaaaaaaaaaaaaaaaaaa"
AT = "2026-11-22T08:00:00Z"


def make_chunks(
    bodies: list[bytes],
    *,
    session: str = SESSION,
    tenant: str = "n-test",
    device: SeedSigner = DEVICE,
    relay: SeedSigner | None = RELAY,
    final: bool = True,
    dropped: int = 0,
) -> list[Chunk]:
    """Return a chain of one chunk for each body; the last one is final unless told otherwise."""
    chunks, previous = [], FIRST
    for index, body in enumerate(bodies):
        head = RecordingHead(
            tenant=tenant,
            session=session,
            device=device_id(device.public_key),
            device_key=device.public_key,
            index=index,
            previous=previous,
            sha256=hashlib.sha256(body).hexdigest(),
            size_bytes=len(body),
            dropped_bytes=dropped,
            keep_days=30,
            final=final and index == len(bodies) - 1,
            at=AT,
        )
        data, previous = seal_head(head, device)
        witness = sign_witness(open_head(data), AT, relay) if relay else None
        chunks.append(Chunk(head=data, ciphertext=body, witness=witness))
    return chunks


def sealed_file(chunks: list[Chunk]) -> bytes:
    """Return the chunks as a sealed file."""
    return MAGIC + b"".join(write_chunk(chunk) for chunk in chunks)


def resigned(head: RecordingHead, device: SeedSigner = DEVICE) -> bytes:
    """Return a head signed again, as a device that lies would."""
    return encode_envelope(seal(head, device))
