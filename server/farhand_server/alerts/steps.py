"""What the next word of a device does to an alert: one table, no I/O.

    the alert       ok         breach             unknown    gone
    none            -          raise              blind      -
    closed lately   -          reopen             blind      -
    blind           recover    raise              -          withdraw
    open            recover    worse, milder, -   lost       withdraw

A breach is `warning` or `critical`; `gone` is a check that the device does not run any more, or
cannot have.  `closed lately` is an alert that recovered no longer ago than `FLAP_WINDOW`: one that
comes back then is the same alert, and each time counts as a flap.  An acknowledged alert moves as
an open one.  `unknown` opens nothing: it is a blind spot, listed as such and without a ticket.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

__all__ = ["CLOSED", "FLAPS", "FLAP_WINDOW", "LIVE", "STABLE", "STATES", "Step", "Told", "step"]

Told = Literal["ok", "warning", "critical", "unknown", "gone"]
Step = Literal[
    "none", "raise", "reopen", "blind", "worse", "milder", "lost", "found", "recover", "withdraw"
]

STATES: Final = ("open", "acknowledged", "blind", "recovered", "withdrawn")
LIVE: Final = ("open", "acknowledged", "blind")
CLOSED: Final = ("recovered", "withdrawn")

FLAP_WINDOW: Final = timedelta(hours=6)
# So many returns within the window make an alert flap; its ticket then hears no more of it ...
FLAPS: Final = 3
# ... until nothing moved for so long.
STABLE: Final = timedelta(hours=2)


def step(state: str | None, severity: str, before: str, told: Told) -> Step:
    """Return what happens.

    Args:
        state: of the alert; None where there is none, or it closed too long ago.
        severity: of the alert.
        before: what the device said of it last.
        told: what it says now.
    """
    if told in ("warning", "critical"):
        return _breach(state, severity, before, told)
    if told == "unknown":
        if state in (None, *CLOSED):
            return "blind"
        return "none" if state == "blind" or before == "unknown" else "lost"
    if state in (None, *CLOSED):
        return "none"
    return "recover" if told == "ok" else "withdraw"


def _breach(state: str | None, severity: str, before: str, told: str) -> Step:
    if state in (None, "blind"):
        return "raise"
    if state in CLOSED:
        return "reopen"
    if told != severity:
        return "worse" if told == "critical" else "milder"
    return "found" if before == "unknown" else "none"
