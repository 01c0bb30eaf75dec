"""Recorded screens: what a device wrote becomes pieces that only draw, and nothing worse."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from farhand_agent.screen.rfb import write_update
from farhand_agent.screen.rfb_messages import Encoding, Rectangle
from farhand_agent.screen.tight import basic, fill, jpeg
from farhand_console.web import recorded_screens, recordings
from farhand_console.web.recorded_screens import PreparedScreen, prepare_screen
from farhand_protocol.errors import FarhandError
from tests.console.web.backend import Backend
from tests.console.web.test_opened_recordings import SESSIONS

WIDTH, HEIGHT = 64, 48
FORMAT = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
SIDES = struct.pack(">HH", WIDTH, HEIGHT)
HELLO = b"RFB 003.008\n\1\1" + bytes(4) + SIDES + FORMAT + struct.pack(">I", 4) + b"desk"


def tight(x: int, y: int, width: int, height: int, data: bytes) -> Rectangle:
    return Rectangle(x, y, width, height, Encoding.TIGHT, data)


FULL = write_update([tight(0, 0, WIDTH, HEIGHT, fill(255, 0, 0))])
PART = write_update([tight(8, 8, 2, 2, fill(0, 255, 0))])
NOISE = Image.frombytes("RGB", (WIDTH, HEIGHT), random.Random(1).randbytes(3 * WIDTH * HEIGHT))
ALL_KINDS = write_update(
    [
        tight(0, 0, WIDTH, HEIGHT, jpeg(NOISE, 70)),
        tight(0, 0, WIDTH, HEIGHT, basic(NOISE, 2)),
        tight(0, 0, 1, 3, basic(NOISE.crop((0, 0, 1, 3)), 2)),
        Rectangle(2, 2, 3, 3, Encoding.RAW, bytes(4 * 9)),
    ]
)


def written(folder: Path, *lines: tuple[float, bytes], number: int = 1, session: str = "s") -> Path:
    """Write a stream as `recording export` does: bytes in lines of base64."""
    header = {"version": 3, "term": {"cols": WIDTH, "rows": HEIGHT, "type": "rfb"}}
    text = [header, *([at, "b", base64.b64encode(data).decode()] for at, data in lines)]
    path = folder / f"{session}-{number}.cast"
    path.write_text("".join(json.dumps(line) + "\n" for line in text))
    return path


def prepared(folder: Path, *lines: tuple[float, bytes]) -> PreparedScreen:
    return prepare_screen(written(folder, *lines), folder / "s-1.rfb")


def updates(piece: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield milliseconds and message of each record."""
    while piece:
        at_ms, size = struct.unpack_from(">II", piece)
        yield at_ms, piece[8 : 8 + size]
        piece = piece[8 + size :]


SIZE_TOLD = write_update([Rectangle(0, 0, WIDTH, HEIGHT, Encoding.DESKTOP_SIZE, b"")])


def test_what_draws_comes_back_as_it_was_with_places_to_enter_at(tmp_path: Path) -> None:
    screen = prepared(
        tmp_path, (0.5, HELLO + FULL), (1, PART[:5]), (0.25, PART[5:] + ALL_KINDS), (3, FULL)
    )
    told = screen.screen
    assert (told.width, told.height, told.duration_s) == (WIDTH, HEIGHT, 4.75)
    assert [(one.at_s, one.is_full) for one in told.pieces] == [(0.5, True), (4.75, True)]
    assert told.problem is None
    first, second = (list(updates(screen.piece(n))) for n in (0, 1))
    assert first == [(500, SIZE_TOLD), (500, FULL), (1750, PART), (1750, ALL_KINDS)]
    assert second == [(4750, SIZE_TOLD), (4750, FULL)]


def test_version_3_7_says_nothing_between(tmp_path: Path) -> None:
    hello = HELLO.replace(b"003.008", b"003.007").replace(b"\1\1" + bytes(4), b"\1\1")
    assert len(prepared(tmp_path, (0, hello + FULL)).screen.pieces) == 1


