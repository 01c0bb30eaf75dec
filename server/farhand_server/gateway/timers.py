"""One timer wheel for all connections of a node.

Not a general scheduler: each item has at most one deadline, the precision is one tick, and there
is no handle object per timer, because ten thousand idle links must cost next to nothing.  An item
carries its own `deadline` (0.0 when none is set), which also says in which slot it lies; a slot may
hold items of later rounds, which are skipped.

The wheel has no clock of its own: `advance(now)` runs what is due, and the node's ticker calls it.
"""

from __future__ import annotations

import math
from typing import Protocol

__all__ = ["Timed", "TimerWheel"]


class Timed(Protocol):
    """What can lie on the wheel."""

    deadline: float

    def on_deadline(self, now: float) -> None:
        """Act on the deadline; it was taken off the wheel before."""


class TimerWheel:
    """Deadlines of many items, hashed by time.

    Args:
        now: the time at which the wheel starts, in seconds of a monotonic clock.
        tick_s: precision; an item fires at most this much late.
        slots: how many ticks one round has.
    """

    __slots__ = ("_slots", "_tick_s", "_ticks")

    def __init__(self, *, now: float, tick_s: float = 0.25, slots: int = 512) -> None:
        self._tick_s = tick_s
        self._slots: list[set[Timed]] = [set() for _ in range(slots)]
        self._ticks = math.floor(now / tick_s)

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots)

    def set(self, item: Timed, at: float) -> None:
        """Give `item` the deadline `at` in place of any it had."""
        if item.deadline:
            self.cancel(item)
        # Never behind the hand: a deadline in the past fires with the next tick.  It is stored as
        # the tick it lies on, so that cancel finds the slot again.
        tick = max(math.ceil(at / self._tick_s), self._ticks + 1)
        item.deadline = tick * self._tick_s
        self._slots[tick % len(self._slots)].add(item)

    def cancel(self, item: Timed) -> None:
        """Take `item` off the wheel; it may have no deadline."""
        if item.deadline:
            tick = round(item.deadline / self._tick_s)
            self._slots[tick % len(self._slots)].discard(item)
            item.deadline = 0.0

    def advance(self, now: float) -> int:
        """Run everything that is due at `now`; return how many items that were.

        A clock that jumped ahead costs at most one walk around the wheel.
        """
        until = math.floor(now / self._tick_s)
        steps = min(until - self._ticks, len(self._slots))
        fired = 0
        for tick in range(until - steps + 1, until + 1):
            slot = self._slots[tick % len(self._slots)]
            if not slot:
                continue
            due = [item for item in slot if round(item.deadline / self._tick_s) <= until]
            for item in due:
                slot.discard(item)
                item.deadline = 0.0
            self._ticks = max(self._ticks, tick)
            for item in due:
                # An item that fired may set or cancel others of the same tick; those that were
                # given a new deadline meanwhile are not run with the old one.
                if not item.deadline:
                    item.on_deadline(now)
                    fired += 1
        self._ticks = max(self._ticks, until)
        return fired
