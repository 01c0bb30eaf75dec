"""The bytes of RFB's extended clipboard: text as UTF-8, offered first and sent when asked for.

    caps      what each side can do, once
    notify    there is a text
    request   let me have it
    provide   here it is, compressed

The older way, Latin-1 in the open, stands in rfb.py; both are bounded before they are unpacked.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from farhand_protocol.errors import RemoteError

__all__ = [
    "CAPS",
    "MAX_CLIPBOARD_BYTES",
    "NOTIFY",
    "PEEK",
    "PROVIDE",
    "REQUEST",
    "TEXT",
    "read_provided",
    "write_caps",
    "write_flags",
    "write_provided",
]

MAX_CLIPBOARD_BYTES: Final = 256 * 1024
TEXT: Final = 1 << 0
CAPS: Final = 1 << 24
REQUEST: Final = 1 << 25
PEEK: Final = 1 << 26
NOTIFY: Final = 1 << 27
PROVIDE: Final = 1 << 28
_WORD: Final = struct.Struct(">I")


def write_caps() -> bytes:
    """Return what we can do: text, none of it unasked."""
    return _WORD.pack(CAPS | TEXT | REQUEST | PEEK | NOTIFY | PROVIDE) + _WORD.pack(0)


def write_flags(action: int, formats: int = TEXT) -> bytes:
    """Return a message that is no more than its flags."""
    return _WORD.pack(action | formats)


def write_provided(text: str) -> bytes:
    """Return a text, compressed; lines end as the specification wants, and a zero ends it all."""
    data = text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace") + b"\0"
    return _WORD.pack(PROVIDE | TEXT) + zlib.compress(_WORD.pack(len(data)) + data)


def read_provided(packed: bytes) -> str:
    """Read the text of a `provide` message, what follows its flags.

    Raises:
        RemoteError: `rfb-malformed`, `rfb-too-long`.
    """
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, MAX_CLIPBOARD_BYTES + 5)
    except zlib.error as error:
        raise _malformed(str(error)) from error
    if len(data) < 4:
        raise _malformed("no length")
    (size,) = _WORD.unpack_from(data)
    if size > MAX_CLIPBOARD_BYTES + 1:
        raise RemoteError("rfb-too-long", "the viewer's clipboard is too long to be taken")
    if len(data) - 4 < size:
        raise _malformed("it is cut off")
    text = data[4 : 4 + size].rstrip(b"\0")
    try:
        return text.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _malformed(str(error)) from error


def _malformed(why: str) -> RemoteError:
    return RemoteError("rfb-malformed", "the viewer's clipboard cannot be read", detail=why)
