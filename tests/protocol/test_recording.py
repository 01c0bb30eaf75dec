"""Each failure of a recording has its own code."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.recording import (
    MAGIC,
    MAX_CIPHERTEXT_BYTES,
    MAX_HEAD_BYTES,
    Chunk,
    RecordingChain,
    SealedReader,
    open_head,
    sign_witness,
    write_chunk,
)
from tests.protocol.recordings import AT, DEVICE, RELAY, make_chunks, resigned, sealed_file

BODIES = [b"one", b"two", b"three"]
OTHER = SeedSigner(bytes([9]) * 32)


def verify_all(chunks: list[Chunk], **known: object) -> None:
    chain = RecordingChain(**known)  # type: ignore[arg-type]
    for chunk in chunks:
        chain.add(chunk)
    chain.finish()


def fail(chunks: list[Chunk], **known: object) -> str:
    with pytest.raises(FarhandError) as error:
        verify_all(chunks, **known)
    return error.value.code


def read_all(data: bytes) -> None:
    reader = SealedReader()
    reader.receive_data(data)
    reader.receive_eof()


def test_what_a_whole_recording_says() -> None:
    chain = RecordingChain(device_key=DEVICE.public_key, relay_key=RELAY.public_key)
    chunks = make_chunks(BODIES, dropped=5)
    for chunk in chunks:
        chain.add(chunk)
    told = chain.finish(head_sha256=open_head(chunks[-1].head).digest)
    assert (told.chunks, told.size_bytes, told.dropped_bytes) == (3, 11, 15)
    assert (told.complete, told.witnessed, told.last_witnessed_at) == (True, 3, AT)


def test_codes() -> None:
    a, b, c = make_chunks(BODIES)
    assert fail([a, c]) == "recording-gap"
    assert fail([b, c]) == "recording-gap"
    assert fail([]) == "recording-gap"
    assert fail([a, a, b]) == "recording-order"
    assert fail([a, b]) == "recording-tail"
    assert fail([a, b, c, c]) == "recording-tail"
    assert fail([dataclasses.replace(a, ciphertext=b"onE")]) == "recording-changed"
    assert fail([dataclasses.replace(a, ciphertext=b"two")]) == "recording-changed"
    assert fail([a, b, c], device_key=OTHER.public_key) == "recording-signature"
    assert fail([a, b, c], relay_key=OTHER.public_key) == "recording-witness"
    assert fail([a, b, c], session="s-bbbbbbbbbbbbbbbbbbbbbbbbbb") == "recording-foreign"
    assert fail([dataclasses.replace(a, witness=b.witness)]) == "recording-witness"
    assert fail([dataclasses.replace(a, head=b"{}")]) == "recording-malformed"
    assert fail([dataclasses.replace(a, head=b" " * (MAX_HEAD_BYTES + 1))]) == "recording-malformed"


def test_a_head_signed_by_somebody_else_never_counts() -> None:
    a = make_chunks(BODIES)[0]
    head = open_head(a.head).head
    assert fail([dataclasses.replace(a, head=resigned(head, OTHER))]) == "recording-signature"


def test_a_rewritten_chunk_breaks_what_follows() -> None:
    a, b, c = make_chunks(BODIES)
    lie = msgspec.structs.replace(open_head(a.head).head, dropped_bytes=9)
    assert fail([dataclasses.replace(a, head=resigned(lie))]) == "recording-witness"
    assert fail([Chunk(head=resigned(lie), ciphertext=b"one"), b, c]) == "recording-order"


@pytest.mark.parametrize(
    "fields",
    [
        {"index": -1},
        {"size_bytes": 0},
        {"size_bytes": MAX_CIPHERTEXT_BYTES + 1},
        {"dropped_bytes": -1},
        {"keep_days": 0},
        {"previous": "x" * 64},
        {"sha256": "AB" * 32},
        {"session": "../../etc"},
        {"device": "d-aaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"device_key": b"short"},
        {"at": "yesterday"},
    ],
)
def test_heads_out_of_bounds(fields: dict[str, object]) -> None:
    head = msgspec.structs.replace(open_head(make_chunks(BODIES)[0].head).head, **fields)
    with pytest.raises(FarhandError, match="recording-malformed"):
        open_head(resigned(head))


def test_an_open_end_is_told_when_asked_for() -> None:
    chain = RecordingChain()
    for chunk in make_chunks(BODIES, final=False, relay=None):
        chain.add(chunk)
    told = chain.finish(open_end=True)
    assert (told.complete, told.witnessed) == (False, 0)
    with pytest.raises(FarhandError, match="recording-tail"):
        chain.finish()
    with pytest.raises(FarhandError, match="recording-tail"):
        chain.finish(open_end=True, head_sha256="0" * 64)


def test_the_receipt_names_the_end() -> None:
    chain = RecordingChain()
    for chunk in make_chunks(BODIES):
        chain.add(chunk)
    with pytest.raises(FarhandError, match="recording-tail"):
        chain.finish(head_sha256="0" * 64)


def test_a_witness_is_over_one_head_at_one_time() -> None:
    a, b, _ = make_chunks(BODIES)
    later = sign_witness(open_head(b.head), "2026-11-22T09:00:00Z", RELAY)
    assert fail([dataclasses.replace(a, witness=later)]) == "recording-witness"
    assert a.witness is not None
    backdated = msgspec.structs.replace(a.witness, at="2020-01-01T00:00:00Z")
    assert fail([dataclasses.replace(a, witness=backdated)]) == "recording-witness"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"asciicast",
        b"x" * 100,
        sealed_file(make_chunks(BODIES))[:-1],
        sealed_file([]) + b"\xff\xff\xff\xff",
        sealed_file([]) + write_chunk(make_chunks(BODIES)[0]).replace(b'{"at"', b'{ "at"', 1),
    ],
)
def test_what_is_no_sealed_file(data: bytes) -> None:
    with pytest.raises(FarhandError, match="recording-malformed"):
        read_all(data)


def test_a_chunk_without_a_countersignature_is_read_as_such() -> None:
    bare = dataclasses.replace(make_chunks(BODIES)[0], witness=None)
    assert SealedReader().receive_data(MAGIC + write_chunk(bare)) == [bare]


def test_a_countersignature_that_is_written_otherwise() -> None:
    chunk = make_chunks(BODIES)[0]
    assert chunk.witness is not None
    canonical = msgspec.json.encode(chunk.witness, order="sorted")
    spaced = canonical.replace(b":", b": ", 1)
    data = b"".join(
        len(one).to_bytes(4, "big") + one for one in (chunk.head, spaced, chunk.ciphertext)
    )
    with pytest.raises(FarhandError) as caught:
        SealedReader().receive_data(MAGIC + data)
    assert caught.value.code == "recording-malformed"
