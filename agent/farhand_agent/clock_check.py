"""Whether this device's time can be right: compared with the relay's when a link opens.

The relay's word decides nothing here.  Orders, grants and metadata are held against the device's
own time, the later of its clock and the highest it has seen.  But a device whose time is far off
refuses what is good as early or expired, and somebody must be told why.  So both of its times are
compared, and the one that is further off is told:

    its clock         set wrong; one set back behind what was seen is not followed
    its highest time  the clock was once set ahead; it stays there until true time catches up

A difference past `SKEW_WARNED_S` raises the alarm `clock-skew`, and one within it takes it back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from farhand_agent.alarms import lower_alarm, raise_alarm
from farhand_agent.journal import Journal
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = ["SKEW_WARNED_S", "note_skew"]

SKEW_WARNED_S: Final = 300.0
_ALARM: Final = "clock-skew"


def note_skew(journal: Journal, relay_now: str, *, clock: datetime) -> str | None:
    """Compare the device's time with the relay's; return words when there is something to say.

    Args:
        journal: knows the highest time seen, and keeps the alarm.
        relay_now: RFC 3339, as the relay's Welcome has it; hostile.
        clock: what this device's clock shows now, aware.
    """
    try:
        relay = parse_instant(relay_now)
    except (FarhandError, OverflowError):
        return None  # it told no time, and nothing depends on it
    used = journal.now()
    offs = [(one - relay).total_seconds() for one in (clock, used)]
    skew_s = max(offs, key=abs)
    if abs(skew_s) <= SKEW_WARNED_S:
        lower_alarm(journal, _ALARM)
        return None
    words = raise_alarm(journal, _ALARM, journal.now_text(), skew_s=round(skew_s))
    if words is None:
        return None
    side = "ahead of" if skew_s > 0 else "behind"
    which = "clock" if skew_s == offs[0] else "highest time seen"
    return f"this device's {which} is {round(abs(skew_s) / 60)} minutes {side} the relay's; {words}"
