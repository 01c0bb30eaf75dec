"""The states of a ticket and what moves it between them: one table, no I/O.

    state     assign    reply     note      resolve   reopen
    new       open      open *    new       resolved  -
    open      open      open      open      resolved  -
    resolved  -         resolved  resolved  -         open

`*` only a reply by the desk opens a new ticket; a requester's reply leaves it new.  `-` is refused
with `ticket-state`.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from farhand_protocol.errors import FarhandError

__all__ = ["STATES", "TicketEvent", "TicketState", "next_state"]

TicketState = Literal["new", "open", "resolved"]
TicketEvent = Literal["assign", "reply", "requester-reply", "note", "resolve", "reopen"]
STATES: Final[tuple[TicketState, ...]] = get_args(TicketState)

_TABLE: Final[dict[tuple[str, TicketEvent], TicketState]] = {
    ("new", "assign"): "open",
    ("new", "reply"): "open",
    ("new", "requester-reply"): "new",
    ("new", "note"): "new",
    ("new", "resolve"): "resolved",
    ("open", "assign"): "open",
    ("open", "reply"): "open",
    ("open", "requester-reply"): "open",
    ("open", "note"): "open",
    ("open", "resolve"): "resolved",
    ("resolved", "reply"): "resolved",
    ("resolved", "requester-reply"): "resolved",
    ("resolved", "note"): "resolved",
    ("resolved", "reopen"): "open",
}


def next_state(state: str, event: TicketEvent) -> TicketState:
    """Return the state after `event`.

    Raises:
        FarhandError: `ticket-state` when the event means nothing in this state.
    """
    after = _TABLE.get((state, event))
    if after is None:
        raise FarhandError(
            "ticket-state",
            f"the ticket is {state}, so it cannot take this step ({event})",
            hint="reopen it first" if state == "resolved" else None,
        )
    return after
