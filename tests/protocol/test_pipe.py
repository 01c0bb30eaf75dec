"""The resumable pipe, step by step; tests/properties holds its laws."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from farhand_protocol.errors import RemoteError
from farhand_protocol.pipe import (
    ACK_DELAY_S,
    MAX_PAYLOAD_BYTES,
    RESUME_WINDOW_S,
    Attached,
    Closed,
    Data,
    Eof,
    ResumablePipe,
)


def frame(kind: int, position: int, body: bytes = b"") -> bytes:
    return struct.pack(">BQ", kind, position) + body


def hello(received: int = 0, name: bytes = b"P" * 16) -> bytes:
    return frame(3, received, name)


def live(**options: Any) -> ResumablePipe:
    """Return a pipe that has greeted, its HELLO and event taken."""
    pipe = ResumablePipe(**options)
    pipe.attach(0.0)
    pipe.receive_message(hello(), 0.0)
    assert pipe.messages_to_send() == [hello(name=bytes(16))]
    assert pipe.events() == [Attached(0)]
    return pipe


def test_nothing_but_hello_is_said_before_the_peers_hello() -> None:
    pipe = ResumablePipe(pipe_id=b"x" * 16)
    pipe.send(b"early", 0.0)
    assert pipe.messages_to_send() == []
    pipe.attach(0.0)
    assert pipe.messages_to_send() == [hello(name=b"x" * 16)]
    assert pipe.messages_to_send() == []
    assert not pipe.attached
    pipe.receive_message(hello(), 0.0)
    assert pipe.attached
    assert pipe.messages_to_send() == [frame(1, 0, b"early")]


def test_small_writes_are_joined_and_large_ones_cut() -> None:
    pipe = live(max_message_bytes=4)
    pipe.send(b"ab", 0.0)
    pipe.send(b"", 0.0)
    pipe.send(b"cdefg", 0.0)
    assert pipe.messages_to_send() == [frame(1, 0, b"abcd"), frame(1, 4, b"efg")]
    assert pipe.unacked_bytes == 7
    pipe.receive_message(frame(2, 5), 0.0)
    assert pipe.unacked_bytes == 2


def test_acknowledgements_come_by_bytes_or_by_time() -> None:
    pipe = live(ack_every_bytes=4)
    pipe.receive_message(frame(1, 0, b"ab"), 1.0)
    assert pipe.messages_to_send() == []
    assert pipe.next_deadline() == 1.0 + ACK_DELAY_S
    pipe.handle_timeout(1.1)
    assert pipe.messages_to_send() == []
    pipe.receive_message(frame(1, 2, b"c"), 1.15)
    assert pipe.next_deadline() == 1.0 + ACK_DELAY_S
    pipe.handle_timeout(1.0 + ACK_DELAY_S)
    assert pipe.messages_to_send() == [frame(2, 3)]
    assert pipe.next_deadline() is None
    pipe.receive_message(frame(1, 3, b"defg"), 2.0)
    assert pipe.messages_to_send() == [frame(2, 7)]
    assert pipe.events() == [Data(b"ab"), Data(b"c"), Data(b"defg")]


def test_a_lost_transport_is_resumed_where_the_peer_stands() -> None:
    pipe = live(max_message_bytes=4)
    pipe.send(b"abcdefgh", 0.0)
    pipe.messages_to_send()
    pipe.receive_message(frame(1, 0, b"xy"), 0.0)
    pipe.detach(1.0)
    assert pipe.messages_to_send() == []
    pipe.send(b"ij", 1.5)
    pipe.attach(2.0)
    assert pipe.messages_to_send() == [hello(2, bytes(16))]
    pipe.receive_message(hello(4), 2.0)
    assert pipe.messages_to_send() == [frame(1, 4, b"efgh"), frame(1, 8, b"ij")]
    assert pipe.events() == [Data(b"xy"), Attached(4)]
    assert pipe.next_deadline() is None


def test_a_peer_may_stand_inside_a_frame() -> None:
    pipe = live()
    pipe.send(b"abcdef", 0.0)
    pipe.messages_to_send()
    pipe.attach(1.0)
    pipe.receive_message(hello(4), 1.0)
    assert pipe.messages_to_send() == [hello(name=bytes(16)), frame(1, 4, b"ef")]


def test_the_end_is_sent_again_until_it_is_acknowledged() -> None:
    pipe = live()
    pipe.send(b"abc", 0.0)
    pipe.send_eof(0.0)
    pipe.send_eof(0.0)
    assert pipe.messages_to_send() == [frame(1, 0, b"abc"), frame(4, 3)]
    pipe.attach(1.0)
    pipe.receive_message(hello(3), 1.0)
    assert pipe.messages_to_send() == [hello(name=bytes(16)), frame(4, 3)]
    pipe.receive_message(frame(2, 4), 1.0)
    assert not pipe.finished
    pipe.receive_message(frame(4, 0), 1.0)
    assert pipe.finished
    assert pipe.messages_to_send() == [frame(2, 1)]
    assert pipe.events() == [Attached(3), Eof()]
    with pytest.raises(ValueError, match="ended"):
        pipe.send(b"more", 1.0)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("pipe-malformed", b""),
        ("pipe-malformed", b"\x00"),
        ("pipe-malformed", b"\x06" + bytes(8)),
        ("pipe-malformed", b"\x01" + bytes(7)),
        ("pipe-malformed", frame(1, 0)),
        ("pipe-malformed", frame(1, 0, bytes(MAX_PAYLOAD_BYTES + 1))),
        ("pipe-malformed", frame(2, 0, b"x")),
        ("pipe-malformed", frame(3, 0, bytes(15))),
        ("pipe-malformed", frame(4, 0, b"x")),
        ("pipe-malformed", b"\x05"),
        ("pipe-malformed", b"\x05\xff"),
        ("pipe-malformed", b"\x05\x00\x00"),
        ("pipe-out-of-order", hello()),
        ("pipe-out-of-order", frame(1, 1, b"x")),
        ("pipe-out-of-order", frame(1, 2**64 - 1, b"x")),
        ("pipe-out-of-order", frame(2, 1)),
        ("pipe-out-of-order", frame(4, 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:10].hex(),
)
def test_a_broken_rule_breaks_the_transport_and_delivers_nothing(code: str, message: bytes) -> None:
    pipe = live()
    pipe.receive_message(frame(1, 0, bytes(4)), 0.0)
    pipe.events()
    with pytest.raises(RemoteError, match=code):
        pipe.receive_message(message, 0.0)
    assert pipe.events() == []
    assert pipe.messages_to_send() == []
    with pytest.raises(RemoteError, match="pipe-out-of-order"):
        pipe.receive_message(frame(1, 4, b"next"), 0.0)
    assert pipe.events() == []
    pipe.attach(1.0)
    pipe.receive_message(hello(), 1.0)
    pipe.receive_message(frame(1, 4, b"next"), 1.0)
    assert pipe.events() == [Attached(0), Data(b"next")]


@pytest.mark.parametrize("message", [frame(1, 0, b"x"), frame(2, 0), frame(4, 0), b"\x05\x00"])
def test_the_first_frame_is_hello(message: bytes) -> None:
    pipe = ResumablePipe()
    pipe.attach(0.0)
    with pytest.raises(RemoteError, match="pipe-out-of-order"):
        pipe.receive_message(message, 0.0)


def test_nothing_arrives_while_detached() -> None:
    with pytest.raises(RemoteError, match="pipe-out-of-order"):
        ResumablePipe().receive_message(hello(), 0.0)


def test_nothing_follows_the_peers_end() -> None:
    for message in (frame(1, 1, b"x"), frame(4, 1)):
        pipe = live()
        pipe.receive_message(frame(4, 0), 0.0)
        with pytest.raises(RemoteError, match="pipe-out-of-order"):
            pipe.receive_message(message, 0.0)


def test_an_acknowledgement_is_never_taken_back() -> None:
    pipe = live()
    pipe.send(b"abc", 0.0)
    pipe.messages_to_send()
    pipe.receive_message(frame(2, 2), 0.0)
    with pytest.raises(RemoteError, match="pipe-out-of-order"):
        pipe.receive_message(frame(2, 1), 0.0)


def test_a_later_hello_that_claims_unsent_bytes_is_refused() -> None:
    pipe = live()
    pipe.send(b"abc", 0.0)
    pipe.attach(0.0)
    with pytest.raises(RemoteError, match="pipe-out-of-order"):
        pipe.receive_message(hello(3), 0.0)


def test_a_first_hello_that_claims_unsent_bytes_is_a_strangers() -> None:
    """The other end talked to an end that is no more; both must hear of it, and say so."""
    pipe = ResumablePipe()
    pipe.send(b"abc", 0.0)
    pipe.attach(0.0)
    pipe.receive_message(hello(3), 0.0)
    assert pipe.events() == [Closed("peer-changed")]
    assert pipe.messages_to_send() == [hello(name=bytes(16)), b"\x05\x05"]


@pytest.mark.parametrize("greeting", [hello(2, b"Q" * 16), hello(1)])
def test_a_peer_with_another_state_ends_the_pipe(greeting: bytes) -> None:
    pipe = live()
    pipe.send(b"abc", 0.0)
    pipe.messages_to_send()
    pipe.receive_message(frame(2, 2), 0.0)
    pipe.attach(1.0)
    pipe.messages_to_send()
    pipe.receive_message(greeting, 1.0)
    assert pipe.events() == [Closed("peer-changed")]
    assert pipe.messages_to_send() == [b"\x05\x05"]


def test_the_resume_window_runs_until_the_peer_greets() -> None:
    pipe = ResumablePipe()
    assert pipe.next_deadline() is None
    pipe.attach(0.0)
    assert pipe.next_deadline() == RESUME_WINDOW_S
    pipe.receive_message(hello(), 5.0)
    assert pipe.next_deadline() is None
    pipe.receive_message(frame(1, 0, b"x"), 5.0)
    pipe.detach(10.0)
    pipe.attach(100.0)
    pipe.detach(200.0)
    assert pipe.next_deadline() == 10.0 + RESUME_WINDOW_S
    pipe.handle_timeout(10.0 + RESUME_WINDOW_S - 1)
    assert pipe.events() == [Attached(0), Data(b"x")]
    pipe.handle_timeout(10.0 + RESUME_WINDOW_S)
    assert pipe.events() == [Closed("resume-expired")]
    assert pipe.next_deadline() is None
    assert pipe.unacked_bytes == 0


def test_the_source_is_told_to_wait_and_cut_off_past_the_limit() -> None:
    pipe = live(window_bytes=10)
    pipe.send(bytes(9), 0.0)
    assert pipe.writable
    pipe.send(b"x", 0.0)
    assert not pipe.writable
    pipe.send(bytes(30), 0.0)
    assert pipe.events() == []
    pipe.send(b"x", 0.0)
    assert pipe.events() == [Closed("overrun")]
    assert not pipe.writable
    assert pipe.messages_to_send()[-1] == b"\x05\x04"


def test_close_says_what_is_pending_and_then_goodbye() -> None:
    pipe = live()
    pipe.send(b"last", 0.0)
    pipe.close(0.0, "stopped")
    assert pipe.messages_to_send() == [frame(1, 0, b"last"), b"\x05\x01"]
    assert pipe.events() == [Closed("stopped")]
    with pytest.raises(ValueError, match="not in"):
        pipe.close(0.0, "because")  # type: ignore[arg-type]


def test_close_before_the_peers_hello_and_while_detached() -> None:
    pipe = ResumablePipe()
    pipe.attach(0.0)
    pipe.close(0.0)
    assert pipe.messages_to_send() == [hello(name=bytes(16)), b"\x05\x00"]
    pipe = ResumablePipe()
    pipe.close(0.0)
    assert pipe.messages_to_send() == []


def test_once_closed_everything_is_ignored() -> None:
    pipe = live()
    pipe.receive_message(b"\x05\x03", 0.0)
    assert pipe.events() == [Closed("error")]
    pipe.send(b"x", 0.0)
    pipe.send_eof(0.0)
    pipe.attach(1.0)
    pipe.detach(1.0)
    pipe.close(1.0)
    pipe.receive_message(b"junk", 1.0)
    pipe.handle_timeout(1e9)
    assert pipe.events() == []
    assert pipe.messages_to_send() == []


def test_options_out_of_range_are_our_bug() -> None:
    with pytest.raises(ValueError, match="65536"):
        ResumablePipe(max_message_bytes=MAX_PAYLOAD_BYTES + 1)
    with pytest.raises(ValueError, match="16"):
        ResumablePipe(pipe_id=b"short")
