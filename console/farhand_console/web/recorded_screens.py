"""A recorded screen, made ready for the viewer in the page.

What was recorded is RFB as the device sent it to whoever looked on, in the asciicast that
`recording export` wrote.  It is read here once, message by message, and only what draws goes into a
file beside it, as records that a viewer takes one by one:

    milliseconds since the stream began, 4 bytes | size, 4 bytes | one FramebufferUpdate

and a list of pieces, each at most `PIECE_BYTES` and one update, that says where a piece begins and
whether it begins with the whole picture: there a viewer can enter.  Such a piece says the screen's
size first.

    update                Raw and Tight within the screen; its size, however it was told
    pointer, clipboard    left out: where the pointer was is not recorded, and nobody copies here
    anything else         the stream is broken: what came before is shown, and that it is broken

A device that wrote it may be hostile: lengths are bounded before they are believed, and pixels are
unpacked by nobody but the viewer.
Source: RFC 6143; the Tight encoding in github.com/rfbproto/rfbproto.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from farhand_console.web.sockets import error_body
from farhand_protocol.errors import FarhandError, UsageError

__all__ = [
    "MAX_PIECES",
    "MAX_SCREEN_BYTES",
    "MAX_SCREEN_PIXELS",
    "MAX_UPDATE_BYTES",
    "PIECE_BYTES",
    "Piece",
    "PreparedScreen",
    "Screen",
    "prepare_screen",
]

MAX_SCREEN_BYTES: Final = 1024 * 1024 * 1024
# As many as a device shows: four 4K monitors.
MAX_SCREEN_PIXELS: Final = 4 * 3840 * 2160
MAX_UPDATE_BYTES: Final = 64 * 1024 * 1024
PIECE_BYTES: Final = 1024 * 1024
MAX_PIECES: Final = 20_000
# Whole pictures that follow each other sooner are no places of their own to enter at.
_ENTER_S: Final = 2.0
_MAX_LINE_BYTES: Final = 1024 * 1024
_MAX_TEXT_BYTES: Final = 512 * 1024
_MAX_NAME_BYTES: Final = 1024
_MAX_CURSOR_PIXELS: Final = 1024 * 1024
_VERSIONS: Final = (b"RFB 003.007\n", b"RFB 003.008\n")
_UPDATE, _BELL, _CUT_TEXT = 0, 2, 3
_BASIC, _FILL, _JPEG = 0x01, 0x80, 0x90
_UNCOMPRESSED_BELOW: Final = 12
_RECTANGLE: Final = struct.Struct(">HHHHi")
_RECORD: Final = struct.Struct(">II")


class _Encoding(IntEnum):
    RAW = 0
    TIGHT = 7
    SIZE = -223
    CURSOR = -239
    EXTENDED_SIZE = -308


class Piece(msgspec.Struct, frozen=True):
    """When a piece begins, and whether with the whole picture."""

    at_s: float
    is_full: bool


class Screen(msgspec.Struct, kw_only=True):
    """A recorded screen; `problem` says why it ends before its end, where it does."""

    width: int
    height: int
    duration_s: float
    pieces: list[Piece]
    problem: dict[str, str | None] | None = None


class PreparedScreen:
    """A screen and the file with its pieces."""

    def __init__(self, screen: Screen, path: Path, places: list[int]) -> None:
        self.screen = screen
        self._path = path
        self._places = places

    def piece(self, number: int) -> bytes:
        """Return one piece.

        Raises:
            UsageError: `stream-unknown`.
            OSError: the recording is not open any more.
        """
        if not 0 <= number < len(self.screen.pieces):
            raise UsageError("stream-unknown", "the recording has no such piece")
        with self._path.open("rb") as file:
            file.seek(self._places[number])
            return file.read(self._places[number + 1] - self._places[number])


def prepare_screen(cast: Path, out: Path) -> PreparedScreen:
    """Read a recorded screen and write its pieces.  Blocks.

    Args:
        cast: the stream, as `recording export` writes it.
        out: the file to write.

    Raises:
        UsageError: `stream-unknown`.
        FarhandError: `recording-large`, `recording-screen` where nothing of it can be shown.
    """
    try:
        size = cast.stat().st_size
    except OSError as error:
        raise UsageError("stream-unknown", "the recording has no such stream") from error
    if size > MAX_SCREEN_BYTES:
        raise FarhandError(
            "recording-large",
            "this screen is too long for the page",
            hint="farhand recording export writes it into a file",
        )
    with cast.open("rb") as lines, out.open("wb") as file:
        source = _Source(lines)
        updates = _Updates(source)
        pieces = _Pieces(file)
        problem = None
        try:
            updates.begin()
            size_told = updates.width, updates.height
            while True:
                data, is_full = updates.next()
                pieces.add(source.at_s, data, is_full=is_full, size=(updates.width, updates.height))
        except _Over:
            duration_s = source.at_s
        except FarhandError as error:
            problem, duration_s = error, source.at_s
    if not pieces.pieces:
        raise problem or _broken("no picture was recorded")
    screen = Screen(
        width=size_told[0],
        height=size_told[1],
        duration_s=round(duration_s, 3),
        pieces=pieces.pieces,
        problem=None if problem is None else error_body(problem),
    )
    return PreparedScreen(screen, out, [*pieces.places, pieces.size])


def _broken(detail: str) -> FarhandError:
    return FarhandError(
        "recording-screen",
        "what was recorded of this screen cannot be shown on",
        hint="it was recorded for a viewer of another kind, or what the device wrote is broken",
        detail=detail,
    )


class _Over(Exception):
    """The stream has ended; a message that was cut off by that is left out."""


class _Source:
    """The bytes of a stream; `at_s` is when the last of those that were taken came."""

    def __init__(self, file: BinaryIO) -> None:
        self.at_s = 0.0
        self._lines = self._read(file)
        self._held = bytearray()

    def _read(self, file: BinaryIO) -> Iterator[bytes]:
        file.readline(_MAX_LINE_BYTES)  # the header
        while line := file.readline(_MAX_LINE_BYTES):
            try:
                interval_s, code, data = msgspec.json.decode(line, type=tuple[float, str, str])
                self.at_s += interval_s
                if code == "b":
                    yield base64.b64decode(data, validate=True)
            except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
                raise _broken(str(error)) from error

    def take(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            _Over: there are not so many.
        """
        while len(self._held) < size:
            data = next(self._lines, None)
            if data is None:
                raise _Over
            self._held += data
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


