"""When an accepted order may begin: windows, notice, and what a person put off.

Evaluated here, on the device, in its own time; relay and console have no say in it.  Time is the
journal's: the later of the clock and the highest time ever seen, so that a clock that was set back
opens no window twice.

    terms of the order             held until
    notice not over                first seen + `notice_s`
    put off by a person            what she said, at most first seen + `defer_days`
    no window is open              the next one opens
    ... and none opens in time     the order expires; then it ends as `expired`

A held order stays `accepted`.  Its runner ends, and the resident starts another when the time that
is journalled has come; what was put off is asked again then.  Orders without terms are never held.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final, Literal

from farhand_agent.audit import append_log
from farhand_agent.journal import Journal, OrderRow
from farhand_agent.notices import say
from farhand_agent.write_points import META_SET
from farhand_agent.zones import zone_of
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.orders import Order
from farhand_protocol.terms import check_terms
from farhand_protocol.windows import next_open, parse_windows

__all__ = [
    "Hold",
    "check_can_hold",
    "defer_key",
    "deferrable_until",
    "hold_key",
    "is_held",
    "keep_hold",
    "release",
    "start_hold",
]

Why = Literal["window", "notice", "user"]
# A window is a line of policy, not a clock: nothing is looked at more often than this.
_SHORTEST: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before `until`, and why."""

    until: datetime
    why: Why


def hold_key(order: str) -> str:
    """Return the journal's key of what holds an order; its value begins with the instant."""
    return f"hold:{order}"


def defer_key(order: str) -> str:
    """Return the journal's key of what a person said about an order: the instant."""
    return f"defer:{order}"


def check_can_hold(order: Order) -> None:
    """Refuse terms that this device does not understand, before the order is accepted.

    Raises:
        RefusedError: `terms-malformed`, `zone-unknown`, `order-malformed` for a ring that is none.
    """
    if (order.campaign is None) != (order.ring is None) or (order.ring or 0) < 0:
        raise RefusedError("order-malformed", "the order names a campaign without ring, or a ring")
    if order.terms is None:
        return
    try:
        check_terms(order.terms)
        for window in parse_windows(order.terms.windows):
            zone_of(window.begins.zone)
    except FarhandError as error:
        raise RefusedError(error.code, error.message, hint=error.hint) from error


def deferrable_until(order: Order, first_seen: datetime) -> datetime:
    """Return until when a person may put an order off; it floats with when the device had it."""
    days = order.terms.defer_days if order.terms is not None else 0
    return min(first_seen + timedelta(days=days), parse_instant(order.expires))


def start_hold(
    order: Order,
    *,
    first_seen: datetime,
    put_off: datetime | None,
    now: datetime,
    zones: Callable[[str], tzinfo] = zone_of,
) -> Hold | None:
    """Return what holds an order now; None when it may begin.

    Args:
        order: checked, and not expired.
        first_seen: when the device accepted it.
        put_off: until when a person put it off; None where nobody did.
        now: the journal's time.
        zones: gives a zone by its name.
    """
    terms = order.terms
    if terms is None:
        return None
    expires = parse_instant(order.expires)
    if terms.defer_days:
        if put_off is not None:
            until = min(put_off, deferrable_until(order, first_seen))
            if now < until:
                return Hold(until, "user")
        until = min(first_seen + timedelta(seconds=terms.notice_s), expires)
        if now < until:
            return Hold(until, "notice")
    opens = next_open(terms.windows, now, zones)
    if opens is None or opens > now:
        return Hold(max(min(opens or expires, expires), now + _SHORTEST), "window")
    return None


def is_held(journal: Journal, row: OrderRow, order: Order) -> bool:
    """Tell whether an accepted order waits, and journal what for."""
    now = journal.now()
    if now >= parse_instant(order.expires):
        return False  # its check says so
    put_off = journal.meta(defer_key(row.id))
    hold = start_hold(
        order,
        first_seen=parse_instant(row.accepted_at),
        put_off=parse_instant(put_off) if put_off else None,
        now=now,
    )
    if hold is None:
        return False
    if keep_hold(journal, row.id, hold):
        may = f"; put it off with `farhand-agent defer {row.id}`" if hold.why != "window" else ""
        say(f"{row.script} begins at {format_instant(hold.until)} or later{may}")
    return True


def keep_hold(journal: Journal, order: str, hold: Hold) -> bool:
    """Journal what holds an order; True when that is news, which the device's log then has."""
    value = f"{format_instant(hold.until)} {hold.why}"
    if journal.meta(hold_key(order)) == value:
        return False
    journal.set_meta(
        hold_key(order),
        value,
        kind="order-held",
        order=order,
        why=hold.why,
        until=format_instant(hold.until),
    )
    return True


def release(journal: Journal, order: str) -> None:
    """Forget what held an order that begins now, or has ended."""
    keys = (hold_key(order), defer_key(order))
    if all(journal.meta(key) is None for key in keys):
        return
    at = journal.now_text()

    def act(c: sqlite3.Connection) -> None:
        c.execute("DELETE FROM meta WHERE key IN (?, ?)", keys)
        append_log(c, at, "order-released", {"order": order})

    journal.commit(META_SET, act)
