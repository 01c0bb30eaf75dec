"""A viewer for tests: the client's half of RFB with its own decoder of Raw and Tight.

It shares no code with what it looks at, but Pillow for JPEG.
"""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Awaitable, Callable, Sequence

from PIL import Image

__all__ = ["BLACK", "Viewer", "ViewerEnded"]

RAW, TIGHT = 0, 7
SIZE, CURSOR, EXTENDED_SIZE, EXTENDED_CLIPBOARD = -223, -239, -308, -1063131698
BLACK = (0, 0, 0)
PATIENCE_S = 30.0


class ViewerEnded(Exception):
    """The other side has ended the stream."""


class Viewer:
    """Shows a screen in memory.

    Args:
        receive: returns the next bytes, empty at the end.
        send: takes bytes.
    """

    def __init__(
        self, receive: Callable[[], Awaitable[bytes]], send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._receive = receive
        self._send = send
        self._held = bytearray()
        self.picture = Image.new("RGB", (1, 1))
        self.name = ""
        self.encodings: list[int] = []
        self.clipboard: str | None = None
        self.cursor: tuple[int, int] | None = None
        self.updates = 0
        self.bytes = 0
        self.jpegs = 0

    async def open(self, *encodings: int) -> None:
        """Shake hands, and say what is understood."""
        assert await self._take(12) == b"RFB 003.008\n"
        await self._send(b"RFB 003.008\n")
        assert await self._take(2) == b"\1\1"
        await self._send(b"\1")
        assert await self._take(4) == bytes(4)
        await self._send(b"\1")
        width, height = struct.unpack(">HH", await self._take(4))
        assert (await self._take(16))[:4] == bytes([32, 24, 0, 1])
        (size,) = struct.unpack(">I", await self._take(4))
        self.name = (await self._take(size)).decode()
        self.picture = Image.new("RGB", (width, height))
        await self.set_encodings(encodings or (TIGHT, RAW, SIZE, -26))

    async def set_encodings(self, encodings: Sequence[int]) -> None:
        self.encodings = list(encodings)
        await self._send(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))

    async def request(self, *, incremental: bool = True) -> None:
        width, height = self.picture.size
        await self._send(struct.pack(">BBHHHH", 3, incremental, 0, 0, width, height))

    async def pointer(self, x: int, y: int, buttons: int = 0) -> None:
        await self._send(struct.pack(">BBHH", 5, buttons, x, y))

    async def click(self, x: int, y: int, button: int = 1) -> None:
        for buttons in (0, 1 << (button - 1), 0):
            await self.pointer(x, y, buttons)

    async def key(self, keysym: int, *, is_down: bool) -> None:
        await self._send(struct.pack(">BBxxI", 4, is_down, keysym))

    async def type(self, text: str) -> None:
        for one in text:
            keysym = ord(one) if ord(one) < 0x100 else 0x01000000 + ord(one)
            keysym = 0xFF0D if one == "\n" else keysym
            await self.key(keysym, is_down=True)
            await self.key(keysym, is_down=False)

    async def cut_text(self, text: str) -> None:
        data = text.encode("latin-1")
        await self._send(struct.pack(">B3xI", 6, len(data)) + data)

    async def offer_text(self, text: str) -> None:
        """Provide a text by the extended clipboard."""
        data = text.encode() + b"\0"
        body = struct.pack(">I", 1 << 28 | 1) + zlib.compress(struct.pack(">I", len(data)) + data)
        await self._send(struct.pack(">B3xi", 6, -len(body)) + body)

    async def see(
        self, until: Callable[[Image.Image], bool], *, patience_s: float = PATIENCE_S
    ) -> None:
        """Ask for updates, one at least, until the picture is as wanted."""
        async with asyncio.timeout(patience_s):
            await self.request(incremental=False)
            await self.update()
            while not until(self.picture):
                await self.request()
                await self.update()

    async def update(self) -> None:
        """Take messages up to the next update."""
        while await self.next() != 0:
            continue

    async def next(self) -> int:
        """Take one message from the server and return its type."""
        (kind,) = await self._take(1)
        if kind == 0:
            await self._take_update()
        elif kind == 3:
            await self._take_clipboard()
        else:
            raise AssertionError(f"message type {kind}")
        return kind

    async def _take_update(self) -> None:
        (count,) = struct.unpack(">xH", await self._take(3))
        self.updates += 1
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", await self._take(12))
            if encoding == SIZE:
                self.picture = Image.new("RGB", (width, height))
            elif encoding == EXTENDED_SIZE:
                (screens,) = struct.unpack(">B3x", await self._take(4))
                await self._take(16 * screens)
                self.picture = Image.new("RGB", (width, height))
            elif encoding == CURSOR:
                await self._take(4 * width * height + (width + 7) // 8 * height)
                self.cursor = width, height
            else:
                assert encoding in self.encodings
                assert x + width <= self.picture.width
                assert y + height <= self.picture.height
                part = await (self._raw if encoding == RAW else self._tight)(width, height)
                self.picture.paste(part, (x, y))

    async def _raw(self, width: int, height: int) -> Image.Image:
        data = await self._take(4 * width * height)
        return Image.frombytes("RGB", (width, height), data, "raw", "BGRX")

    async def _tight(self, width: int, height: int) -> Image.Image:
        (control,) = await self._take(1)
        if control == 0x80:
            red, green, blue = await self._take(3)
            return Image.new("RGB", (width, height), (red, green, blue))
        if control == 0x90:
            self.jpegs += 1
            data = await self._take(await self._length())
            part = Image.open(io.BytesIO(data))
            assert part.size == (width, height)
            return part.convert("RGB")
        assert control == 0x01, "stream 0, begun anew"
        size = 3 * width * height
        if size < 12:
            return Image.frombytes("RGB", (width, height), await self._take(size))
        data = zlib.decompressobj().decompress(await self._take(await self._length()))
        assert len(data) == size
        return Image.frombytes("RGB", (width, height), data)

    async def _length(self) -> int:
        length = 0
        for shift in (0, 7, 14):
            (one,) = await self._take(1)
            length |= (one if shift == 14 else one & 0x7F) << shift
            if not one & 0x80:
                break
        return length

    async def _take_clipboard(self) -> None:
        (size,) = struct.unpack(">3xi", await self._take(7))
        data = await self._take(abs(size))
        if size >= 0:
            self.clipboard = data.decode("latin-1")
            return
        (flags,) = struct.unpack(">I", data[:4])
        if flags & 1 << 24:  # caps: ours are the same
            body = struct.pack(">II", 1 | 0x1F << 24, 1 << 20)
            await self._send(struct.pack(">B3xi", 6, -len(body)) + body)
        elif flags & 1 << 27:  # notify: let us have it
            await self._send(struct.pack(">B3xi", 6, -4) + struct.pack(">I", 1 << 25 | 1))
        elif flags & 1 << 28:
            text = zlib.decompress(data[4:])
            self.clipboard = text[4:].rstrip(b"\0").decode().replace("\r\n", "\n")

    async def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            data = await self._receive()
            if not data:
                raise ViewerEnded
            self.bytes += len(data)
            self._held += data
        data = bytes(self._held[:size])
        del self._held[:size]
        return data
