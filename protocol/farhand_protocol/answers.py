"""What a script answers: the kinds of JSON that a manifest can promise, and whether one kept it.

    text      anything; nobody reads it but a person
    object    one JSON object
    change    one JSON object whose `changed` says whether the body changed the device
    finding   one JSON object whose `state` says how the thing looked at is, `summary` why

The device checks the answer of its own body and a console that of any device, both here.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = ["FINDING_STATES", "MAX_ANSWER_BYTES", "AnswerKind", "read_answer"]

AnswerKind = Literal["text", "object", "change", "finding"]
FINDING_STATES: Final = ("ok", "warning", "critical", "unknown", "unsupported")
# What a device keeps of a body's output; an answer beyond it was cut.
MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_SUMMARY_CHARS: Final = 4000


def read_answer(kind: AnswerKind, stdout: bytes) -> dict[str, Any] | None:
    """Read what a body printed as the answer that its manifest promised.

    Args:
        kind: what was promised.
        stdout: all of it, at most `MAX_ANSWER_BYTES`.

    Returns:
        The JSON object; None for text.

    Raises:
        FarhandError: `answer-malformed` when it is not of that kind.
    """
    if kind == "text":
        return None
    if len(stdout) > MAX_ANSWER_BYTES:
        raise _malformed("it is too long")
    try:
        answer = msgspec.json.decode(stdout)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _malformed("it is no JSON") from error
    if not isinstance(answer, dict):
        raise _malformed("it is no object")
    if kind == "change" and not isinstance(answer.get("changed"), bool):
        raise _malformed("it does not say whether anything changed")
    if kind == "finding":
        summary = answer.get("summary")
        if answer.get("state") not in FINDING_STATES:
            raise _malformed("its state is none of a finding's")
        if not isinstance(summary, str) or len(summary) > _MAX_SUMMARY_CHARS:
            raise _malformed("its summary is no text, or too long")
    return answer


def _malformed(words: str) -> FarhandError:
    return FarhandError(
        "answer-malformed", f"the script's answer is not what its manifest says: {words}"
    )
