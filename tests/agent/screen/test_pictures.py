"""What changed is found, and what is encoded is what was there."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from farhand_agent.screen.capture import Frame
from farhand_agent.screen.pace import FAST_S, IDLE_S, SLOW_S, Pace
from farhand_agent.screen.pictures import Painter
from farhand_agent.screen.pixel_format import OURS, read_format
from farhand_agent.screen.rfb import write_update
from farhand_agent.screen.rfb_messages import Encoding, Rectangle
from farhand_agent.screen.tight import MAX_RECTANGLE_PIXELS, MAX_RECTANGLE_WIDTH
from farhand_agent.screen.tiles import TILE, Area, Tiles
from tests.agent.screen.viewer import RAW, TIGHT, Viewer


def frame_of(picture: Image.Image) -> Frame:
    return Frame(picture.width, picture.height, picture.tobytes("raw", "BGRX"))


def noise(width: int, height: int) -> Image.Image:
    data = random.Random(width * height).randbytes(3 * width * height)
    return Image.frombytes("RGB", (width, height), data)


async def seen(rectangles: Iterable[Rectangle], width: int, height: int) -> Viewer:
    """Return a viewer that was sent these rectangles."""
    pieces = [write_update(rectangles)]

    async def receive() -> bytes:
        return pieces.pop() if pieces else b""

    async def send(_: bytes) -> None:
        return

    viewer = Viewer(receive, send)
    viewer.picture = Image.new("RGB", (width, height))
    viewer.encodings = [RAW, TIGHT]
    await viewer.next()
    return viewer


def covered(areas: Iterable[Area]) -> list[tuple[int, int]]:
    return [
        (column, row)
        for x, y, width, height in areas
        for row in range(y // TILE, -(-(y + height) // TILE))
        for column in range(x // TILE, -(-(x + width) // TILE))
    ]


@given(
    st.integers(1, 3000),
    st.integers(1, 300),
    st.sets(st.tuples(st.integers(0, 2999), st.integers(0, 299)), max_size=12),
)
@settings(max_examples=40, deadline=None)
def test_exactly_what_changed_is_found(width: int, height: int, dots: set[tuple[int, int]]) -> None:
    tiles = Tiles()
    assert tiles.look(Frame.black(width, height)), "at first all of it is new"
    assert len(covered(tiles.take_dirty())) == -(-width // TILE) * -(-height // TILE)
    dots = {(x, y) for x, y in dots if x < width and y < height}
    pixels = bytearray(4 * width * height)
    for x, y in dots:
        pixels[4 * (y * width + x)] = 255
    assert tiles.look(Frame(width, height, bytes(pixels))) == bool(dots)
    areas = tiles.take_dirty()
    found = covered(areas)
    assert len(found) == len(set(found)), "nothing is sent twice"
    assert set(found) == {(x // TILE, y // TILE) for x, y in dots}
    assert all(x + w <= width and y + h <= height for x, y, w, h in areas)
    assert all(w <= MAX_RECTANGLE_WIDTH and w * h <= MAX_RECTANGLE_PIXELS for *_, w, h in areas)
    assert tiles.take_dirty() == []


def test_what_was_sent_with_loss_is_sent_again_bit_by_bit() -> None:
    tiles = Tiles()
    tiles.look(Frame.black(256, 128))
    for area in tiles.take_dirty():
        tiles.lose(area)
    first = covered(tiles.take_lossy(3))
    assert len(first) == 3
    tiles.keep((0, 64, 256, 64))
    assert set(covered(tiles.take_lossy(99))) | set(first) == {(x, 0) for x in range(4)}
    tiles.lose((0, 0, 64, 64))
    tiles.look(Frame.black(64, 64))
    assert tiles.take_lossy(9) == [], "another size is another picture"


PAINTERS = {
    "tight": Painter(OURS, with_tight=True, quality=None, level=1),
    "raw": Painter(OURS, with_tight=False, quality=80, level=1),
}


@pytest.mark.parametrize("name", PAINTERS)
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (2, 2), (70, 40), (300, 200)])
async def test_without_jpeg_nothing_is_lost(name: str, size: tuple[int, int]) -> None:
    picture = noise(*size)
    rectangle, is_lossy = PAINTERS[name].paint(frame_of(picture), (0, 0, *size))
    assert not is_lossy
    assert (await seen([rectangle], *size)).picture.tobytes() == picture.tobytes()


async def test_a_part_is_cut_where_it_is() -> None:
    picture = noise(200, 150)
    painter = Painter(OURS, with_tight=True, quality=None, level=6)
    rectangle, _ = painter.paint(frame_of(picture), (64, 64, 100, 50))
    shown = (await seen([rectangle], 200, 150)).picture
    box = (64, 64, 164, 114)
    assert shown.crop(box).tobytes() == picture.crop(box).tobytes()
    assert shown.getpixel((63, 64)) == (0, 0, 0)


async def test_each_kind_of_picture_has_its_way() -> None:
    painter = Painter(OURS, with_tight=True, quality=75, level=1)
    plain, is_lossy = painter.paint(frame_of(Image.new("RGB", (64, 64), (1, 2, 3))), (0, 0, 64, 64))
    assert plain.data == b"\x80\1\2\3"
    assert not is_lossy
    drawing = Image.new("RGB", (64, 64), (255, 255, 255))
    drawing.paste((0, 0, 200), (10, 10, 20, 20))
    text, is_lossy = painter.paint(frame_of(drawing), (0, 0, 64, 64))
    assert text.data[:1] == b"\1"
    assert not is_lossy
    photo = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    photo.paste(noise(64, 32).resize((64, 32)), (0, 0))
    shown, is_lossy = painter.paint(frame_of(photo), (0, 0, 64, 64))
    assert is_lossy
    viewer = await seen([shown], 64, 64)
    assert viewer.jpegs == 1
    assert abs(viewer.picture.getpixel((32, 60))[0] - photo.getpixel((32, 60))[0]) < 12  # type: ignore[index]


def test_a_viewer_of_deeper_pixels_gets_raw() -> None:
    deep = struct.pack(">BBBBHHHBBB3x", 32, 32, 0, 1, 255, 255, 255, 0, 8, 16)
    painter = Painter(read_format(deep), with_tight=True, quality=None, level=1)
    rectangle, _ = painter.paint(frame_of(Image.new("RGB", (1, 1), (9, 8, 7))), (0, 0, 1, 1))
    assert (rectangle.encoding, rectangle.data[:3]) == (Encoding.RAW, bytes([9, 8, 7]))


def test_a_slow_line_makes_it_worse_and_a_fast_one_better() -> None:
    pace = Pace()
    assert pace.quality(90) == 90
    now = 0.0
    for _ in range(10):
        pace.sent(100_000, now)
        now += SLOW_S * 2
        pace.wanted(now)
    worst = pace.quality(90)
    assert worst < 30
    for _ in range(50):
        pace.sent(100_000, now)
        now += FAST_S / 2
        pace.wanted(now)
    assert pace.quality(90) == 90
    assert pace.quality(60) == 60, "never better than the viewer wants"
    pace.sent(100, now)
    pace.wanted(now + 5)
    assert pace.quality(60) == 60, "a small one tells nothing"


def test_it_is_looked_at_often_while_something_happens() -> None:
    pace = Pace()
    pace.looked(10.0, has_changed=True)
    lively = pace.next_look(10.0)
    assert not pace.is_idle(10.0)
    assert pace.is_idle(10.0 + IDLE_S)
    pace.looked(20.0, has_changed=False)
    assert pace.next_look(20.0) > lively
    assert pace.next_look(30.0) == 0


def test_a_frame_as_red_green_blue() -> None:
    picture = noise(5, 3)
    assert frame_of(picture).rgb() == picture.tobytes()
