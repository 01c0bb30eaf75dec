"""A recording verifies as it was made, and with nothing changed, moved or taken away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.casts import (
    MAX_TEXT_BYTES,
    CastEvent,
    CastHeader,
    Term,
    encode_cast_event,
    encode_cast_header,
    read_lines,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.recording import (
    MAX_PLAINTEXT_BYTES,
    Chunk,
    RecordingChain,
    SealedReader,
    VerifiedRecording,
)
from tests.protocol.recordings import DEVICE, RELAY, make_chunks, sealed_file

bodies = st.lists(st.binary(min_size=1, max_size=300), min_size=2, max_size=6, unique=True)


def verify_chunks(chunks: list[Chunk]) -> VerifiedRecording:
    chain = RecordingChain(device_key=DEVICE.public_key, relay_key=RELAY.public_key)
    for chunk in chunks:
        chain.add(chunk)
    return chain.finish()


def verify_file(data: bytes) -> VerifiedRecording:
    reader = SealedReader()
    chunks = reader.receive_data(data)
    reader.receive_eof()
    return verify_chunks(chunks)


@given(bodies, st.integers(1, 2000))
def test_a_sealed_file_verifies_however_it_is_cut_up(made: list[bytes], size: int) -> None:
    chunks = make_chunks(made)
    file = sealed_file(chunks)
    reader, read = SealedReader(), []
    for at in range(0, len(file), size):
        read += reader.receive_data(file[at : at + size])
    reader.receive_eof()
    assert read == chunks
    told = verify_chunks(read)
    assert (told.chunks, told.witnessed, told.complete) == (len(made), len(made), True)


@given(bodies, st.data())
def test_no_byte_of_it_can_change(made: list[bytes], data: st.DataObject) -> None:
    file = bytearray(sealed_file(make_chunks(made)))
    at = data.draw(st.integers(0, len(file) - 1))
    file[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FarhandError, match="recording-"):
        verify_file(bytes(file))


@given(bodies, st.data())
def test_no_chunk_can_move_or_go(made: list[bytes], data: st.DataObject) -> None:
    chunks = make_chunks(made)
    order = data.draw(st.permutations(range(len(chunks))))
    kept = order[: data.draw(st.integers(0, len(order)))]
    if kept == list(range(len(chunks))):
        verify_chunks([chunks[i] for i in kept])
        return
    with pytest.raises(FarhandError) as error:
        verify_chunks([chunks[i] for i in kept])
    assert error.value.code in ("recording-order", "recording-gap", "recording-tail")


@given(bodies, st.data())
def test_no_tail_can_be_cut_or_added(made: list[bytes], data: st.DataObject) -> None:
    chunks = make_chunks(made)
    file = sealed_file(chunks)
    cut = data.draw(st.integers(0, len(file) - 1))
    with pytest.raises(FarhandError, match="recording-"):
        verify_file(file[:cut])
    with pytest.raises(FarhandError, match="recording-"):
        verify_file(file + data.draw(st.binary(min_size=1, max_size=50)))
    with pytest.raises(FarhandError, match="recording-"):
        verify_file(file + sealed_file(chunks)[len(sealed_file([])) :])


@given(bodies, bodies)
def test_chunks_of_two_recordings_do_not_mix(made: list[bytes], others: list[bytes]) -> None:
    mine = make_chunks(made)
    theirs = make_chunks(others, session="s-bbbbbbbbbbbbbbbbbbbbbbbbbb")
    with pytest.raises(FarhandError, match="recording-foreign"):
        verify_chunks([mine[0], *theirs[1:]])


@given(st.text(max_size=MAX_TEXT_BYTES), st.floats(0, 1e6))
def test_lines_come_back_and_fit_a_chunk(text: str, interval_s: float) -> None:
    text = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
    header = CastHeader(version=3, term=Term(cols=80, rows=24, type="xterm"), timestamp=5)
    lines = encode_cast_header(1, header) + encode_cast_event(1, interval_s, "o", text)
    assert len(lines) <= MAX_PLAINTEXT_BYTES
    assert list(read_lines(lines)) == [
        (1, header),
        (1, CastEvent(round(interval_s, 6), "o", text)),
    ]


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"[1," + data + b"]\n"))
def test_foreign_lines_are_read_or_refused(data: bytes) -> None:
    try:
        list(read_lines(data))
    except FarhandError as error:
        assert error.code == "recording-plaintext"  # noqa: PT017
