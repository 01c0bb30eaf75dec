"""The screen's process: one viewer, the pictures for it, and what it may do here.

It runs as the person whose screen it is, is started by the session's process for one viewer, and
ends with it.  Over the pair of sockets (wire.py) it hears:

    {"do": "begin", "name", "full_s", "control", "clipboard", "frozen"}     first
    {"do": "rights", "control", "clipboard", "frozen"}                      whenever they change
    {"do": "end"}                                                           or the sockets' end

and says:

    {"error": {"code", "message", "hint"}}     it cannot begin, or go on; then it ends
    {"event": "size", "width", "height"}       of the screen, at first and when it changes
    {"event": "control"}                       input went through for the first time since it may
    {"event": "clipboard", "to": "device" | "viewer", "bytes"}
    {"event": "over", "used", "dropped", "pictures", "bytes"}   last

While `frozen` nothing is injected, nothing is copied and the picture is black.  What was read from
the screen before is not sent after: whoever asks the person something is not looked at.
Pictures are taken and encoded in a thread; mouse, keyboard and clipboard are a few bytes each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from farhand_agent.screen.backends import Clipboard, Cursor, CursorLook
from farhand_agent.screen.capture import Frame, ScreenCapture
from farhand_agent.screen.injector import Injector
from farhand_agent.screen.pace import Pace
from farhand_agent.screen.pictures import Painter
from farhand_agent.screen.rfb import RfbServer, write_update
from farhand_agent.screen.rfb_messages import (
    CutTextTaken,
    Encoding,
    EncodingsSet,
    Ended,
    Event,
    FormatSet,
    KeyPressed,
    PointerMoved,
    Rectangle,
    UpdateWanted,
)
from farhand_agent.screen.tight import jpeg_quality
from farhand_agent.screen.tiles import Area, Tiles
from farhand_agent.screen.wire import Kind, encode_json, read_frame, write_frame
from farhand_protocol.errors import FarhandError

__all__ = ["Rights", "ScreenWorker"]

_log = logging.getLogger(__name__)

# How often programs here may ask for what the technician copied, and are looked at for theirs.
_CLIPBOARD_S: Final = 0.1
# Of what was sent with loss, so much is sent again at a time: nobody waits long for a click.
_REFINED_TILES: Final = 64
# A picture of nothing is kept at the other end only where it is small.
_MAX_BLACK_BYTES: Final = 40 * 1024 * 1024


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What the viewer may do besides looking, and whether all of it rests for a question."""

    control: bool = False
    clipboard: bool = False
    frozen: bool = False


class Begin(Rights, frozen=True, kw_only=True):
    """How it begins; every `full_s` seconds the whole picture is sent, never where it is 0."""

    name: str = ""
    full_s: float = 0.0


