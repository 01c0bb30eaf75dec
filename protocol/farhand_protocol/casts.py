"""What stands inside a recording's chunks: asciicast v3 lines, many streams in one chain.

A chunk's plaintext is JSON lines.  Each is an array whose first item is the stream's number; what
follows is a line of that stream's own asciicast v3 file:

    [STREAM, {header}]                 the stream begins
    [STREAM, INTERVAL, CODE, DATA]     seconds since the stream's line before

Stream 0 is the session's events, open from the start; each terminal and each command gets a stream
of its own.  The header carries `farhand`, which players ignore: the kind of stream, and when it
began after the recording did.  Codes: `o` output, `i` input (only where policy says so), `r`
resize, `x` exit status, and `e` in stream 0, whose DATA is the JSON of one `grants.Action`.

What a terminal shows is text: bytes that are no UTF-8 stand as U+FFFD.  A command without one may
write anything; what is no text stands whole in a line of code `b`, as base64, which players ignore.
A line is never longer than a chunk.
A screen is a stream of kind `screen`: its size stands in pixels, `b` lines carry RFB as it was sent
to the viewer, and `m` stands before each update that shows all of it.
Source: asciicast v3 (docs.asciinema.org/manual/asciicast/v3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.recording import MAX_PLAINTEXT_BYTES

__all__ = [
    "EVENTS",
    "MAX_BINARY_BYTES",
    "MAX_STREAMS",
    "MAX_TEXT_BYTES",
    "CastEvent",
    "CastHeader",
    "Origin",
    "StreamKind",
    "Term",
    "encode_cast_event",
    "encode_cast_header",
    "read_lines",
]

EVENTS: Final = 0
MAX_STREAMS: Final = 1_000_000
# Written as JSON, a byte becomes six characters at worst; a line must fit a chunk.
MAX_TEXT_BYTES: Final = 4 * 1024
# As base64 it is a third longer.
MAX_BINARY_BYTES: Final = 24 * 1024

StreamKind = Literal["events", "terminal", "exec", "screen"]
Code = Literal["o", "b", "i", "r", "x", "m", "e"]


class Term(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The terminal's size in characters, and its type."""

    cols: int
    rows: int
    type: str = ""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What Farhand says of a stream: `at_s` is when it began, after the recording did."""

    kind: StreamKind
    session: str
    stream: int
    at_s: float


class CastHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An asciicast v3 header; `timestamp` is Unix time."""

    version: int
    term: Term
    timestamp: int = 0
    title: str = ""
    command: str = ""
    farhand: Origin | None = None


class CastEvent(msgspec.Struct, frozen=True, array_like=True):
    """One line of a stream after its header."""

    interval_s: float
    code: str
    data: str


def encode_cast_header(stream: int, header: CastHeader) -> bytes:
    """Return the line that begins a stream, with its newline."""
    return msgspec.json.encode([stream, header]) + b"\n"


def encode_cast_event(stream: int, interval_s: float, code: Code, data: str) -> bytes:
    """Return one line of a stream, with its newline; `data` fits `MAX_TEXT_BYTES`."""
    return msgspec.json.encode([stream, round(max(0.0, interval_s), 6), code, data]) + b"\n"


def read_lines(plaintext: bytes) -> Iterator[tuple[int, CastHeader | CastEvent]]:
    """Yield a chunk's lines as (stream, header or event).

    The device that wrote them may be hostile: bounds hold, but text is foreign, and whoever shows
    it escapes it.

    Raises:
        FarhandError: `recording-plaintext`.
    """
    if len(plaintext) > MAX_PLAINTEXT_BYTES or (plaintext and not plaintext.endswith(b"\n")):
        raise _unreadable("a chunk is too long or cut off")
    for line in plaintext.splitlines():
        yield _line(line)


def _line(line: bytes) -> tuple[int, CastHeader | CastEvent]:
    try:
        items = msgspec.json.decode(line, type=list[Any])
        stream = items[0]
        if type(stream) is not int or not 0 <= stream < MAX_STREAMS:
            raise _unreadable("a line names no stream")
        if len(items) == 2:
            header = msgspec.convert(items[1], CastHeader)
            if header.version != 3:
                raise _unreadable("a stream is of an unknown version")
            return stream, header
        event = msgspec.convert(items[1:], CastEvent)
        if len(items) != 4 or not 0 <= event.interval_s < 1e9:
            raise _unreadable("a line is out of bounds")
        return stream, event
    except (msgspec.MsgspecError, IndexError, RecursionError, ValueError) as error:
        raise FarhandError(
            "recording-plaintext", "a line of the recording cannot be read", detail=str(error)
        ) from error


def _unreadable(words: str) -> FarhandError:
    return FarhandError("recording-plaintext", words)
