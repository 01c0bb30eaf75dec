"""The head of a picture: what is a PNG of a screen's size, and what is not."""

from __future__ import annotations

import struct
import zlib

import pytest

from farhand_protocol.errors import RemoteError
from farhand_protocol.pictures import MAX_PICTURE_BYTES, MAX_PICTURE_SIDE, Picture, read_png


def png(width: int, height: int, *, body: bytes = b"") -> bytes:
    """Return a file with the head of a PNG of this size, and its end."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
    return start + struct.pack(">I", zlib.crc32(head)) + body + b"\0\0\0\0IEND\xaeB`\x82"


def test_a_head_says_how_large_the_picture_is() -> None:
    assert read_png(png(1920, 1080)) == Picture(width=1920, height=1080)
    assert read_png(png(1, MAX_PICTURE_SIDE, body=b"x" * 100)).height == MAX_PICTURE_SIDE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no PNG"),
        (b"GIF89a" + b"\0" * 100, "no PNG"),
        (png(10, 10)[:-1], "no PNG"),
        (png(10, 10).replace(b"IHDR", b"IHDX"), "no PNG"),
        (png(10, 10)[:20] + b"\1" + png(10, 10)[21:], "no PNG"),
        (png(0, 10), "no size"),
        (png(10, 0), "no size"),
        (png(MAX_PICTURE_SIDE + 1, 10), "no size"),
        (png(10, MAX_PICTURE_SIDE + 1), "no size"),
        (png(10, 10, body=b"x" * MAX_PICTURE_BYTES), "too large"),
    ],
)
def test_what_is_no_picture_of_a_screen_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(RemoteError, match=words) as refused:
        read_png(data)
    assert refused.value.code == "screenshot-malformed"
