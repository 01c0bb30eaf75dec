"""What is kept of a body's output: how much from each end, where the gap is, what is sealed.

The device keeps a quarter of its room from the beginning and the rest from the end, because errors
come last.  A gap is not marked in the bytes themselves; its place follows from their number.
"""

from __future__ import annotations

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = ["SealedOutput", "decode_output", "encode_output", "head_bytes", "with_gap"]


class SealedOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plaintext of `Result.sealed_output`: what a sensitive script printed.

    The fields are those of a result that is not sealed.  Set by the device, sealed with age to the
    keys of the ordering operator; the relay sees its length alone.
    """

    order: str
    stdout: bytes
    stdout_bytes: int
    stdout_truncated: bool
    stderr: bytes
    stderr_bytes: int
    stderr_truncated: bool


def encode_output(output: SealedOutput) -> bytes:
    """Return what is sealed."""
    return msgspec.msgpack.encode(output)


def decode_output(data: bytes) -> SealedOutput:
    """Read what was sealed.

    Raises:
        FarhandError: `output-malformed`.
    """
    try:
        return msgspec.msgpack.decode(data, type=SealedOutput)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        raise FarhandError("output-malformed", "the sealed output cannot be read") from error


def head_bytes(limit_bytes: int) -> int:
    """Return how many of the bytes that are kept come from the beginning of the stream."""
    return limit_bytes // 4


def with_gap(kept: bytes, total_bytes: int) -> str:
    """Return output as text, with one line in the gap that says how many bytes were not kept.

    Args:
        kept: as a result holds it.
        total_bytes: how many the body printed.
    """
    dropped = total_bytes - len(kept)
    if dropped <= 0:
        return kept.decode(errors="replace")
    at = head_bytes(len(kept))
    head, tail = kept[:at].decode(errors="replace"), kept[at:].decode(errors="replace")
    return f"{head}\n[{dropped} bytes were not kept]\n{tail}"
