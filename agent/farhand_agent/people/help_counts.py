"""How many calls for help the door takes within an hour.

    of one user                 `MAX_HELP_AN_HOUR`       `people-help-often`
    of all who are strangers    `MAX_STRANGERS_AN_HOUR`  `people-help-full`
    of everybody together       `MAX_ALL_AN_HOUR`        `people-help-full`

The relay takes ten calls of a device in an hour and drops the next for good.  So the refusal has to
come here, before anybody was told that her call was noted; what is left to ten is for calls that
waited for a line, and for the home's owner, who needs no door.  (After hours without a line those
that waited can still come to more.)  One user may have user ids by the thousand (/etc/subuid),
which is why strangers are counted together.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from farhand_protocol.errors import RefusedError

__all__ = [
    "MAX_ALL_AN_HOUR",
    "MAX_HELP_AN_HOUR",
    "MAX_STRANGERS_AN_HOUR",
    "HelpCount",
    "HelpCounts",
]

MAX_HELP_AN_HOUR: Final = 4
MAX_STRANGERS_AN_HOUR: Final = 4
MAX_ALL_AN_HOUR: Final = 8
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, eq=False)
class HelpCount:
    """One call, or one try of a stranger."""

    uid: int
    is_here: bool
    at: float


class HelpCounts:
    """The calls of the last hour."""

    def __init__(self) -> None:
        self._counts: deque[HelpCount] = deque()

    def take(self, uid: int, *, is_here: bool) -> HelpCount:
        """Count a call.

        Args:
            uid: whose.
            is_here: whether she counts as a person at this computer.

        Raises:
            RefusedError: `people-help-often`, `people-help-full`.
        """
        now = time.monotonic()
        while self._counts and now - self._counts[0].at >= _HOUR_S:
            self._counts.popleft()
        if sum(one.uid == uid for one in self._counts) >= MAX_HELP_AN_HOUR:
            raise RefusedError(
                "people-help-often",
                f"you asked for help {MAX_HELP_AN_HOUR} times within an hour",
                hint="your calls are on their way; or call the desk",
            )
        strangers = sum(not one.is_here for one in self._counts)
        is_full = len(self._counts) >= MAX_ALL_AN_HOUR
        if is_full or (not is_here and strangers >= MAX_STRANGERS_AN_HOUR):
            raise RefusedError(
                "people-help-full",
                "this computer called for help as often as it may within an hour",
                hint="call the desk, or ask again later",
            )
        count = HelpCount(uid, is_here, now)
        self._counts.append(count)
        return count

    def give_back(self, count: HelpCount) -> None:
        """Forget a call that came to nothing."""
        if count in self._counts:  # an hour may be over
            self._counts.remove(count)
