"""The timer wheel against a plain list of deadlines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farhand_server.gateway.timers import TimerWheel


class Item:
    def __init__(self) -> None:
        self.deadline = 0.0
        self.fired: list[float] = []

    def on_deadline(self, now: float) -> None:
        self.fired.append(now)


@given(
    deadlines=st.lists(st.floats(0.0, 500.0), max_size=40),
    steps=st.lists(st.floats(0.01, 90.0), max_size=30),
)
def test_everything_fires_once_when_due_and_never_early(
    deadlines: list[float], steps: list[float]
) -> None:
    wheel = TimerWheel(now=100.0, tick_s=0.25, slots=64)
    items = []
    for at in deadlines:
        items.append((at + 100.0, Item()))
        wheel.set(items[-1][1], at + 100.0)
    now = 100.0
    for step in steps:
        now += step
        wheel.advance(now)
        for at, item in items:
            # A deadline in the past, or within this very tick, fires with the next one.
            if now >= max(at, 100.25) + 0.25:
                assert len(item.fired) == 1
            if now < at:
                assert not item.fired
    assert len(wheel) == sum(not item.fired for _, item in items)


def test_a_deadline_can_be_moved_and_taken_back() -> None:
    wheel, first, second = TimerWheel(now=0.0), Item(), Item()
    wheel.set(first, 5.0)
    wheel.set(second, 5.0)
    wheel.set(first, 9.0)
    wheel.cancel(second)
    wheel.cancel(second)
    wheel.advance(6.0)
    assert not first.fired
    wheel.advance(10.0)
    assert first.fired == [10.0]
    assert not second.fired


def test_a_clock_that_jumps_runs_everything_once() -> None:
    wheel, items = TimerWheel(now=0.0), [Item() for _ in range(100)]
    for number, item in enumerate(items, 1):
        wheel.set(item, float(number * 7))
    assert wheel.advance(1e7) == 100
    assert wheel.advance(1e7 + 1) == 0


def test_an_item_may_cancel_another_of_the_same_tick() -> None:
    wheel = TimerWheel(now=0.0)
    second = Item()

    class First(Item):
        def on_deadline(self, now: float) -> None:
            wheel.set(second, 50.0)

    wheel.set(First(), 1.0)
    wheel.set(second, 60.0)
    wheel.advance(2.0)
    wheel.advance(49.0)
    assert not second.fired
    wheel.advance(51.0)
    assert second.fired == [51.0]
