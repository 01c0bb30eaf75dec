"""When a check that runs again and again has changed: N of M for worse, M in a row for better.

    worse     a severity above the one shown that N of the last M runs reached or passed
    better    what all of the last M runs stayed at or below (the worst of them)
    unknown   the last N runs found nothing out; what was found before is then not known to hold
    the first result counts at once when it is ok, else like worse

A check that this device cannot have at all (`unsupported`) is shown so at once.  Pure: no clock, no
I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farhand_agent.checks.finding import State

__all__ = ["MAX_RECENT", "damped"]

# As many runs as `confirm N/M` can name.
MAX_RECENT: Final = 10
_SEVERITY: Final[dict[State, int]] = {"ok": 0, "warning": 1, "critical": 2}
_BY_SEVERITY: Final[tuple[State, ...]] = ("ok", "warning", "critical")


def damped(shown: State | None, recent: Sequence[State], confirm: tuple[int, int]) -> State | None:
    """Return the state that counts after the newest run.

    Args:
        shown: the state that counted before; None while none did.
        recent: states that the runs had, the newest last, at least one.
        confirm: N and M.

    Returns:
        None while too few runs agree on a first state.
    """
    enough, window = confirm
    if recent[-1] == "unsupported":
        return "unsupported"
    last = recent[-window:]
    known = [_SEVERITY[state] for state in last if state in _SEVERITY]
    before = _SEVERITY.get(shown, -1) if shown is not None else -1
    for severity in (2, 1):
        reached = sum(1 for one in known if one >= severity)
        if severity > before and reached >= enough:
            return _BY_SEVERITY[severity]
    if all(state == "unknown" for state in recent[-enough:]) and len(recent) >= enough:
        return "unknown"
    if before < 0:
        # Nothing known is shown: the first good result is believed, a bad one must be confirmed.
        return "ok" if recent[-1] == "ok" else shown
    if len(known) == window and max(known) < before:
        return _BY_SEVERITY[max(known)]
    return shown
