"""What an opened recording holds: its streams, in memory for showing, or as files for players.

Each stream becomes one asciicast file, version 3 or (for older players) 2.  A command without a
terminal ends its lines with a bare newline, which a player would show as a staircase; they get a
carriage return.  Stream 0, the events, becomes lines of readable text with the time in front.

What stands here was written by a device that may be hostile.  Files keep it as it came; whoever
puts it on a terminal passes it through `recording_screen`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_console.output import printable
from farhand_console.session.recording_keys import Opener
from farhand_protocol.casts import EVENTS, CastEvent, CastHeader, read_lines
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Action
from farhand_protocol.recording import Chunk

__all__ = ["MAX_SHOWN_BYTES", "CastFiles", "Stream", "open_lines", "read_streams"]

# What is shown is held in memory; a longer recording is exported.
MAX_SHOWN_BYTES: Final = 256 * 1024 * 1024
_MAX_COLUMNS: Final = 2000


@dataclass
class Stream:
    """One stream of a recording; `duration_s` is the sum of its intervals."""

    number: int
    header: CastHeader
    events: list[CastEvent] = field(default_factory=list)
    duration_s: float = 0.0

    @property
    def kind(self) -> str:
        """What it is a recording of."""
        return self.header.farhand.kind if self.header.farhand else "terminal"

    @property
    def at_s(self) -> float:
        """When it began, in seconds after the recording did."""
        return self.header.farhand.at_s if self.header.farhand else 0.0


def open_lines(
    chunks: Iterable[Chunk], opener: Opener
) -> Iterator[tuple[int, CastHeader | CastEvent]]:
    """Decrypt chunks and yield their lines.

    Raises:
        FarhandError: `recording-identity`, `recording-damaged`, `recording-plaintext`.
    """
    for chunk in chunks:
        yield from read_lines(opener.open(chunk.ciphertext))


def read_streams(
    lines: Iterable[tuple[int, CastHeader | CastEvent]],
) -> dict[int, Stream]:
    """Return the streams, by number.

    Raises:
        FarhandError: `recording-plaintext` for a line of no stream, `recording-large`.
    """
    streams: dict[int, Stream] = {}
    held = 0
    for number, line in lines:
        if isinstance(line, CastHeader):
            streams.setdefault(number, Stream(number, line))
            continue
        stream = streams.get(number)
        if stream is None:
            raise FarhandError("recording-plaintext", "a line belongs to no stream")
        held += len(line.data) + 100
        if held > MAX_SHOWN_BYTES:
            raise FarhandError(
                "recording-large",
                "the recording is too long to be shown",
                hint="farhand recording export writes files for a player",
            )
        stream.events.append(line)
        stream.duration_s += line.interval_s
    return streams


def shown_event(stream: Stream, event: CastEvent) -> CastEvent:
    """Return an event as a player understands it."""
    if stream.number == EVENTS and event.code == "e":
        return CastEvent(event.interval_s, "o", f"{action_words(event.data)}\r\n")
    if stream.kind == "screen":
        return event  # RFB, for whoever can show it; players of terminals pass it over
    if event.code == "b":
        size = len(event.data) * 3 // 4 - event.data[-2:].count("=")
        return CastEvent(event.interval_s, "o", f"[{size} bytes that are no text]\r\n")
    if stream.kind == "exec" and event.code == "o":
        return CastEvent(
            event.interval_s, "o", event.data.replace("\r\n", "\n").replace("\n", "\r\n")
        )
    return event


def action_words(data: str) -> str:
    """Return one recorded action as a safe line of text."""
    try:
        action = msgspec.json.decode(data, type=Action)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return printable(data, 200)
    size = f" ({action.size_bytes} bytes)" if action.size_bytes is not None else ""
    return printable(f"{action.at}  {action.kind}  {action.detail}{size}", 2000)


class CastFiles:
    """Writes each stream into a file of its own, `SESSION-NUMBER.cast`; they are there at the end.

    Args:
        folder: where to; it must exist.
        session: for the names.
        version: 3 or 2.
        only: number of the one stream that is wanted; None for all.
    """

    def __init__(self, folder: Path, session: str, *, version: int, only: int | None) -> None:
        self._folder = folder
        self._session = session
        self._version = version
        self._only = only
        self._streams: dict[int, Stream] = {}
        self._parts: dict[int, Path] = {}
        self._lines: dict[int, int] = {}

    def write(self, lines: Iterable[tuple[int, CastHeader | CastEvent]]) -> None:
        """Write what the lines say, as they come.

        Raises:
            FarhandError: `recording-plaintext`; `recording-export` when a file is there already or
                cannot be written.
        """
        try:
            for number, line in lines:
                if self._only is None or number == self._only:
                    self._write_line(number, line)
        except OSError as error:
            raise FarhandError(
                "recording-export", f"cannot write {error.filename}: {error.strerror}"
            ) from error

    def _write_line(self, number: int, line: CastHeader | CastEvent) -> None:
        if isinstance(line, CastHeader):
            if number not in self._streams:
                self._begin(number, line)
            return
        stream = self._streams.get(number)
        if stream is None:
            raise FarhandError("recording-plaintext", "a line belongs to no stream")
        event = shown_event(stream, line)
        stream.duration_s += event.interval_s
        if self._version == 2:
            if event.code == "x":
                return  # version 2 knows no exit status
            event = CastEvent(round(stream.duration_s, 6), event.code, event.data)
        self._append(number, event)

    def _begin(self, number: int, header: CastHeader) -> None:
        self._streams[number] = Stream(number, header)
        path = self._path(number)
        if path.exists():
            raise FarhandError("recording-export", f"{path} is there already")
        self._parts[number] = part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600, exist_ok=False)
        self._lines[number] = 0
        term = header.term
        shown: Any = header
        if self._version == 2:
            shown = {
                "version": 2,
                "width": min(max(term.cols, 1), _MAX_COLUMNS),
                "height": min(max(term.rows, 1), _MAX_COLUMNS),
                "timestamp": header.timestamp,
                "title": header.title,
                "env": {"TERM": term.type} if term.type else {},
            }
        self._append(number, shown)

    def _append(self, number: int, line: Any) -> None:
        # Opened for each line: a session may have had more commands than files can be open.
        with self._parts[number].open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        self._lines[number] += 1

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._session}-{number}.cast"

    def close(self) -> None:
        """Remove what was not finished."""
        for part in self._parts.values():
            part.unlink(missing_ok=True)

    def finish(self) -> list[dict[str, Any]]:
        """Put the files in their place and return one row for each.

        Raises:
            FarhandError: `recording-export`.
        """
        try:
            for number, part in self._parts.items():
                part.replace(self._path(number))
        except OSError as error:
            raise FarhandError("recording-export", f"cannot write: {error.strerror}") from error
        return [
            {
                "stream": number,
                "kind": stream.kind,
                "title": stream.header.title,
                "path": str(self._path(number)),
                "lines": self._lines[number],
                "duration_s": round(stream.duration_s, 3),
            }
            for number, stream in sorted(self._streams.items())
        ]
