"""Output that was sealed, answers of scripts: hostile bytes end in their documented error alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.answers import MAX_ANSWER_BYTES, AnswerKind, read_answer
from farhand_protocol.errors import FarhandError
from farhand_protocol.outputs import (
    SealedOutput,
    decode_output,
    encode_output,
    head_bytes,
    with_gap,
)

OUTPUT = SealedOutput(
    order="o-aaaaaaaaaaaaaaaa",
    stdout=b"\xff\x00",
    stdout_bytes=2,
    stdout_truncated=False,
    stderr=b"x" * 300,
    stderr_bytes=900,
    stderr_truncated=True,
)


def test_output_comes_back_as_it_was() -> None:
    assert decode_output(encode_output(OUTPUT)) == OUTPUT


@given(st.integers(0, len(encode_output(OUTPUT)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_another_output_or_none(at: int, by: int) -> None:
    data = bytearray(encode_output(OUTPUT))
    data[at] ^= by
    found: object
    try:
        found = decode_output(bytes(data))
    except FarhandError as error:
        found = error.code
    assert found == "output-malformed" or isinstance(found, SealedOutput)
    assert found != OUTPUT


@given(st.binary(max_size=200))
def test_rubbish_is_no_output(data: bytes) -> None:
    with pytest.raises(FarhandError, match="output-malformed"):
        decode_output(data)


@given(st.binary(max_size=200), st.sampled_from(["object", "change", "finding"]))
def test_rubbish_is_no_answer(data: bytes, kind: AnswerKind) -> None:
    found: object
    try:
        found = read_answer(kind, data)
    except FarhandError as error:
        found = error.code
    assert found == "answer-malformed" or isinstance(found, dict)


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b'{"changed":true}x', b"9" * 10_000, b""],
)
def test_answers_that_are_made_to_hurt(data: bytes) -> None:
    with pytest.raises(FarhandError, match="answer-malformed"):
        read_answer("change", data)
    assert len(data) < 3 * MAX_ANSWER_BYTES


@given(st.binary(min_size=4, max_size=64), st.integers(0, 1000))
def test_the_gap_stands_where_the_head_ends(kept: bytes, dropped: int) -> None:
    shown = with_gap(kept, len(kept) + dropped)
    if not dropped:
        assert shown == kept.decode(errors="replace")
        return
    head, _, rest = shown.partition(f"\n[{dropped} bytes were not kept]\n")
    at = head_bytes(len(kept))
    assert (head, rest) == (
        kept[:at].decode(errors="replace"),
        kept[at:].decode(errors="replace"),
    )
