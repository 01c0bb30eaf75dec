"""The resumable pipe: one byte stream each way that outlives its websockets, without I/O.

A pipe carries one SSH connection.  Each end keeps what the other has not acknowledged; when the
transport is lost both dial again, say how much they have, and go on from there.  It adds no secrecy
and no integrity against the relay, SSH inside does; but it never delivers a byte twice, out of
place, or after a gap.  One websocket message is one frame, integers are big-endian:

    1 DATA   u64 offset, payload      1 to 65536 bytes that stand at `offset` in the stream
    2 ACK    u64 received             everything before this position has arrived
    3 HELLO  u64 received, 16 bytes   first frame on each transport, both ways; the bytes name the
                                      sender's end and stay the same as long as its state lives
    4 EOF    u64 offset               the stream ends; the end itself counts as one position
    5 CLOSE  u8 reason                the pipe is over, resume nothing

state      event                          -> state
detached   attach                            greeting   (queues HELLO)
greeting   HELLO received                    live       (event Attached; sends again from there)
live       DATA, ACK, EOF in order           live
attached   a frame that breaks a rule        broken     (RemoteError: drop the transport, dial anew)
attached   detach                            detached   (the resume window runs until a HELLO)
any        resume window over, CLOSE, close  closed     (event Closed)

("attached" is greeting, live or broken.)

A websocket neither loses nor reorders, so any frame out of its place is the peer's (or the relay's)
fault: nothing of it is delivered, and only a new transport mends it.  Once closed everything is
ignored.  Clock values are seconds of any monotonic clock.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from farhand_protocol.errors import RemoteError

__all__ = [
    "ACK_DELAY_S",
    "MAX_PAYLOAD_BYTES",
    "PIPE_ID_BYTES",
    "RESUME_WINDOW_S",
    "Attached",
    "CloseReason",
    "Closed",
    "Data",
    "Eof",
    "PipeEvent",
    "ResumablePipe",
]

MAX_PAYLOAD_BYTES = 64 * 1024
PIPE_ID_BYTES = 16
ACK_DELAY_S = 0.2
RESUME_WINDOW_S = 300.0
# Past this many times the window a source that cannot be paused is cut off, never buffered.
_OVERRUN_FACTOR = 4

_DATA, _ACK, _HELLO, _EOF, _CLOSE = 1, 2, 3, 4, 5
_HEAD = struct.Struct(">BQ")

CloseReason = Literal[
    "done", "stopped", "expired", "error", "overrun", "peer-changed", "resume-expired"
]
_REASONS: tuple[CloseReason, ...] = get_args(CloseReason)


@dataclass(frozen=True, slots=True)
class Data:
    """The next bytes of the peer's stream, at most `MAX_PAYLOAD_BYTES`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Eof:
    """The peer's stream ended; nothing follows."""


