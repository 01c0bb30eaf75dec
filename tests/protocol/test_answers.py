"""What scripts answer, and what a manifest promised."""

from __future__ import annotations

import pytest

from farhand_protocol.answers import MAX_ANSWER_BYTES, AnswerKind, read_answer
from farhand_protocol.errors import FarhandError
from tests.protocol.samples import manifest


@pytest.mark.parametrize(
    ("kind", "stdout"),
    [
        ("object", b'{"a": 1}'),
        ("change", b'{"changed": false, "more": []}'),
        ("finding", b'{"state": "warning", "summary": "nearly full"}'),
    ],
)
def test_a_promise_that_was_kept(kind: AnswerKind, stdout: bytes) -> None:
    answer = read_answer(kind, stdout)
    assert isinstance(answer, dict)


def test_nobody_reads_text() -> None:
    assert read_answer("text", b"\xff" * (MAX_ANSWER_BYTES + 1)) is None


@pytest.mark.parametrize(
    ("kind", "stdout"),
    [
        ("object", b""),
        ("object", b"[1]"),
        ("object", b"\xff"),
        ("object", b"[" * 5000),
        ("object", b'{"a": "' + b"x" * MAX_ANSWER_BYTES + b'"}'),
        ("change", b"{}"),
        ("change", b'{"changed": 1}'),
        ("finding", b'{"state": "fine", "summary": "x"}'),
        ("finding", b'{"state": "ok"}'),
        ("finding", b'{"state": "ok", "summary": "' + b"x" * 4001 + b'"}'),
    ],
)
def test_a_promise_that_was_broken(kind: AnswerKind, stdout: bytes) -> None:
    with pytest.raises(FarhandError, match="answer-malformed"):
        read_answer(kind, stdout)


def test_a_check_answers_a_finding_whatever_it_promises() -> None:
    assert manifest(id="check.greeting").answers_finding
    assert manifest(answer="finding").answers_finding
    assert not manifest().answers_finding
