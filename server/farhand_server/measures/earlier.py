"""How a ticket stood at an earlier instant: what it was counted under then.

A ticket's row says how it stands today; its events say what was changed since.  Taken back one by
one, the newest first, they give what was.  So a report of March is the same in May, whatever queue
its tickets went to in April.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

__all__ = ["MOVES", "Standing", "standing_then"]

# The kinds of events by which a ticket comes to be counted under something else.
MOVES: Final = ("changed", "escalated", "contract")
_NAMES: Final = ("kind", "queue", "tier", "priority", "contract")


class Standing(NamedTuple):
    """What a ticket is counted under; `priority` by its name."""

    kind: str
    queue: str
    tier: int
    priority: str
    contract: str | None


def standing_then(today: Standing, later: Iterable[tuple[str, Mapping[str, Any]]]) -> Standing:
    """Return how a ticket stood before some events.

    Args:
        today: how it stands after them.
        later: kind and detail of each, of `MOVES`, the newest first.
    """
    then: dict[str, Any] = today._asdict()
    for kind, detail in later:
        if kind == "changed":
            then |= {name: detail[name]["from"] for name in _NAMES if name in detail}
        elif kind == "escalated":
            then["tier"] = detail["from"]
        elif kind == "contract":
            then["contract"] = detail["from"]
    return Standing(**then)