@dataclass(frozen=True, slots=True)
class Attached:
    """Both ends are attached; our stream goes on at `resumed_at` (0 the first time)."""

    resumed_at: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The pipe is over; always the last event."""

    reason: CloseReason


PipeEvent: TypeAlias = Data | Eof | Attached | Closed


class ResumablePipe:
    """One end of a resumable pipe.

    Args:
        window_bytes: unacknowledged bytes at which `writable` turns False.  A source that cannot
            be paused may go on to four times as much; then the pipe closes as `overrun`.
        ack_every_bytes: acknowledge at once after this many received bytes.
        max_message_bytes: largest payload that is sent in one message, at most 65536.
        resume_window_s: how long the pipe waits for the peer's HELLO, from the first attach or
            from the loss of a transport.
        pipe_id: 16 random bytes for this end, so that an end that lost its state, or another
            pipe's end, is noticed at once (the offsets show it too, but later).
    """

    def __init__(
        self,
        *,
        window_bytes: int = 8 * 1024 * 1024,
        ack_every_bytes: int = 1024 * 1024,
        max_message_bytes: int = MAX_PAYLOAD_BYTES,
        resume_window_s: float = RESUME_WINDOW_S,
        pipe_id: bytes = bytes(PIPE_ID_BYTES),
    ) -> None:
        if not 1 <= max_message_bytes <= MAX_PAYLOAD_BYTES or len(pipe_id) != PIPE_ID_BYTES:
            raise ValueError("a pipe message has 1 to 65536 bytes and a pipe id has 16")
        self._window = window_bytes
        self._ack_every = ack_every_bytes
        self._max = max_message_bytes
        self._resume_window_s = resume_window_s
        self._id = pipe_id
        self._peer_id: bytes | None = None

        self._state: Literal["detached", "greeting", "live", "broken", "closed"] = "detached"
        self._out: list[bytes] = []
        self._events: list[PipeEvent] = []

        # Our stream: [acked, framed) is in `_unacked` or `_again`, [framed, end) in `_pending`.
        self._unacked: deque[tuple[int, bytes]] = deque()
        self._again: deque[tuple[int, bytes]] = deque()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._acked = 0
        self._framed = 0
        self._eof_wanted = False
        self._eof_framed = False

        # The peer's stream.
        self._received = 0
        self._acknowledged = 0
        self._peer_ended = False

        self._ack_now = False
        self._ack_deadline: float | None = None
        self._resume_deadline: float | None = None

    @property
    def unacked_bytes(self) -> int:
        """Return how many bytes are kept because the peer has not acknowledged them."""
        return self._framed - self._acked + self._pending_bytes

    @property
    def writable(self) -> bool:
        """Tell whether more may be sent; while False the driver stops reading from its source."""
        return self.unacked_bytes < self._window and self._state != "closed"

    @property
    def attached(self) -> bool:
        """Tell whether a transport is up and both ends have greeted."""
        return self._state == "live"

    @property
    def finished(self) -> bool:
        """Tell whether both streams ended and everything of ours was acknowledged."""
        return self._eof_framed and self._acked == self._framed and self._peer_ended

    # The transport.

    def attach(self, now: float) -> None:
        """Begin on a new transport; an earlier one counts as lost."""
        if self._state == "closed":
            return
        self.detach(now)
        self._state = "greeting"
        self._out = [_HEAD.pack(_HELLO, self._received) + self._id]
        self._acknowledged = self._received

    def detach(self, now: float) -> None:
        """Note that the transport is lost and start the resume window, unless it runs already."""
        if self._state == "closed":
            return
        self._state = "detached"
        self._out = []
        self._ack_now = False
        self._ack_deadline = None
        if self._resume_deadline is None:
            self._resume_deadline = now + self._resume_window_s

    def receive_message(self, message: bytes, now: float) -> None:
        """Take one websocket message from the peer.

        Raises:
            RemoteError: `pipe-malformed` when it is not a frame, `pipe-out-of-order` when it is
                not the peer's turn to say it.  The driver drops the transport and dials again.
        """
        if self._state == "closed":
            return
        try:
            self._receive(message, now)
        except RemoteError:
            self._state = "broken"
            self._out = []
            raise

    def messages_to_send(self) -> list[bytes]:
        """Return the websocket messages to write now; each is returned once per transport."""
        if self._state == "live":
            self._frame()
            if self._ack_now:
                self._ack_now = False
                self._ack_deadline = None
                self._acknowledged = self._received
                self._out.append(_HEAD.pack(_ACK, self._received))
        out, self._out = self._out, []
        return out

    # Our stream.

    def send(self, data: bytes, now: float) -> None:
        """Append bytes to our stream; ignored once the pipe is closed.

        Raises:
            ValueError: after `send_eof` (a bug of ours).
        """
        if self._state == "closed":
            return
        if self._eof_wanted:
            raise ValueError("the stream has ended")
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self.unacked_bytes > self._window * _OVERRUN_FACTOR:
            self.close(now, "overrun")

    def send_eof(self, now: float) -> None:
        """End our stream after what was sent so far; a second call changes nothing."""
        self._eof_wanted = True

    def close(self, now: float, reason: CloseReason = "done") -> None:
        """Give the pipe up: send what is framed and CLOSE if a transport is up, then nothing more.

        To end in order, call `send_eof` and wait for `finished` first.
        """
        code = _REASONS.index(reason)
        if self._state == "closed":
            return
        if self._state == "live":
            self._frame()
        if self._state in ("greeting", "live"):
            self._out.append(bytes([_CLOSE, code]))
        self._finish(reason)

    # Events and time.

    def events(self) -> list[PipeEvent]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` is due, or None."""
        due = [at for at in (self._ack_deadline, self._resume_deadline) if at is not None]
        return min(due) if due else None

    def handle_timeout(self, now: float) -> None:
        """Do what is due: acknowledge, or give up waiting for the peer."""
        if self._resume_deadline is not None and now >= self._resume_deadline:
            self._out = []
            self._finish("resume-expired")
        if self._ack_deadline is not None and now >= self._ack_deadline:
            self._ack_deadline = None
            self._ack_now = True

    # Inside.

    def _finish(self, reason: CloseReason) -> None:
        self._state = "closed"
        self._events.append(Closed(reason))
        self._unacked.clear()
        self._again.clear()
        self._drop_pending()
        self._ack_now = False
        self._ack_deadline = None
        self._resume_deadline = None

    def _drop_pending(self) -> None:
        self._pending.clear()
        self._pending_bytes = 0

    def _frame(self) -> None:
        """Cut what is pending into frames and queue them behind those to be sent again."""
        self._out += [frame for _, frame in self._again]
        self._unacked += self._again
        self._again.clear()
        for size, pieces in _cut(self._pending, self._max):
            frame = b"".join((_HEAD.pack(_DATA, self._framed), *pieces))
            self._framed += size
            self._unacked.append((self._framed, frame))
            self._out.append(frame)
        self._drop_pending()
        if self._eof_wanted and not self._eof_framed:
            frame = _HEAD.pack(_EOF, self._framed)
            self._eof_framed = True
            self._framed += 1
            self._unacked.append((self._framed, frame))
            self._out.append(frame)

    def _receive(self, message: bytes, now: float) -> None:
        if self._state not in ("greeting", "live"):
            raise RemoteError("pipe-out-of-order", "a message came on a pipe that is not attached")
        if not message or not _DATA <= message[0] <= _CLOSE:
            raise RemoteError("pipe-malformed", "the peer sent an unknown pipe frame")
        kind = message[0]
        if kind == _CLOSE:
            self._receive_close(message)
            return
        if len(message) < _HEAD.size:
            raise RemoteError("pipe-malformed", "the peer sent a pipe frame that is cut short")
        position: int = _HEAD.unpack_from(message)[1]
        body = message[_HEAD.size :]
        wanted = {_ACK: (0, 0), _HELLO: (PIPE_ID_BYTES,) * 2, _EOF: (0, 0)}
        shortest, longest = wanted.get(kind, (1, MAX_PAYLOAD_BYTES))
        if not shortest <= len(body) <= longest:
            raise RemoteError("pipe-malformed", "the peer sent a pipe frame of a wrong length")
        if (kind == _HELLO) != (self._state == "greeting"):
            raise RemoteError("pipe-out-of-order", "a pipe's first frame, and only that, is HELLO")
        if kind == _HELLO:
            self._receive_hello(position, body)
        elif kind == _ACK:
            self._receive_ack(position)
        else:
            self._receive_stream(kind, position, body, now)

    def _receive_close(self, message: bytes) -> None:
        if len(message) != 2 or message[1] >= len(_REASONS):
            raise RemoteError("pipe-malformed", "the peer sent a pipe close that cannot be read")
        if self._state != "live":
            raise RemoteError("pipe-out-of-order", "the peer closed a pipe without a HELLO")
        self._out = []
        self._finish(_REASONS[message[1]])

    def _receive_hello(self, received: int, peer_id: bytes) -> None:
        is_stranger = self._peer_id is None and received > self._framed
        if self._peer_id not in (None, peer_id) or received < self._acked or is_stranger:
            # The peer has another state than the one this end talked to, or (on an end that was
            # begun anew) talked to another one before; no transport mends that.
            self._out.append(bytes([_CLOSE, _REASONS.index("peer-changed")]))
            self._finish("peer-changed")
            return
        self._receive_ack(received)
        self._peer_id = peer_id
        self._state = "live"
        self._resume_deadline = None
        self._again.extendleft(reversed(self._unacked))
        self._unacked.clear()
        if self._again and (skip := received - _HEAD.unpack_from(self._again[0][1])[1]) > 0:
            end, frame = self._again.popleft()
            payload = frame[_HEAD.size + skip :]
            self._again.appendleft((end, _HEAD.pack(_DATA, received) + payload))
        self._events.append(Attached(received))

    def _receive_ack(self, received: int) -> None:
        if not self._acked <= received <= self._framed:
            raise RemoteError(
                "pipe-out-of-order", "the peer acknowledges what was never sent, or takes it back"
            )
        self._acked = received
        for frames in (self._unacked, self._again):
            while frames and frames[0][0] <= received:
                frames.popleft()

    def _receive_stream(self, kind: int, offset: int, body: bytes, now: float) -> None:
        if offset != self._received or self._peer_ended:
            raise RemoteError(
                "pipe-out-of-order", "the peer's bytes do not follow on those received"
            )
        if kind == _EOF:
            self._peer_ended = True
            self._received += 1
            self._ack_now = True
            self._events.append(Eof())
            return
        self._received += len(body)
        self._events.append(Data(body))
        if self._received - self._acknowledged >= self._ack_every:
            self._ack_now = True
        elif self._ack_deadline is None:
            self._ack_deadline = now + ACK_DELAY_S


def _cut(chunks: list[bytes], size: int) -> Iterator[tuple[int, list[bytes | memoryview]]]:
    """Yield the pieces of each next `size` bytes of all chunks, and how many bytes those are.

    Pieces are views: each byte is copied once, into its frame.
    """
    pieces: list[bytes | memoryview] = []
    room = size
    for chunk in chunks:
        if len(chunk) <= room:
            pieces.append(chunk)
            room -= len(chunk)
        else:
            view, start = memoryview(chunk), 0
            while len(view) - start > room:
                pieces.append(view[start : start + room])
                start += room
                yield size, pieces
                pieces, room = [], size
            pieces.append(view[start:])
            room -= len(view) - start
    if pieces:
        yield size - room, pieces
