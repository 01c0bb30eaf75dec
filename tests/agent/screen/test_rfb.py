"""The state machine of RFB: every table row, bounds, and whatever a hostile viewer sends."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.screen.pixel_format import OURS, PixelFormat, read_format
from farhand_agent.screen.rfb import MAX_CUT_TEXT_BYTES, MAX_ENCODINGS, RfbServer
from farhand_agent.screen.rfb_clipboard import (
    MAX_CLIPBOARD_BYTES,
    NOTIFY,
    PROVIDE,
    REQUEST,
    TEXT,
    read_provided,
    write_caps,
    write_flags,
    write_provided,
)
from farhand_agent.screen.rfb_messages import (
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

HELLO = b"RFB 003.008\n\1\1"
ENDS = {
    "rfb-version", "rfb-security", "rfb-unknown", "rfb-malformed", "rfb-too-long",
    "rfb-pixel-format",
}  # fmt: skip


def opened(*encodings: int) -> RfbServer:
    server = RfbServer(640, 480, name="reception")
    server.receive_data(HELLO)
    assert server.events() == [Opened()]
    if encodings:
        server.receive_data(set_encodings(*encodings))
        assert server.events() == [EncodingsSet()]
    server.data_to_send()
    return server


def set_encodings(*encodings: int) -> bytes:
    return struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings)


def cut_text(data: bytes, *, extended: bool = False) -> bytes:
    return struct.pack(">B3xi", 6, -len(data) if extended else len(data)) + data


def ended(server: RfbServer) -> str:
    *_, last = server.events()
    assert isinstance(last, Ended)
    assert server.state == "over"
    return last.code


def test_the_handshake_tells_the_size_and_the_name() -> None:
    server = RfbServer(640, 480, name="reception")
    assert server.data_to_send() == b"RFB 003.008\n"
    server.receive_data(b"RFB 003.008\n")
    assert server.data_to_send() == b"\1\1"
    server.receive_data(b"\1")
    assert server.data_to_send() == bytes(4)
    assert not server.may_send
    server.receive_data(b"\0")
    assert server.data_to_send() == (
        struct.pack(">HH", 640, 480) + OURS.write() + struct.pack(">I", 9) + b"reception"
    )


def test_the_version_before_has_no_result() -> None:
    server = RfbServer(1, 1, name="")
    server.receive_data(b"RFB 003.007\n\1\1")
    assert server.data_to_send().startswith(b"RFB 003.008\n\1\1" + struct.pack(">HH", 1, 1))


@given(st.integers(1, 40))
def test_messages_may_come_in_any_pieces(size: int) -> None:
    data = HELLO + set_encodings(7, -32) + struct.pack(">BBHHHH", 3, 1, 0, 0, 9, 9)
    data += struct.pack(">BBxxI", 4, 1, 97) + struct.pack(">BBHH", 5, 5, 10, 20)
    data += cut_text("é".encode("latin-1")) + bytes(4) + OURS.write()
    server = RfbServer(1, 1, name="")
    events: list[Event] = []
    for at in range(0, len(data), size):
        server.receive_data(data[at : at + size])
        events += server.events()
    assert events == [
        Opened(), EncodingsSet(), UpdateWanted(True), KeyPressed(97, True),
        PointerMoved(10, 20, 5), CutTextTaken("é"), FormatSet(),
    ]  # fmt: skip


def test_one_update_is_sent_for_each_request() -> None:
    server = opened(Encoding.TIGHT)
    assert not server.may_send
    server.receive_data(struct.pack(">BBHHHH", 3, 0, 0, 0, 9, 9))
    assert server.events() == [UpdateWanted(False)]
    assert server.may_send
    server.send_update([Rectangle(1, 2, 3, 4, Encoding.TIGHT, b"\x80abc")])
    assert not server.may_send
    assert server.data_to_send() == (
        struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", 1, 2, 3, 4, 7) + b"\x80abc"
    )


def test_levels_are_what_the_viewer_says() -> None:
    server = opened(-32 + 6, -256 + 4)
    assert (server.quality, server.compression) == (6, 4)
    assert opened(Encoding.RAW).quality is None


def test_a_new_size_is_told_as_the_viewer_understands_it() -> None:
    server = opened(Encoding.EXTENDED_DESKTOP_SIZE)
    assert server.send_size(800, 600)
    assert struct.unpack(">HHHHi", server.data_to_send()[4:16])[2:] == (800, 600, -308)
    server.receive_data(struct.pack(">BxHHBx", 251, 9, 9, 1) + bytes(16))
    (status,) = struct.unpack_from(">H", server.data_to_send(), 6)
    assert status == 1, "a viewer cannot change it"
    assert opened(Encoding.DESKTOP_SIZE).send_size(1, 1)
    assert not opened(Encoding.RAW).send_size(1, 1)


BAD = [
    ("other-version", b"RFB 003.003\n", "rfb-version"),
    ("no-version", b"GET / HTTP/1", "rfb-version"),
    ("other-security", b"RFB 003.008\n\2", "rfb-security"),
    ("unknown-message", HELLO + b"\x63", "rfb-unknown"),
    ("many-encodings", HELLO + struct.pack(">BxH", 2, MAX_ENCODINGS + 1), "rfb-too-long"),
    ("long-text", HELLO + struct.pack(">B3xi", 6, MAX_CUT_TEXT_BYTES + 1), "rfb-too-long"),
    ("endless-text", HELLO + struct.pack(">B3xi", 6, -(2**31)), "rfb-too-long"),
    ("many-screens", HELLO + struct.pack(">BxHHBx", 251, 9, 9, 200), "rfb-too-long"),
    ("palette", HELLO + bytes(4) + bytes([8, 8, 0, 0]) + bytes(12), "rfb-pixel-format"),
    ("unoffered-clipboard", HELLO + cut_text(b"\0\0\0\1", extended=True), "rfb-malformed"),
]


@pytest.mark.parametrize(("data", "code"), [pytest.param(d, c, id=n) for n, d, c in BAD])
def test_a_broken_rule_has_one_end(data: bytes, code: str) -> None:
    server = RfbServer(640, 480, name="reception")
    server.receive_data(data)
    assert ended(server) == code
    server.receive_data(HELLO)
    assert server.events() == [], "nothing more is read"
    assert not server.may_send


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_whatever_comes_has_a_documented_end_or_none(pieces: list[bytes]) -> None:
    server = opened(Encoding.EXTENDED_CLIPBOARD)
    held = 0
    for piece in pieces:
        server.receive_data(piece)
        held += len(piece)
        for event in server.events():
            assert not isinstance(event, Ended) or event.code in ENDS
        assert len(server.data_to_send()) <= 4096 + 40 * held


def with_clipboard() -> RfbServer:
    server = RfbServer(1, 1, name="")
    server.receive_data(HELLO + set_encodings(Encoding.EXTENDED_CLIPBOARD))
    assert server.data_to_send().endswith(write_caps()), "what we can do is told at once"
    server.receive_data(cut_text(write_caps(), extended=True))
    server.events()
    return server


def test_a_text_is_offered_and_given_when_it_is_asked_for() -> None:
    server = with_clipboard()
    server.send_clipboard("grüß dich ☃")
    assert server.data_to_send() == struct.pack(">B3xi", 3, -4) + write_flags(NOTIFY)
    ask = cut_text(write_flags(REQUEST), extended=True)
    server.receive_data(ask * 50)
    answer = server.data_to_send()
    (size,) = struct.unpack_from(">i", answer, 4)
    assert read_provided(answer[12 : 8 - size]) == "grüß dich ☃"
    assert len(answer) == 8 - size, "a flood of questions gets one answer"
    server.forget_clipboard()
    server.receive_data(ask)
    assert server.data_to_send() == b"", "after that scope is closed nothing is given"


def test_a_text_of_the_viewers_is_asked_for_and_taken() -> None:
    server = with_clipboard()
    server.receive_data(cut_text(write_flags(NOTIFY), extended=True))
    assert server.data_to_send().endswith(write_flags(REQUEST))
    server.receive_data(cut_text(write_provided("a\nb"), extended=True))
    assert server.events() == [CutTextTaken("a\nb")]


def test_without_the_extension_a_text_goes_as_latin_1() -> None:
    server = opened(Encoding.RAW)
    server.send_clipboard("é☃")
    assert server.data_to_send() == struct.pack(">B3xI", 3, 2) + "é?".encode("latin-1")
    server.send_clipboard("x" * (MAX_CLIPBOARD_BYTES + 1))
    assert server.data_to_send() == b"", "too long a text stays here"


BOMBS = [
    ("not-packed", b"nothing of the kind", "rfb-malformed"),
    ("empty", zlib.compress(b""), "rfb-malformed"),
    ("cut-off", zlib.compress(struct.pack(">I", 100) + b"short"), "rfb-malformed"),
    ("no-text", zlib.compress(struct.pack(">I", 2) + b"\xff\0"), "rfb-malformed"),
    ("bomb", zlib.compress(struct.pack(">I", 2**31) + bytes(50_000_000)), "rfb-too-long"),
]


@pytest.mark.parametrize(("packed", "code"), [pytest.param(p, c, id=n) for n, p, c in BOMBS])
def test_a_packed_text_is_bounded_before_it_is_unpacked(packed: bytes, code: str) -> None:
    server = with_clipboard()
    body = struct.pack(">I", PROVIDE | TEXT) + packed
    server.receive_data(cut_text(body, extended=True))
    assert ended(server) == code


@given(st.permutations([0, 8, 16, 24]), st.booleans())
def test_pixels_of_any_order_are_converted(shifts: list[int], is_big: bool) -> None:
    red, green, blue, _ = shifts
    data = struct.pack(">BBBBHHHBBB3x", 32, 24, is_big, 1, 255, 255, 255, red, green, blue)
    found = read_format(data)
    (pixel,) = struct.unpack(">I" if is_big else "<I", found.convert(bytes([3, 2, 1, 0])))
    assert [pixel >> shift & 0xFF for shift in (red, green, blue)] == [1, 2, 3]


@pytest.mark.parametrize("at", [0, 1, 3, 5, 10])
def test_other_formats_are_refused(at: int) -> None:
    data = bytearray(OURS.write())
    data[at] = 16 if at == 0 else 7 if at in (1, 5, 10) else 0
    with pytest.raises(RemoteError, match="rfb-pixel-format"):
        read_format(bytes(data))


def test_a_format_reads_what_it_writes() -> None:
    for one in (OURS, PixelFormat(red=0, green=1, blue=2), PixelFormat(red=0, green=1, blue=2)):
        assert read_format(one.write()) == one