class _Updates:
    """Reads what a server of RFB says, and returns what draws."""

    def __init__(self, source: _Source) -> None:
        self.width = self.height = 0
        self._take = source.take
        self._area = 0
        self._size = 0

    def begin(self) -> None:
        """Read up to the first message."""
        if self._take(12) not in _VERSIONS or self._take(2) != b"\1\1":
            raise _broken("no RFB of this kind")
        size = self._take(4)
        if size == bytes(4):  # version 3.8 says first that the viewer may come in
            size = self._take(4)
        self._resize(*struct.unpack(">HH", size))
        self._take(16)
        (length,) = struct.unpack(">I", self._take(4))
        if length > _MAX_NAME_BYTES:
            raise _broken("its name is too long")
        self._take(length)

    def next(self) -> tuple[bytes, bool]:
        """Return the next update that draws, and whether it draws all of the screen.

        Raises:
            _Over: there is none.
            FarhandError: `recording-screen`.
        """
        while True:
            kind = self._take(1)[0]
            if kind == _UPDATE:
                if (update := self._update()) is not None:
                    return update, self._area >= self.width * self.height
            elif kind == _CUT_TEXT:
                (length,) = struct.unpack(">3xi", self._take(7))
                if abs(length) > _MAX_TEXT_BYTES:
                    raise _broken("a text of the clipboard is too long")
                self._take(abs(length))
            elif kind != _BELL:
                raise _broken(f"message type {kind}")

    def _update(self) -> bytes | None:
        (count,) = struct.unpack(">xH", self._take(3))
        self._area = self._size = 0
        kept = [one for _ in range(count) if (one := self._rectangle())]
        return struct.pack(">BxH", _UPDATE, len(kept)) + b"".join(kept) if kept else None

    def _rectangle(self) -> bytes:
        """Return a rectangle that draws; nothing where it does not."""
        head = self._take(_RECTANGLE.size)
        x, y, width, height, encoding = _RECTANGLE.unpack(head)
        match encoding:
            case _Encoding.RAW | _Encoding.TIGHT:
                if x + width > self.width or y + height > self.height:
                    raise _broken("a rectangle outside the screen")
                self._area += width * height
                return head + (self._raw if encoding == _Encoding.RAW else self._tight)(
                    width * height
                )
            case _Encoding.SIZE:
                return self._resize(width, height)
            case _Encoding.EXTENDED_SIZE:
                self._take(16 * self._take(4)[0])
                # Only an answer that a viewer's wish was refused has both.
                return b"" if x == 1 and y else self._resize(width, height)
            case _Encoding.CURSOR:
                if width * height > _MAX_CURSOR_PIXELS:
                    raise _broken("a pointer that is too large")
                self._take(4 * width * height + (width + 7) // 8 * height)
                return b""
            case _:
                raise _broken(f"encoding {encoding}")

    def _resize(self, width: int, height: int) -> bytes:
        if not 0 < width * height <= MAX_SCREEN_PIXELS:
            raise _broken("a screen of no size that can be shown")
        self.width, self.height = width, height
        return _size_rectangle(width, height)

    def _raw(self, pixels: int) -> bytes:
        return self._bounded(4 * pixels)

    def _tight(self, pixels: int) -> bytes:
        control = self._bounded(1)
        if control[0] == _FILL:
            return control + self._bounded(3)
        if control[0] == _BASIC and 3 * pixels < _UNCOMPRESSED_BELOW:
            return control + self._bounded(3 * pixels)
        if control[0] not in (_BASIC, _JPEG):
            raise _broken("a kind of Tight that is not ours")
        length = self._bounded(1)
        while len(length) < 3 and length[-1] & 0x80:
            length += self._bounded(1)
        size = sum((one & (0xFF if n == 2 else 0x7F)) << (7 * n) for n, one in enumerate(length))
        return control + length + self._bounded(size)

    def _bounded(self, size: int) -> bytes:
        self._size += size
        if self._size > MAX_UPDATE_BYTES:
            raise _broken("an update that is too long")
        return self._take(size)


def _size_rectangle(width: int, height: int) -> bytes:
    return _RECTANGLE.pack(0, 0, width, height, _Encoding.SIZE)


class _Pieces:
    """Writes updates into the file, and notes where pieces begin."""

    def __init__(self, file: BinaryIO) -> None:
        self.pieces: list[Piece] = []
        self.places: list[int] = []
        self.size = 0
        self._file = file

    def add(self, at_s: float, update: bytes, *, is_full: bool, size: tuple[int, int]) -> None:
        """Append an update; `size` is the screen's after it."""
        last = self.pieces[-1] if self.pieces else None
        enters = is_full and (last is None or at_s - last.at_s >= _ENTER_S)
        is_long = last is None or self.size - self.places[-1] >= PIECE_BYTES
        if is_long or (enters and len(self.pieces) < MAX_PIECES):
            self.pieces.append(Piece(round(at_s, 3), is_full))
            self.places.append(self.size)
            if is_full:
                rectangle = _size_rectangle(*size)
                self._write(at_s, struct.pack(">BxH", _UPDATE, 1) + rectangle)
        self._write(at_s, update)

    def _write(self, at_s: float, update: bytes) -> None:
        head = _RECORD.pack(min(round(at_s * 1000), 0xFFFF_FFFF), len(update))
        self._file.write(head + update)
        self.size += len(head) + len(update)
