"""Laws of what both ends do around a pipe: its transports, its alarm, its memory, lived time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_protocol.attachment import (
    MAX_EARLY_BYTES,
    MAX_RENEWALS,
    Attachment,
    Deliver,
    Flow,
    LineState,
    Over,
)
from farhand_protocol.errors import RemoteError
from farhand_protocol.lived import LOOK_S, MAX_STEP_S, LivedClock
from farhand_protocol.pipe import ACK_DELAY_S, RESUME_WINDOW_S, ResumablePipe

WINDOW = 1000


class End:
    """A driver without I/O: one end with its timer, and all that it did."""

    count = 0

    def __init__(self, *, renews: bool) -> None:
        End.count += 1
        self.pipe_id = End.count.to_bytes(16, "big")
        self.line = Attachment(self._pipe, renews=renews)
        self.said = b""
        self.heard = b""
        self.states: list[str] = []
        self.may_write = True
        self.over = ""
        self.turn = 0
        self.timer: float | None = None
        self.armed = 0

    def _pipe(self) -> ResumablePipe:
        return ResumablePipe(
            window_bytes=WINDOW,
            ack_every_bytes=64,
            max_message_bytes=16,
            pipe_id=self.pipe_id,
        )

    def after(self, now: float) -> None:
        for effect in self.line.effects(now):
            assert not self.over, "nothing follows Over"
            if isinstance(effect, Deliver):
                self.heard += effect.data
            elif isinstance(effect, Flow):
                assert effect.may_write != self.may_write
                self.may_write = effect.may_write
            elif isinstance(effect, LineState):
                assert not self.states or self.states[-1] != effect.name
                self.states.append(effect.name)
            else:
                assert isinstance(effect, Over)
                self.over = effect.reason
        due = self.line.next_alarm()
        if due is not None:
            self.timer = due
            self.armed += 1
        # The law of the alarm: whatever is due is never overslept.
        deadline = self.line._pipe.next_deadline()
        assert deadline is None or (self.timer is not None and self.timer <= deadline)

    def say(self, data: bytes, now: float) -> None:
        if self.may_write and not self.over:
            self.line.send(data, now)
            self.said += data
        self.after(now)


@dataclass
class Ends:
    """A device and a console with wires between them."""

    device: End = field(default_factory=lambda: End(renews=False))
    console: End = field(default_factory=lambda: End(renews=True))
    now: float = 0.0
    is_up: bool = False

    def join(self) -> None:
        for end in (self.device, self.console):
            end.turn = end.line.begin(self.now)
            end.after(self.now)
        self.is_up = True

    def cut(self) -> None:
        for end in (self.device, self.console):
            end.line.lose(end.turn, self.now)
            end.after(self.now)
        self.is_up = False

    def flow(self, rounds: int) -> None:
        """Carry messages while the line is up; a broken rule, or a renewal, ends the transport."""
        ways = ((self.device, self.console), (self.console, self.device))
        for _ in range(rounds):
            if not self.is_up:
                return
            # Both write before either reads, as drivers do: HELLO crosses HELLO.
            written = [giver.line.messages(giver.turn) for giver, _ in ways]
            for (_, taker), messages in zip(ways, written, strict=True):
                for message in messages:
                    try:
                        taker.line.receive(taker.turn, message, self.now)
                    except RemoteError:
                        self.cut()
                        break
                    finally:
                        taker.after(self.now)
            if self.is_up and any(
                not end.line.is_current(end.turn) for end in (self.device, self.console)
            ):
                self.cut()

    def settle(self) -> None:
        for _ in range(6):
            if self.console.over:
                return
            if self.device.over:
                self.device = End(renews=False)  # as the session does at the next attachment
            self.join()
            self.flow(200)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for end in (self.device, self.console):
            if end.timer is not None and end.timer <= self.now:
                end.timer = None
                end.line.handle_alarm(self.now)
            end.after(self.now)

    def check(self) -> None:
        assert self.device.said.startswith(self.console.heard)
        assert self.console.said.startswith(self.device.heard)


steps = st.one_of(
    st.tuples(st.just("say"), st.booleans(), st.binary(max_size=60)),
    st.tuples(st.just("flow"), st.integers(1, 4)),
    st.tuples(st.just("join")),
    st.tuples(st.just("cut")),
    st.tuples(st.just("wait"), st.floats(0, 2)),
)


def act(ends: Ends, step: tuple[object, ...]) -> None:
    match step:
        case ("say", bool(by_device), bytes(data)):
            (ends.device if by_device else ends.console).say(data, ends.now)
        case ("flow", int(rounds)):
            ends.flow(rounds)
        case ("join",):
            ends.join()
        case ("cut",):
            ends.cut()
        case ("wait", float(seconds)):
            ends.wait(seconds)
        case _:
            raise AssertionError(step)


@given(st.lists(steps, max_size=40))
@settings(max_examples=100)
def test_everything_arrives_whatever_the_line_does(plan: list[tuple[object, ...]]) -> None:
    ends = Ends()
    for step in plan:
        act(ends, step)
        ends.check()
    ends.settle()
    assert (ends.device.over, ends.console.over) == ("", "")
    assert ends.console.heard == ends.device.said
    assert ends.device.heard == ends.console.said
    assert ends.device.states[-1] == ends.console.states[-1] == "connected"


@given(st.lists(steps, max_size=25), st.lists(steps, max_size=10))
@settings(max_examples=100)
def test_a_device_that_lost_its_state_ends_the_pipe_or_begins_it_again(
    plan: list[tuple[object, ...]], later: list[tuple[object, ...]]
) -> None:
    """A console that heard something never goes on with a stranger; nobody hears a wrong byte."""
    ends = Ends()
    for step in plan:
        act(ends, step)
    ends.cut()
    heard_before, ends.device = ends.console.heard, End(renews=False)
    for step in later:
        act(ends, step)
    ends.settle()
    if ends.console.over:
        assert ends.console.over == "peer-changed"
        assert ends.console.heard == heard_before
        return
    # What was only said, and never acknowledged, is said again to the new one.
    assert not heard_before
    assert ends.console.heard == ends.device.said
    assert ends.device.heard == ends.console.said


def test_a_new_console_on_the_number_of_an_old_pipe_begins_afresh() -> None:
    ends = Ends()
    ends.join()
    ends.device.say(b"old words", ends.now)
    ends.console.say(b"old answer", ends.now)
    ends.flow(4)
    ends.cut()
    ends.console = End(renews=True)
    ends.console.say(b"hello", ends.now)
    ends.join()
    ends.flow(4)
    assert ends.device.over == "peer-changed"
    assert (ends.console.over, ends.console.states) == ("", [])
    ends.settle()
    assert (ends.device.heard, ends.console.states[0]) == (b"hello", "connected")


def test_fresh_starts_are_counted_and_bounded() -> None:
    """A relay that invents peers is not followed for ever."""

    def meet_a_stranger(end: End, name: int) -> None:
        turn = end.line.begin(0.0)
        end.line.receive(turn, hello(received=7, name=name), 0.0)
        end.after(0.0)

    end = End(renews=True)
    for name in range(MAX_RENEWALS):
        meet_a_stranger(end, name)
        assert not end.over
    meet_a_stranger(end, MAX_RENEWALS)
    assert end.over == "peer-changed"
    talkative = Attachment(lambda: ResumablePipe(pipe_id=bytes(16)), renews=True)
    talkative.send(bytes(MAX_EARLY_BYTES + 1), 0.0)
    talkative.receive(talkative.begin(0.0), hello(received=MAX_EARLY_BYTES * 2, name=1), 0.0)
    assert talkative.name == "ended", "too much to be said again"


def hello(*, received: int, name: int) -> bytes:
    return b"\x03" + received.to_bytes(8, "big") + name.to_bytes(16, "big")


def test_a_broken_rule_costs_the_transport_and_not_the_pipe() -> None:
    end = End(renews=True)
    turn = end.line.begin(0.0)
    with pytest.raises(RemoteError):
        end.line.receive(turn, b"nonsense", 0.0)
    end.after(0.0)
    assert (end.over, end.line.name) == ("", "connecting")


def test_a_pipe_whose_peer_is_away_holds_its_window_and_no_more() -> None:
    """A source that heeds the flow fills the window once; one that does not is cut off."""
    end = End(renews=False)
    for _ in range(10_000):
        end.say(bytes(10), 0.0)
    assert end.line.unacked_bytes == WINDOW
    deaf = End(renews=False)
    for _ in range(10_000):
        deaf.line.send(bytes(10), 0.0)
        assert deaf.line.unacked_bytes <= 4 * WINDOW
    deaf.after(0.0)
    assert (deaf.over, deaf.line.unacked_bytes) == ("overrun", 0)


def test_the_alarm_is_not_set_at_every_message() -> None:
    ends = Ends()
    ends.join()
    ends.flow(2)
    before = ends.console.armed
    for _ in range(100):
        ends.device.say(b"x", ends.now)
        ends.flow(1)
        ends.wait(ACK_DELAY_S / 100)
    assert ends.console.armed - before <= 3
    assert ends.device.line.unacked_bytes < 100, "and yet it was acknowledged"


def test_the_state_says_how_long_is_left() -> None:
    ends = Ends()
    ends.join()
    ends.flow(2)
    ends.device.line.lose(ends.device.turn, 10.0)
    [state] = ends.device.line.effects(10.0)
    assert state == LineState("reconnecting", left_s=RESUME_WINDOW_S)
    ends.device.line.handle_alarm(10.0 + RESUME_WINDOW_S)
    assert ends.device.line.effects(400.0) == [
        LineState("ended", reason="resume-expired"),
        Over("resume-expired"),
    ]


@given(st.lists(st.floats(-5, 1000), max_size=50))
def test_lived_time_never_goes_back_nor_ahead(steps: list[float]) -> None:
    clock, now, last = LivedClock(100.0), 100.0, 100.0
    for step in steps:
        now += step
        lived = clock.read(now)
        assert last <= lived <= last + min(max(step, 0.0), MAX_STEP_S) + 1e-6 or lived <= now
        assert lived >= last
        last = lived
    assert last - 100.0 <= sum(min(max(step, 0.0), MAX_STEP_S) for step in steps) + 1e-6


def test_a_stopped_process_does_not_lose_its_peer() -> None:
    """Looked at every LOOK_S seconds the clock is true; an hour of SIGSTOP costs one step."""
    clock = LivedClock(0.0)
    for look in range(1, 11):
        assert clock.read(look * LOOK_S) == look * LOOK_S
    lived = clock.read(10 * LOOK_S + 3600.0)
    assert lived == 10 * LOOK_S + MAX_STEP_S < RESUME_WINDOW_S


def test_waiting_for_a_first_transport_runs_the_resume_window_once() -> None:
    end = End(renews=False)
    end.line.wait(0.0)
    end.after(0.0)
    end.line.wait(RESUME_WINDOW_S - 1)
    end.line.handle_alarm(RESUME_WINDOW_S)
    end.after(RESUME_WINDOW_S)
    assert end.over == "resume-expired"
    attached = Ends()
    attached.join()
    attached.flow(2)
    attached.device.line.wait(0.0)
    attached.device.after(0.0)
    assert attached.device.states == ["connected"]


def test_what_comes_on_a_replaced_transport_means_nothing() -> None:
    ends = Ends()
    ends.join()
    old = ends.device.turn
    ends.device.turn = ends.device.line.begin(0.0)
    ends.device.line.receive(old, b"\xff", 0.0)
    ends.device.after(0.0)
    assert not ends.device.over


def test_either_end_may_close_and_both_hear_of_it() -> None:
    ends = Ends()
    ends.join()
    ends.flow(2)
    ends.console.line.close(0.0)
    ends.console.after(0.0)
    ends.flow(2)
    assert (ends.console.over, ends.device.over) == ("done", "done")


def test_a_bare_end_of_stream_ends_the_pipe() -> None:
    ends = Ends()
    ends.join()
    ends.flow(2)
    ends.console.line._pipe.send_eof(0.0)
    ends.console.after(0.0)
    ends.flow(3)
    assert ends.device.over == "done"
