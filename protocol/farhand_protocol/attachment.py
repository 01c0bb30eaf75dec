"""What both ends do around a resumable pipe, without I/O: transports, flow, alarm, state.

A driver owns the websockets and whatever speaks on top (SSH).  It tells this object what happened
and carries out the effects that it answers with; nothing here waits.  A transport is named by its
turn: what a driver says for an older turn means nothing.

state         event                                   -> state
connecting    both ends have greeted                     connected
connecting    the peer holds an older pipe               connecting   (a fresh pipe, `renews` only)
connected     the transport is lost, or replaced         reconnecting
reconnecting  both ends have greeted                     connected
any           close, CLOSE, resume window over           ended        (effect Over)

An end that `renews` may begin with a fresh pipe as long as nothing was received on it: then
nothing can be lost and nothing doubled.  Only one of the two ends does, and it keeps its id, so
that a peer which is new itself takes the fresh pipe for the one that it has greeted already.
Clock values are lived seconds (farhand_protocol.lived).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from farhand_protocol.pipe import Attached, Closed, CloseReason, Data, ResumablePipe

__all__ = ["Attachment", "Deliver", "Effect", "Flow", "LineName", "LineState", "Over"]

MAX_RENEWALS = 3
# A fresh start sends this much again at most; SSH says far less before it hears an answer.
MAX_EARLY_BYTES = 256 * 1024

LineName: TypeAlias = Literal["connecting", "connected", "reconnecting", "ended"]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Bytes for whoever is on top."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Flow:
    """Whoever is on top may go on writing, or should pause."""

    may_write: bool


@dataclass(frozen=True, slots=True)
class LineState:
    """The state changed; also what is shown to people.

    `left_s` is how long the peer is still waited for, None where nothing is waited for; `reason`
    says why it ended.
    """

    name: LineName
    left_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Over:
    """The pipe is over; always the last effect."""

    reason: CloseReason


Effect: TypeAlias = Deliver | Flow | LineState | Over


class Attachment:
    """One end of a pipe, with its transports.

    Args:
        make_pipe: returns a fresh pipe, each time with the same id, which is this end's own.
        renews: whether this end may begin afresh where the peer holds an older pipe.
    """

    def __init__(self, make_pipe: Callable[[], ResumablePipe], *, renews: bool = False) -> None:
        self._make = make_pipe
        self._pipe = make_pipe()
        self._turn = 0
        self._effects: list[Effect] = []
        self._name: LineName = "connecting"
        self._may_write = True
        self._early: bytearray | None = bytearray() if renews else None
        self._renewals = 0
        self._alarm: float | None = None

    @property
    def unacked_bytes(self) -> int:
        """Return how many bytes are kept because the peer has not acknowledged them."""
        return self._pipe.unacked_bytes

    @property
    def is_over(self) -> bool:
        """Tell whether the pipe is over."""
        return self._name == "ended"

    @property
    def name(self) -> LineName:
        """Return the state."""
        return self._name

    def is_current(self, turn: int) -> bool:
        """Tell whether a transport is still the one to read from."""
        return turn == self._turn and not self.is_over

    # Transports.

    def begin(self, now: float) -> int:
        """Take a new transport, in the place of an earlier one; returns its turn."""
        self._turn += 1
        self._pipe.attach(now)
        self._settle(now)
        return self._turn

    def lose(self, turn: int, now: float) -> None:
        """Note that a transport is gone; the resume window runs from then."""
        if turn == self._turn:
            self._pipe.detach(now)
            self._settle(now)

    def wait(self, now: float) -> None:
        """Begin to wait for a first transport; the resume window runs unless it does already."""
        if self._turn == 0:
            self._pipe.detach(now)
            self._settle(now)

    def receive(self, turn: int, message: bytes, now: float) -> None:
        """Take a message from a transport.

        Raises:
            RemoteError: as `ResumablePipe.receive_message`; drop this transport, make another.
        """
        if not self.is_current(turn):
            return
        try:
            self._pipe.receive_message(message, now)
        finally:
            self._settle(now)

    def messages(self, turn: int) -> list[bytes]:
        """Return what to write to a transport now; nothing for one that was replaced."""
        return self._pipe.messages_to_send() if turn == self._turn else []

    # What is on top.

    def send(self, data: bytes, now: float) -> None:
        """Append to our stream."""
        if self.is_over or not data:
            return
        if self._early is not None:
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES:
                self._early = None
        self._pipe.send(data, now)  # what that brings about `effects` sees

    def close(self, now: float) -> None:
        """End the pipe from this side, after what was sent."""
        self._pipe.close(now)
        self._settle(now)

    # Effects and time.

    def effects(self, now: float) -> list[Effect]:
        """Return what is to be done, in order; also looks whether writing may go on."""
        self._settle(now)
        effects, self._effects = self._effects, []
        return effects

    def next_alarm(self) -> float | None:
        """Return when to set the alarm anew, or None where it stands early enough or none is due.

        An alarm that comes too early costs one call; setting it at every message costs more.
        """
        due = self._pipe.next_deadline()
        if due is None or (self._alarm is not None and self._alarm <= due):
            return None
        self._alarm = due
        return due

    def handle_alarm(self, now: float) -> None:
        """Do what is due; then ask `next_alarm` again."""
        self._alarm = None
        self._pipe.handle_timeout(now)
        self._settle(now)

    # Inside.

    def _settle(self, now: float) -> None:
        """Turn the pipe's events into effects."""
        for event in self._pipe.events():
            if isinstance(event, Data):
                self._early = None
                self._effects.append(Deliver(event.data))
            elif isinstance(event, Attached):
                self._become(LineState("connected"))
            elif isinstance(event, Closed):
                if event.reason == "peer-changed" and self._renew(now):
                    return
                self._become(LineState("ended", reason=event.reason))
                self._effects.append(Over(event.reason))
                return
            else:
                self._pipe.close(now)  # SSH ends with a message; a bare end of stream is the end
        if self.is_over:
            return
        if self._name == "connected" and not self._pipe.attached:
            self._become(LineState("reconnecting", left_s=self._left_s(now)))
        if self._pipe.writable != self._may_write:
            self._may_write = self._pipe.writable
            self._effects.append(Flow(self._may_write))

    def _become(self, state: LineState) -> None:
        self._name = state.name
        self._effects.append(state)

    def _left_s(self, now: float) -> float | None:
        due = self._pipe.next_deadline()
        return None if due is None else max(0.0, due - now)

    def _renew(self, now: float) -> bool:
        if self._early is None or self._renewals >= MAX_RENEWALS or self.is_over:
            return False
        self._renewals += 1
        self._turn += 1  # the transport of the old pipe cannot carry the new one
        self._name = "connecting"
        self._pipe = self._make()
        self._alarm = None
        self._pipe.detach(now)
        self._pipe.send(bytes(self._early), now)
        return True