class ScreenWorker:
    """Serves one viewer.

    Args:
        reader, writer: to the session's process.
        capture: takes pictures.
        injector: passes on input; None where the system takes none.
        clipboard: of the system; None where there is none.
        cursor: sees the pointer's shape; None where it cannot be seen.
        begin: how it begins.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        capture: ScreenCapture,
        injector: Injector | None,
        clipboard: Clipboard | None,
        cursor: CursorLook | None,
        begin: Begin,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._capture = capture
        self._injector = injector
        self._clipboard = clipboard
        self._cursor = cursor
        self._full_s = begin.full_s
        self._name = begin.name
        self._clock = clock
        self._rfb: RfbServer
        self._tiles = Tiles()
        self._pace = Pace()
        self._rights = Rights()
        self._wanted = asyncio.Event()
        self._full_at = 0.0
        self._control_told = False
        self._draws_cursor = False
        self._has_black = False
        self._pictures = 0
        self._bytes = 0
        self._take_rights(begin)

    async def run(self) -> None:
        """Serve until the viewer or the session is over.

        Raises:
            FarhandError: the screen can be shown no more; said to the session already.
        """
        try:
            first = await asyncio.to_thread(self._capture.grab)
            self._rfb = RfbServer(first.width, first.height, name=self._name)
            self._place(first)
            await self._say({"event": "size", "width": first.width, "height": first.height})
            await self._flush()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._show()), group.create_task(self._copy())]
                await self._listen()
                for task in tasks:
                    task.cancel()
        except* FarhandError as errors:
            error = next(one for one in _leaves(errors) if isinstance(one, FarhandError))
            await self._fail(error)
        except* ConnectionError:
            _log.info("the session's process is gone")
        finally:
            if self._injector is not None:
                self._injector.allow(False, frozen=False)
        await self._say_over()

    # What the session says.

    async def _listen(self) -> None:
        while (frame := await read_frame(self._reader)) is not None:
            kind, data = frame
            if kind == "R":
                self._rfb.receive_data(data)
                for event in self._rfb.events():
                    await self._handle(event)
                await self._flush()
            elif not self._obey(data):
                return

    def _obey(self, data: bytes) -> bool:
        """Do what the session wants; False at the end."""
        fields = msgspec.json.decode(data, type=dict[str, Any])
        if fields.get("do") == "rights":
            self._take_rights(msgspec.convert(fields, Rights))
        return fields.get("do") != "end"

    def _take_rights(self, rights: Rights) -> None:
        before, self._rights = self._rights, rights
        if self._injector is not None:
            self._injector.allow(rights.control, frozen=rights.frozen)
        if not rights.control:
            self._control_told = False
        if before.clipboard and not rights.clipboard and hasattr(self, "_rfb"):
            self._rfb.forget_clipboard()
        self._look_at_cursor()

    # What the viewer says.

    async def _handle(self, event: Event) -> None:
        match event:
            case UpdateWanted():
                self._pace.wanted(self._clock())
                if not event.is_incremental:
                    self._tiles.forget()
                self._wanted.set()
            case FormatSet() | EncodingsSet():
                self._tiles.forget()
                self._look_at_cursor()
                self._has_black = False
            case PointerMoved():
                await self._inject(lambda to: to.pointer(event.x, event.y, event.buttons))
            case KeyPressed():
                await self._inject(lambda to: to.key(event.keysym, event.is_down))
            case CutTextTaken():
                await self._take_text(event.text)
            case Ended():
                raise FarhandError(event.code, event.message)
            case _:
                pass  # that the viewer is in changes nothing here

    async def _inject(self, act: Callable[[Injector], None]) -> None:
        if self._injector is None:
            return
        act(self._injector)
        if self._injector.is_open and not self._control_told:
            self._control_told = True
            await self._say({"event": "control"})

    async def _take_text(self, text: str) -> None:
        if self._clipboard is None or not self._rights.clipboard or self._rights.frozen:
            return
        self._clipboard.put(text)
        await self._say({"event": "clipboard", "to": "device", "bytes": len(text.encode())})

    # The clipboard of this computer.

    async def _copy(self) -> None:
        while self._clipboard is not None:
            await asyncio.sleep(_CLIPBOARD_S)
            may = self._rights.clipboard and not self._rights.frozen
            text = self._clipboard.poll(take=may)
            if text and may and self._rfb.state == "open":
                self._rfb.send_clipboard(text)
                await self._flush()
                size = len(text.encode("utf-8", "replace"))
                await self._say({"event": "clipboard", "to": "viewer", "bytes": size})

    # The pictures.

    async def _show(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._pace.next_look(self._clock()))
            if not self._rfb.may_send:
                self._wanted.clear()
                continue
            frame = await self._look()
            now = self._clock()
            if (frame.width, frame.height) != (self._rfb.width, self._rfb.height):
                self._tiles.look(frame)
                await self._resize(frame)
                continue
            self._pace.looked(now, has_changed=self._tiles.look(frame))
            await self._send_picture(frame, now)

    async def _look(self) -> Frame:
        """Return the newest picture: the screen's, or black while the person is asked."""
        if not self._rights.frozen:
            frame = await asyncio.to_thread(self._capture.grab)
            self._place(frame)
            if not self._rights.frozen:  # a question may have opened meanwhile
                return frame
        return Frame.black(self._rfb.width, self._rfb.height)

    def _place(self, frame: Frame) -> None:
        if self._injector is not None:
            self._injector.place(frame.width, frame.height, frame.left, frame.top)

    async def _resize(self, frame: Frame) -> None:
        if not self._rfb.send_size(frame.width, frame.height):
            raise FarhandError(
                "screen-resized",
                "the screen changed its size, which this viewer cannot follow",
                hint="connect again",
            )
        await self._say({"event": "size", "width": frame.width, "height": frame.height})
        await self._flush()
        self._has_black = False

    async def _send_picture(self, frame: Frame, now: float) -> None:
        """Send what changed, or what can be made better; nothing where there is nothing."""
        is_full = bool(self._full_s) and now - self._full_at >= self._full_s
        if is_full:
            self._tiles.forget()
        areas, quality = self._tiles.take_dirty(), self._quality()
        if not areas and self._pace.is_idle(now):
            areas, quality = self._tiles.take_lossy(_REFINED_TILES), None
        rectangles = self._cursor_rectangles()
        if areas:
            painted = await asyncio.to_thread(self._paint, frame, areas, quality)
            if self._rights.frozen and any(frame.pixels):
                self._tiles.forget()  # it shows what was there before the question
                return
            rectangles += painted
        if not rectangles:
            return
        if not self._has_black:
            await self._send_black()
        self._rfb.send_update(rectangles)
        data = self._rfb.data_to_send()
        self._pictures += bool(areas)
        self._pace.sent(len(data), self._clock())
        if is_full:
            self._full_at = now
        await self._write("K" if is_full else "R", data)

    def _quality(self) -> int | None:
        level = self._rfb.quality
        return None if level is None else self._pace.quality(jpeg_quality(level))

    def _painter(self, quality: int | None) -> Painter:
        return Painter(
            self._rfb.format,
            with_tight=self._rfb.knows(Encoding.TIGHT),
            quality=quality,
            level=self._rfb.compression,
        )

    def _paint(self, frame: Frame, areas: list[Area], quality: int | None) -> list[Rectangle]:
        painter = self._painter(quality)
        rectangles = []
        for area in areas:
            rectangle, is_lossy = painter.paint(frame, area)
            (self._tiles.lose if is_lossy else self._tiles.keep)(area)
            rectangles.append(rectangle)
        return rectangles

    async def _send_black(self) -> None:
        """Tell the session how to blacken this viewer, whatever becomes of this process."""
        frame = Frame.black(self._rfb.width, self._rfb.height)
        tiles = Tiles()
        tiles.look(frame)
        painter = self._painter(None)
        rectangles = [painter.paint(frame, area)[0] for area in tiles.take_dirty()]
        data = write_update(rectangles)
        self._has_black = True
        if len(data) <= _MAX_BLACK_BYTES:
            await self._write("B", data)

    # The pointer.

    def _look_at_cursor(self) -> None:
        """Let the viewer draw the pointer where it can and moves it; else draw it in."""
        knows = hasattr(self, "_rfb") and self._rfb.knows(Encoding.CURSOR)
        self._draws_cursor = knows and self._cursor is not None and self._rights.control
        self._capture.with_cursor = not self._draws_cursor
        if self._cursor is not None:
            self._cursor.forget()

    def _cursor_rectangles(self) -> list[Rectangle]:
        if self._cursor is None or not self._draws_cursor or self._rights.frozen:
            return []
        shape = self._cursor.look()
        return [] if shape is None else [self._cursor_rectangle(shape)]

    def _cursor_rectangle(self, shape: Cursor) -> Rectangle:
        pixels, mask = self._rfb.format.convert(shape.pixels), bytearray()
        opaque = shape.pixels[3::4]
        for start in range(0, len(opaque), shape.width):
            row = opaque[start : start + shape.width]
            bits = "".join("1" if one > 0x7F else "0" for one in row)
            padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
            mask += int(padded, 2).to_bytes(len(padded) // 8, "big")
        return Rectangle(
            shape.hot_x,
            shape.hot_y,
            shape.width,
            shape.height,
            Encoding.CURSOR,
            pixels + bytes(mask),
        )

    # Saying.

    async def _flush(self) -> None:
        if data := self._rfb.data_to_send():
            await self._write("R", data)

    async def _write(self, kind: Kind, data: bytes) -> None:
        if kind != "B":
            self._bytes += len(data)
        await write_frame(self._writer, kind, data)

    async def _say(self, fields: dict[str, Any]) -> None:
        await write_frame(self._writer, "J", encode_json(fields))

    async def _fail(self, error: FarhandError) -> None:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        with contextlib.suppress(ConnectionError):  # nobody is there to be told
            await self._say({"error": told})

    async def _say_over(self) -> None:
        injector = self._injector
        with contextlib.suppress(ConnectionError):  # nobody is there to be told
            await self._say(
                {
                    "event": "over",
                    "used": injector.used if injector else 0,
                    "dropped": injector.dropped if injector else 0,
                    "pictures": self._pictures,
                    "bytes": self._bytes,
                }
            )


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for one in group.exceptions:
        found += _leaves(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found
