"""How urgent a ticket is: impact and urgency make a priority, which a person may overrule.

               urgency high   medium   low
    impact high     urgent    high     normal
    impact medium   high      normal   low
    impact low      normal    low      low

People see names.  The database keeps a rank, 1 the most urgent, so that queues can be sorted.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = [
    "LEVELS",
    "PRIORITIES",
    "Level",
    "Priority",
    "name_priority",
    "priority_of",
    "rank_priority",
]

Level = Literal["high", "medium", "low"]
Priority = Literal["urgent", "high", "normal", "low"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)

_FROM_SUM: Final[tuple[Priority, ...]] = ("urgent", "high", "normal", "low", "low")


def priority_of(impact: Level, urgency: Level) -> Priority:
    """Return the priority that the matrix gives."""
    return _FROM_SUM[LEVELS.index(impact) + LEVELS.index(urgency)]


def rank_priority(priority: Priority) -> int:
    """Return the number that the database sorts by; 1 is the most urgent."""
    return PRIORITIES.index(priority) + 1


def name_priority(rank: int) -> Priority:
    """Return the name of a rank."""
    return PRIORITIES[rank - 1]
