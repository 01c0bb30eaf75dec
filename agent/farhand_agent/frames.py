"""The frames between the agent's processes, and how a short-lived child reads and writes them.

A frame is four bytes of length, big-endian, and MessagePack of at most `MAX_FRAME_BYTES`.  The
child's side blocks and stands here; the parent's is asynchronous and stands in `child`, because a
child that signs one thing and goes must not wait for asyncio to load.  A child that fails says so
in a frame `{"error": {"code", "message", "hint"}}`.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from farhand_protocol.errors import FarhandError

__all__ = [
    "LENGTH",
    "MAX_FRAME_BYTES",
    "decode_frame",
    "encode_frame",
    "error_fields",
    "read_frame",
    "serve_frames",
    "write_frame",
]

MAX_FRAME_BYTES = 2 * 1024 * 1024
LENGTH = struct.Struct(">I")


def encode_frame(frame: dict[str, Any]) -> bytes:
    """Return a frame with its length before it."""
    body = msgspec.msgpack.encode(frame)
    return LENGTH.pack(len(body)) + body


def decode_frame(body: bytes) -> dict[str, Any]:
    """Read what follows the length.

    Raises:
        msgspec.MsgspecError: it is no frame.
    """
    return msgspec.msgpack.decode(body, type=dict[str, Any])


def read_frame(stream: BinaryIO) -> dict[str, Any] | None:
    """Read one frame from the parent, or None at the end of input.

    Raises:
        FarhandError: `child-failed` when it is not a frame.
    """
    head = stream.read(LENGTH.size)
    if not head:
        return None
    if len(head) < LENGTH.size or (length := LENGTH.unpack(head)[0]) > MAX_FRAME_BYTES:
        raise FarhandError("child-failed", "a frame from the parent cannot be read")
    body = stream.read(length)
    try:
        return decode_frame(body)
    except msgspec.MsgspecError as error:
        raise FarhandError("child-failed", "a frame from the parent cannot be read") from error


def write_frame(stream: BinaryIO, frame: dict[str, Any]) -> None:
    """Write one frame to the parent; where that is gone, end quietly: there is nobody to tell."""
    try:
        stream.write(encode_frame(frame))
        stream.flush()
    except BrokenPipeError as error:
        # What is still buffered would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(1) from error


def serve_frames(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Answer frames on stdin until it ends; the whole main of a simple child.

    Errors with a code become error frames.  Returns the exit status.
    """
    # The frames have descriptor 1 to themselves; whatever else prints goes to stderr.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while (request := read_frame(sys.stdin.buffer)) is not None:
            write_frame(output, answer(request))
    except FarhandError as error:
        write_frame(output, {"error": error_fields(error)})
        return 1
    return 0


def error_fields(error: FarhandError) -> dict[str, Any]:
    """Return an error as the fields of an error frame."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "detail": error.detail,
    }