def test_pointer_clipboard_and_bell_are_left_out(tmp_path: Path) -> None:
    cursor = Rectangle(1, 1, 9, 2, Encoding.CURSOR, bytes(4 * 18 + 4))
    text = struct.pack(">B3xi", 3, 5) + b"hello" + struct.pack(">B3xi", 3, -4) + b"\1\0\0\0"
    data = HELLO + text + b"\2" + write_update([cursor]) + write_update([cursor, fill_all()])
    (piece,) = [prepared(tmp_path, (0, data)).piece(0)]
    assert [data for _, data in updates(piece)] == [SIZE_TOLD, FULL]


def fill_all() -> Rectangle:
    return tight(0, 0, WIDTH, HEIGHT, fill(255, 0, 0))


@pytest.mark.parametrize("is_extended", [False, True])
def test_a_screen_that_changes_its_size_is_followed(tmp_path: Path, is_extended: bool) -> None:
    if is_extended:
        screens = struct.pack(">B3x", 1) + bytes(16)
        grown = Rectangle(0, 0, 100, 90, Encoding.EXTENDED_DESKTOP_SIZE, screens)
        refused = Rectangle(1, 1, 7, 7, Encoding.EXTENDED_DESKTOP_SIZE, screens)
        data = write_update([refused]) + write_update([grown])
    else:
        data = write_update([Rectangle(0, 0, 100, 90, Encoding.DESKTOP_SIZE, b"")])
    corner = write_update([tight(99, 89, 1, 1, fill(1, 2, 3))])
    everything = write_update([tight(0, 0, 100, 90, fill(1, 2, 3))])
    screen = prepared(tmp_path, (0, HELLO + FULL), (1, data + corner), (9, everything))
    told = [data for n in (0, 1) for _, data in updates(screen.piece(n))]
    size = write_update([Rectangle(0, 0, 100, 90, Encoding.DESKTOP_SIZE, b"")])
    assert told == [SIZE_TOLD, FULL, size, corner, size, everything]


def test_a_long_stream_is_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_screens, "PIECE_BYTES", 200)
    screen = prepared(tmp_path, (0, HELLO + FULL), *[(0.001, PART)] * 100)
    sizes = [len(screen.piece(n)) for n in range(len(screen.screen.pieces))]
    assert len(sizes) > 10
    assert max(sizes) < 300
    assert [one.is_full for one in screen.screen.pieces[1:]] == [False] * (len(sizes) - 1)
    again = [data for n in range(len(sizes)) for _, data in updates(screen.piece(n))]
    assert again == [SIZE_TOLD, FULL, *[PART] * 100]
    # Whole pictures that come too often are no pieces of their own.
    monkeypatch.setattr(recorded_screens, "PIECE_BYTES", 10_000)
    often = prepared(tmp_path, (0, HELLO), *[(0.5, FULL)] * 20)
    assert [one.at_s for one in often.screen.pieces] == [0.5, 2.5, 4.5, 6.5, 8.5]


