"""The states of an order as the relay keeps them, and what may follow what: one table, no I/O.

    from        to, by the relay                    to, by the device's signed word
    planned     eligible refused cancelled          -
                expired gone
    eligible    offered cancelled expired gone      accepted running, any outcome
    offered     eligible cancelled expired gone     eligible (early) accepted running, any outcome
    accepted    gone                                running, any outcome
    running     gone                                any outcome
    cancelled, expired, gone (the relay's word)     any outcome, once: it came late, but is true
    any outcome with a signed result                nothing

An outcome is succeeded, no_change, failed, timeout, refused, interrupted, cancelled or expired, and
comes sealed by the device.  The device's word comes at any time after it was offered, also when the
relay had no news of the steps between, and it stands above the relay's own guess that an order
expired; but only the first outcome counts.  A campaign's counts follow every step.

`planned` is `refused` by the operator's console, which could not verify the device and so signed no
order for it: there is nothing the device could ever run, and the row stays as it is.
"""

from __future__ import annotations

from typing import Final

from farhand_protocol.orders import FINAL_STATES, OrderState

__all__ = ["FINAL_STATES", "OFFERABLE", "OPEN_STATES", "OUTCOMES", "may_follow"]

OUTCOMES: Final[frozenset[OrderState]] = frozenset(
    {
        "succeeded",
        "no_change",
        "failed",
        "timeout",
        "refused",
        "interrupted",
        "cancelled",
        "expired",
    }
)
OPEN_STATES: Final[tuple[OrderState, ...]] = (
    "planned",
    "eligible",
    "offered",
    "accepted",
    "running",
)
# What is offered when a device comes online: `offered` too, since nobody knows whether it arrived.
OFFERABLE: Final[tuple[OrderState, ...]] = ("eligible", "offered")

_RELAY: Final[dict[str, frozenset[str]]] = {
    "planned": frozenset({"eligible", "refused", "cancelled", "expired", "gone"}),
    "eligible": frozenset({"offered", "cancelled", "expired", "gone"}),
    "offered": frozenset({"eligible", "cancelled", "expired", "gone"}),
    "accepted": frozenset({"gone"}),
    "running": frozenset({"gone"}),
}
_DEVICE: Final[dict[str, frozenset[str]]] = {
    "eligible": OUTCOMES | {"accepted", "running"},
    "offered": OUTCOMES | {"eligible", "accepted", "running"},
    "accepted": OUTCOMES | {"running"},
    "running": OUTCOMES,
    "cancelled": OUTCOMES,
    "expired": OUTCOMES,
    "gone": OUTCOMES,
}


def may_follow(before: str, after: str, *, by_device: bool, has_result: bool) -> bool:
    """Tell whether `after` may follow `before`.

    Args:
        before: state of the row.
        after: wanted state.
        by_device: the device said so, not the relay.
        has_result: the row holds a signed result; then nothing follows.
    """
    if has_result:
        return False
    table = _DEVICE if by_device else _RELAY
    return after in table.get(before, frozenset())
