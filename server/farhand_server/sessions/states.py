"""The states of a session's row, in one table.

    state     event     -> state      said by
    (none)    claimed      pairing    a console claimed a nameplate
    (none)    offered      asked      a console brought a signed grant
    (none)    posted       waiting    the same, and others must sign it first
    waiting   offered      asked      they have
    waiting   refused      refused    nobody did in time
    pairing   requested    asked      the sealed request went to the device
    pairing   refused      refused    the code was burned, or the device went
    asked     active       active     the device's report
    asked     refused      refused    the device's report, or nobody answered in time
    active    active       active     again: scopes widened, or told twice
    active    ended        ended      device, operator, or the sweep after expiry
    waiting,
    pairing,
    asked     ended        ended      the operator gave up
    ended     ended        ended      told twice; late receipt or note are taken
    refused   refused      refused    told twice

An ended or refused session never comes back.
"""

from __future__ import annotations

from typing import Literal

from farhand_protocol.errors import FarhandError

__all__ = ["FINAL", "STATES", "SessionEvent", "SessionState", "first_state", "next_state"]

SessionState = Literal["waiting", "pairing", "asked", "active", "refused", "ended"]
SessionEvent = Literal["posted", "claimed", "offered", "requested", "active", "refused", "ended"]

STATES: tuple[SessionState, ...] = ("waiting", "pairing", "asked", "active", "refused", "ended")
FINAL: frozenset[SessionState] = frozenset({"refused", "ended"})

_FIRST: dict[SessionEvent, SessionState] = {
    "posted": "waiting",
    "claimed": "pairing",
    "offered": "asked",
}
_NEXT: dict[tuple[SessionState, SessionEvent], SessionState] = {
    ("waiting", "offered"): "asked",
    ("waiting", "refused"): "refused",
    ("waiting", "ended"): "ended",
    ("pairing", "requested"): "asked",
    ("pairing", "refused"): "refused",
    ("pairing", "ended"): "ended",
    ("asked", "active"): "active",
    ("asked", "refused"): "refused",
    ("asked", "ended"): "ended",
    ("active", "active"): "active",
    ("active", "ended"): "ended",
    ("ended", "ended"): "ended",
    ("refused", "refused"): "refused",
}


def first_state(event: SessionEvent) -> SessionState:
    """Return the state in which a session begins."""
    return _FIRST[event]


def next_state(state: SessionState, event: SessionEvent) -> SessionState:
    """Return the state after `event`.

    Raises:
        FarhandError: `session-state` when the event cannot happen in this state.
    """
    after = _NEXT.get((state, event))
    if after is None:
        raise FarhandError("session-state", f"a session that is {state} cannot become {event}")
    return after