BROKEN = {
    "no RFB": b"HTTP/1.1 200 OK\r\n\r\n",
    "another kind of entry": HELLO.replace(b"\1\1", b"\1\2", 1),
    "no size": HELLO.replace(SIDES, b"\0\1\0\0", 1),
    "too large": HELLO.replace(SIDES, b"\xff" * 4, 1),
    "a long name": HELLO.replace(struct.pack(">I", 4), b"\xff" * 4, 1),
    "nothing": HELLO,
    "no message": HELLO + b"\x96",
    "a long text": HELLO + struct.pack(">B3xi", 3, 2**31 - 1),
    "no encoding": HELLO + write_update([Rectangle(0, 0, 1, 1, 16, b"1234")]),
    "outside": HELLO + write_update([tight(WIDTH, 0, 1, 1, fill(1, 1, 1))]),
    "a kind of Tight": HELLO + write_update([tight(0, 0, 1, 1, b"\xf0")]),
    "PNG": HELLO + write_update([tight(0, 0, 1, 1, b"\xa0\1x")]),
    "a large pointer": HELLO + write_update([Rectangle(0, 0, 9999, 9999, Encoding.CURSOR, b"")]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(FarhandError) as caught:
        prepared(tmp_path, (0, BROKEN[name]))
    assert caught.value.code == "recording-screen"


def test_what_came_before_the_break_is_shown(tmp_path: Path) -> None:
    screen = prepared(tmp_path, (1, HELLO + FULL), (1, PART + b"\x96"), (1, FULL)).screen
    assert len(screen.pieces) == 1
    assert screen.duration_s == 2
    assert screen.problem is not None
    assert screen.problem["code"] == "recording-screen"
    # One that was cut off in the middle of a message has just ended.
    assert prepared(tmp_path, (1, HELLO + FULL), (1, FULL[:-2])).screen.problem is None


def test_a_line_that_is_none_is_a_break(tmp_path: Path) -> None:
    path = written(tmp_path, (0, HELLO + FULL))
    for line in ('[1,"b","%%%"]', '[1,"b"]', "{}", "[" * 5000, '["x","b","AAAA"]', "\udc80"):
        text = path.read_text()
        path.write_text(f"{text}{line}\n", errors="surrogateescape")
        told = prepare_screen(path, tmp_path / "out.rfb").screen.problem
        assert told is not None
        assert told["code"] == "recording-screen"
        path.write_text(text)


def test_an_update_that_is_too_long_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_screens, "MAX_UPDATE_BYTES", 1000)
    screen = prepared(tmp_path, (0, HELLO + FULL + ALL_KINDS)).screen
    assert screen.problem is not None
    monkeypatch.setattr(recorded_screens, "MAX_SCREEN_BYTES", 10)
    with pytest.raises(FarhandError) as caught:
        prepared(tmp_path, (0, HELLO + FULL))
    assert caught.value.code == "recording-large"


def test_any_byte_that_is_another_ends_in_words_or_a_picture(tmp_path: Path) -> None:
    data = HELLO + FULL + ALL_KINDS + PART
    dice = random.Random(7)
    for _ in range(600):
        hurt = bytearray(data)
        for _ in range(dice.randint(1, 3)):
            hurt[dice.randrange(min(len(hurt), 400))] = dice.randrange(256)
        end = dice.choice([len(hurt), dice.randrange(len(hurt))])
        told, pieces = "", []
        try:
            screen = prepared(tmp_path, (0, bytes(hurt[:end])))
            pieces = [screen.piece(n) for n in range(len(screen.screen.pieces))]
        except FarhandError as error:
            told = error.code
        assert told in ("", "recording-screen")
        assert all(message[0] == 0 for piece in pieces for _, message in updates(piece))


async def test_the_page_gets_a_screen_piece_by_piece(
    web: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SESSIONS[0]

    async def export(home: object, session: str, asked: Any, folder: Path) -> Any:
        path = written(folder, (1, HELLO + FULL), (4, FULL), number=3, session=session)
        row = {"stream": 3, "kind": "screen", "title": "the screen", "path": str(path)}
        return {"session": session, "files": [row | {"lines": 2, "duration_s": 5.0}]}, []

    address = f"/local/recordings/{session}/screens/3"
    assert (await web.http.get(address)).json()["code"] == "recording-closed"
    monkeypatch.setattr(recordings, "_export", export)
    for _ in range(2):  # opened anew it is read anew
        opened = await web.http.post(f"/local/recordings/{session}/open", json={})
        assert opened.json()["streams"][0]["kind"] == "screen"
        told = (await web.http.get(address)).json()
        assert told["pieces"] == [{"at_s": 1.0, "is_full": True}, {"at_s": 5.0, "is_full": True}]
        piece = await web.http.get(f"{address}/pieces/1")
        assert piece.headers["content-type"] == "application/octet-stream"
        assert piece.headers["cache-control"] == "no-store"
        assert [data for _, data in updates(piece.content)] == [SIZE_TOLD, FULL]
    for wrong in (f"{address}/pieces/2", f"{address}/pieces/-1", f"{address[:-1]}9"):
        assert (await web.http.get(wrong)).json()["code"] == "stream-unknown"
