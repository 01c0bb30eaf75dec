"""The states of a ticket and what moves it between them: one table, no I/O.

    state      assign    reply     requester  note      wait     resume  escalate  resolve   close
    new        open      open      new        new       waiting  -       open      resolved  -
    open       open      open      open       open      waiting  -       open      resolved  -
    waiting    waiting   waiting   open       waiting   waiting  open    open      resolved  -
    resolved   -         resolved  open *     resolved  -        -       -         -         closed
    closed     -         -         - **       closed    -        -       -         -         -
    merged     -         -         - **       -         -        -       -         -         -
    spam       -         -         spam       spam      -        -       -         -         -

    state      reopen    merge     spam
    new        -         merged    spam
    open       -         merged    spam
    waiting    -         merged    spam
    resolved   open      merged    spam
    closed     open      -         -
    merged     -         -         -
    spam       open      -         -

`requester` is a reply by somebody who is not of the desk.  `*` counts as reopening, as long as the
queue allows it; `**` goes elsewhere: a closed ticket gets a linked successor, a merged one passes
it on to what it was merged into (`desk.moves`).  `-` is refused with `ticket-state`.  Only
`desk.merging` takes a ticket out of `merged`, back to what it was.

A waiting ticket says for what (`WAITING_FOR`); every other state has no reason.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from farhand_protocol.errors import FarhandError

__all__ = [
    "ENDED",
    "STATES",
    "WAITING_FOR",
    "TicketEvent",
    "TicketState",
    "WaitingFor",
    "next_state",
]

TicketState = Literal["new", "open", "waiting", "resolved", "closed", "merged", "spam"]
TicketEvent = Literal[
    "assign",
    "reply",
    "requester-reply",
    "note",
    "wait",
    "resume",
    "escalate",
    "resolve",
    "close",
    "reopen",
    "merge",
    "spam",
]
WaitingFor = Literal["customer", "vendor", "visit", "change", "reminder"]
STATES: Final[tuple[TicketState, ...]] = get_args(TicketState)
WAITING_FOR: Final[tuple[WaitingFor, ...]] = get_args(WaitingFor)
# Nothing more is expected of the desk.
ENDED: Final[tuple[TicketState, ...]] = ("resolved", "closed", "merged", "spam")

_WORKED_ON: Final[dict[TicketEvent, TicketState]] = {
    "assign": "open",
    "reply": "open",
    "requester-reply": "open",
    "note": "open",
    "wait": "waiting",
    "escalate": "open",
    "resolve": "resolved",
    "merge": "merged",
    "spam": "spam",
}
_TABLE: Final[dict[TicketState, dict[TicketEvent, TicketState]]] = {
    "new": _WORKED_ON | {"requester-reply": "new", "note": "new"},
    "open": _WORKED_ON,
    "waiting": _WORKED_ON
    | {"assign": "waiting", "reply": "waiting", "note": "waiting", "resume": "open"},
    "resolved": {
        "reply": "resolved",
        "requester-reply": "open",
        "note": "resolved",
        "close": "closed",
        "reopen": "open",
        "merge": "merged",
        "spam": "spam",
    },
    "closed": {"note": "closed", "reopen": "open"},
    "merged": {},
    "spam": {"requester-reply": "spam", "note": "spam", "reopen": "open"},
}
_HINTS: Final[dict[str, str]] = {
    "resolved": "reopen it first",
    "closed": "reopen it first",
    "spam": "reopen it first",
    "merged": "work on the ticket it was merged into, or take the merge back",
}


def next_state(state: str, event: TicketEvent) -> TicketState:
    """Return the state after `event`.

    Raises:
        FarhandError: `ticket-state` when the event means nothing in this state.
    """
    steps: dict[TicketEvent, TicketState] = _TABLE.get(state, {})  # type: ignore[call-overload]
    after = steps.get(event)
    if after is None:
        raise FarhandError(
            "ticket-state",
            f"the ticket is {state}, so it cannot take this step ({event})",
            hint=_HINTS.get(state),
        )
    return after
