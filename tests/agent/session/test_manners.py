"""A copy gives way to whoever types, and to nobody else."""

from __future__ import annotations

import pytest

from farhand_agent.session.manners import SHORTEST_S, TYPING_S, WORK_PER_BLOCK_S, Manners


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rested(manners: Manners, clock: Clock, *, block_s: float, blocks: int) -> float:
    """Return how long a copy of so many blocks rests, which takes its time too."""
    pace = manners.pace()
    total = 0.0
    for _ in range(blocks):
        clock.now += block_s
        rest = pace.rest_s()
        clock.now += rest
        total += rest
    return total


def test_nobody_types_and_a_copy_never_rests() -> None:
    clock = Clock()
    assert rested(Manners(clock), clock, block_s=0.0005, blocks=100) == 0


def test_while_somebody_types_a_copy_rests_as_long_as_it_works() -> None:
    clock = Clock()
    manners = Manners(clock)
    manners.typed()
    assert rested(manners, clock, block_s=0.0004, blocks=300) == pytest.approx(0.12, rel=0.02)


def test_waiting_for_the_console_is_no_work() -> None:
    clock = Clock()
    manners = Manners(clock)
    manners.typed()
    assert rested(manners, clock, block_s=0.1, blocks=10) == pytest.approx(10 * WORK_PER_BLOCK_S)


def test_no_rest_is_shorter_than_a_timer_can_be() -> None:
    clock = Clock()
    manners = Manners(clock)
    manners.typed()
    pace = manners.pace()
    rests = []
    for _ in range(50):
        clock.now += 0.0003
        rests.append(pace.rest_s())
        clock.now += rests[-1]
    assert min(rest for rest in rests if rest) >= SHORTEST_S


def test_who_stopped_typing_is_forgotten() -> None:
    clock = Clock()
    manners = Manners(clock)
    manners.typed()
    clock.now += TYPING_S + 1
    assert rested(manners, clock, block_s=0.0005, blocks=100) == 0
