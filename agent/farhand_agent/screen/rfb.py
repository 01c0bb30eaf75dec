"""The server's half of RFB 3.8, without any input or output of its own.

    state      what is read                          then
    version    12 bytes, `RFB 003.007` or `.008`     security
    security   1 byte, type None                     init; 3.8 is answered with `OK`
    init       1 byte, nobody cares                  open; our name and size are sent
    open       messages, see `ClientMessage`         open
    over       nothing: a rule was broken            over

The channel is authenticated and encrypted before a byte of this is read, so the security type is
None.  Whatever a viewer sends is bounded: no message may be longer than `MAX_CUT_TEXT_BYTES` and a
few bytes, and it is parsed as soon as it is whole.  A viewer that breaks a rule gets one documented
end (`Ended`), and no state of before is used again.  One update may be sent per request.
Source: RFC 6143; github.com/rfbproto/rfbproto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from farhand_agent.screen.pixel_format import FORMAT_BYTES, OURS, PixelFormat, read_format
from farhand_agent.screen.rfb_clipboard import (
    CAPS,
    MAX_CLIPBOARD_BYTES,
    NOTIFY,
    PEEK,
    PROVIDE,
    REQUEST,
    TEXT,
    read_provided,
    write_caps,
    write_flags,
    write_provided,
)
from farhand_agent.screen.rfb_messages import (
    COMPRESSION,
    JPEG_QUALITY,
    ClientMessage,
    CutTextTaken,
    Encoding,
    EncodingsSet,
    Ended,
    Event,
    FormatSet,
    KeyPressed,
    Opened,
    PointerMoved,
    Rectangle,
    UpdateWanted,
)
from farhand_protocol.errors import RemoteError

__all__ = ["MAX_CUT_TEXT_BYTES", "MAX_ENCODINGS", "RfbServer"]

# Compressed it could be a little longer than it is, but never by a tenth.
MAX_CUT_TEXT_BYTES: Final = 288 * 1024
MAX_ENCODINGS: Final = 256
_MAX_SCREENS: Final = 16
_VERSION: Final = b"RFB 003.008\n"
_VERSIONS: Final = {b"RFB 003.008\n": 8, b"RFB 003.007\n": 7}
_NO_SECURITY: Final = 1
# Of SetDesktopSize: the viewer may not change what the person at the device looks at.
_PROHIBITED: Final = 1
_BY_VIEWER: Final = 1

State = Literal["version", "security", "init", "open", "over"]


class RfbServer:
    """One viewer.

    Args:
        width, height: of the screen, in pixels.
        name: shown in the viewer's title.
    """

    def __init__(self, width: int, height: int, *, name: str) -> None:
        self.state: State = "version"
        self.width = width
        self.height = height
        self.format: PixelFormat = OURS
        self.encodings: frozenset[int] = frozenset()
        self._name = name.encode()[:255]
        self._version = 8
        self._input = bytearray()
        self._output = bytearray(_VERSION)
        self._events: list[Event] = []
        self._credit = False
        self._clipboard: str | None = None
        self._their_clipboard = 0
        self._provided = False

    # What the viewer can do.

    def knows(self, encoding: int) -> bool:
        """Tell whether the viewer understands an encoding."""
        return encoding in self.encodings

    @property
    def quality(self) -> int | None:
        """The JPEG quality it asks for, 0 to 9; None where it wants no JPEG."""
        levels = [one - JPEG_QUALITY.start for one in self.encodings if one in JPEG_QUALITY]
        return max(levels) if levels else None

    @property
    def compression(self) -> int:
        """The effort of compressing that it asks for, 0 to 9."""
        levels = [one - COMPRESSION.start for one in self.encodings if one in COMPRESSION]
        return max(levels) if levels else 2

    @property
    def may_send(self) -> bool:
        """Whether an update was asked for and not sent yet."""
        return self._credit and self.state == "open"

    # What arrives.

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the viewer; what they mean is in `events`."""
        if self.state == "over":
            return
        self._input += data
        self._provided = False
        try:
            while self._step():
                continue
        except RemoteError as error:
            self.state = "over"
            self._input.clear()
            self._events.append(Ended(error.code, error.message))

    def events(self) -> list[Event]:
        """Return what happened since the last call."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """Return the bytes for the viewer, whole messages of them, and forget them."""
        data, self._output = bytes(self._output), bytearray()
        return data

    def _take(self, size: int) -> bytes | None:
        if len(self._input) < size:
            return None
        data = bytes(self._input[:size])
        del self._input[:size]
        return data

    def _step(self) -> bool:
        """Handle one message; False where it is not whole yet."""
        match self.state:
            case "version":
                return self._read_version()
            case "security":
                return self._read_security()
            case "init":
                return self._read_init()
            case "open":
                return self._read_message()
            case _:
                return False

    def _read_version(self) -> bool:
        if (line := self._take(len(_VERSION))) is None:
            return False
        if line not in _VERSIONS:
            raise RemoteError("rfb-version", "the viewer speaks another version of RFB than 3.8")
        self._version = _VERSIONS[line]
        self._output += bytes([1, _NO_SECURITY])
        self.state = "security"
        return True

    def _read_security(self) -> bool:
        if (chosen := self._take(1)) is None:
            return False
        if chosen[0] != _NO_SECURITY:
            raise RemoteError("rfb-security", "the viewer chose a security type it was not offered")
        if self._version >= 8:
            self._output += bytes(4)
        self.state = "init"
        return True

    def _read_init(self) -> bool:
        if self._take(1) is None:
            return False
        self._output += struct.pack(">HH", self.width, self.height) + OURS.write()
        self._output += struct.pack(">I", len(self._name)) + self._name
        self.state = "open"
        self._events.append(Opened())
        return True

    def _read_message(self) -> bool:
        if not self._input:
            return False
        match self._input[0]:
            case ClientMessage.SET_PIXEL_FORMAT:
                return self._read_format()
            case ClientMessage.SET_ENCODINGS:
                return self._read_encodings()
            case ClientMessage.UPDATE_REQUEST:
                return self._read_request()
            case ClientMessage.KEY:
                return self._read_key()
            case ClientMessage.POINTER:
                return self._read_pointer()
            case ClientMessage.CUT_TEXT:
                return self._read_cut_text()
            case ClientMessage.SET_DESKTOP_SIZE:
                return self._read_wanted_size()
            case kind:
                raise RemoteError(
                    "rfb-unknown", f"the viewer sent a message of unknown type {kind}"
                )

    def _read_format(self) -> bool:
        if (data := self._take(4 + FORMAT_BYTES)) is None:
            return False
        self.format = read_format(data[4:])
        self._events.append(FormatSet())
        return True

    def _read_encodings(self) -> bool:
        if len(self._input) < 4:
            return False
        (count,) = struct.unpack_from(">H", self._input, 2)
        if count > MAX_ENCODINGS:
            raise RemoteError("rfb-too-long", "the viewer names too many encodings")
        if (data := self._take(4 + 4 * count)) is None:
            return False
        known = self.knows(Encoding.EXTENDED_CLIPBOARD)
        self.encodings = frozenset(struct.unpack_from(f">{count}i", data, 4))
        if self.knows(Encoding.EXTENDED_CLIPBOARD) and not known:
            self._send_clipboard(write_caps())
        self._events.append(EncodingsSet())
        return True

    def _read_request(self) -> bool:
        if (data := self._take(10)) is None:
            return False
        self._credit = True
        self._events.append(UpdateWanted(is_incremental=bool(data[1])))
        return True

    def _read_key(self) -> bool:
        if (data := self._take(8)) is None:
            return False
        is_down, keysym = struct.unpack(">xB2xI", data)
        self._events.append(KeyPressed(keysym, bool(is_down)))
        return True

    def _read_pointer(self) -> bool:
        if (data := self._take(6)) is None:
            return False
        buttons, x, y = struct.unpack(">xBHH", data)
        self._events.append(PointerMoved(x, y, buttons))
        return True

    def _read_cut_text(self) -> bool:
        if len(self._input) < 8:
            return False
        (size,) = struct.unpack_from(">i", self._input, 4)
        if abs(size) > MAX_CUT_TEXT_BYTES:
            raise RemoteError("rfb-too-long", "the viewer's clipboard is too long to be taken")
        if (data := self._take(8 + abs(size))) is None:
            return False
        if size >= 0:
            self._events.append(CutTextTaken(data[8:].decode("latin-1").replace("\r\n", "\n")))
        else:
            self._read_extended(data[8:])
        return True

    def _read_extended(self, data: bytes) -> None:
        if len(data) < 4 or not self.knows(Encoding.EXTENDED_CLIPBOARD):
            raise RemoteError("rfb-malformed", "the viewer's clipboard cannot be read")
        (flags,) = struct.unpack_from(">I", data)
        if flags & CAPS:
            self._their_clipboard = flags
        elif flags & (REQUEST | PEEK):
            self._answer_clipboard(flags)
        elif flags & NOTIFY and flags & TEXT:
            self._send_clipboard(write_flags(REQUEST))
        elif flags & PROVIDE and flags & TEXT:
            self._events.append(CutTextTaken(read_provided(data[4:])))

    def _answer_clipboard(self, flags: int) -> None:
        if flags & PEEK:
            self._send_clipboard(write_flags(NOTIFY, TEXT if self._clipboard is not None else 0))
        elif flags & TEXT and self._clipboard is not None and not self._provided:
            # A few bytes ask for a lot: once for all that came together.
            self._provided = True
            self._send_clipboard(write_provided(self._clipboard))

    def _read_wanted_size(self) -> bool:
        if len(self._input) < 8:
            return False
        count = self._input[6]
        if count > _MAX_SCREENS:
            raise RemoteError("rfb-too-long", "the viewer names too many screens")
        if self._take(8 + 16 * count) is None:
            return False
        if self.knows(Encoding.EXTENDED_DESKTOP_SIZE):
            self._send_rectangles([self._size_rectangle(_BY_VIEWER, _PROHIBITED)])
        return True

    # What is sent.

    def send_update(self, rectangles: Sequence[Rectangle]) -> None:
        """Send an update; the viewer asks before the next one (`may_send`)."""
        self._credit = False
        self._send_rectangles(rectangles)

    def send_size(self, width: int, height: int) -> bool:
        """Tell the screen's new size, as an update.

        Returns:
            False where the viewer cannot be told: it has to connect again.
        """
        self.width, self.height = width, height
        if self.knows(Encoding.EXTENDED_DESKTOP_SIZE):
            self.send_update([self._size_rectangle(0, 0)])
        elif self.knows(Encoding.DESKTOP_SIZE):
            self.send_update([Rectangle(0, 0, width, height, Encoding.DESKTOP_SIZE, b"")])
        else:
            return False
        return True

    def send_clipboard(self, text: str) -> None:
        """Tell the viewer that this computer's clipboard holds a text; too long a one is not."""
        data = text.encode("utf-8", "replace")
        if self.state != "open" or len(data) > MAX_CLIPBOARD_BYTES:
            return
        self._clipboard = text
        if self.knows(Encoding.EXTENDED_CLIPBOARD) and self._their_clipboard & NOTIFY:
            self._send_clipboard(write_flags(NOTIFY))
            return
        plain = text.encode("latin-1", "replace")
        self._output += struct.pack(">B3xI", 3, len(plain)) + plain

    def forget_clipboard(self) -> None:
        """Give out no more what the clipboard held."""
        self._clipboard = None

    def _send_clipboard(self, body: bytes) -> None:
        self._output += struct.pack(">B3xi", 3, -len(body)) + body

    def _size_rectangle(self, x: int, y: int) -> Rectangle:
        """Return the one screen there is, however many monitors show it."""
        screens = struct.pack(">B3x", 1) + struct.pack(
            ">IHHHHI", 0, 0, 0, self.width, self.height, 0
        )
        return Rectangle(x, y, self.width, self.height, Encoding.EXTENDED_DESKTOP_SIZE, screens)

    def _send_rectangles(self, rectangles: Iterable[Rectangle]) -> None:
        self._output += write_update(rectangles)


def write_update(rectangles: Iterable[Rectangle]) -> bytes:
    """Return a FramebufferUpdate message of these rectangles."""
    parts = [
        struct.pack(">HHHHi", one.x, one.y, one.width, one.height, one.encoding) + one.data
        for one in rectangles
    ]
    return struct.pack(">BxH", 0, len(parts)) + b"".join(parts)
