"""Which schedules are due now, which were missed, and when to look again.  Pure: no clock, no I/O.

    mark                          what becomes of the schedule
    none, or of another line      dealt with up to now: nothing was missed before it was there
    more than a day ahead of now  the clock was set back far: as if new
    at or after the last due      nothing; it waits for the next
    before the last due, on time  it runs, once, however often it was due
    the same, later than that     `run_once`: it runs, once; `skip`: left out and noted

On time is what lies `GRACE` back at most: a device that slept over a due time has missed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from farhand_agent.standing.memory import Mark, line_digest
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.schedules import Schedule

__all__ = ["GRACE", "Plan", "plan"]

GRACE: Final = timedelta(minutes=5)
_SET_BACK: Final = timedelta(days=1)

ZoneOf = Callable[[str], tzinfo]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Attributes:
        run: schedules to run, in their order.
        missed: names of those whose missed runs are left out.
        unplaced: names of those whose zone this device does not know; they never run.
        marks: what to remember before anything runs.
        next: when the next one is due; None when none ever is.
    """

    run: tuple[Schedule, ...]
    missed: tuple[str, ...]
    unplaced: tuple[str, ...]
    marks: dict[str, Mark]
    next: datetime | None


def plan(
    schedules: Sequence[Schedule],
    marks: dict[str, Mark],
    *,
    now: datetime,
    zone_of: ZoneOf,
    device: str,
) -> Plan:
    """Say what is due.

    Args:
        schedules: of the device's policy.
        marks: by name, as they were remembered.
        now: aware.
        zone_of: the zone of a name, the device's own for ""; raises `zone-unknown`.
        device: id, for the splay.
    """
    run, missed, unplaced, following = [], [], [], []
    after: dict[str, Mark] = {}
    for schedule in schedules:
        try:
            zone = zone_of(schedule.zone)
        except FarhandError:
            unplaced.append(schedule.name)
            continue
        handled = _handled(schedule, marks.get(schedule.name), now)
        last = schedule.last_due(now, zone, device)
        if last is not None and last > handled:
            handled = last
            if schedule.misfire == "skip" and now - last > GRACE:
                missed.append(schedule.name)
            else:
                run.append(schedule)
        after[schedule.name] = Mark(line_digest(schedule), format_instant(handled))
        due = schedule.next_due(max(now, handled), zone, device)
        if due is not None:
            following.append(due)
    return Plan(tuple(run), tuple(missed), tuple(unplaced), after, min(following, default=None))


def _handled(schedule: Schedule, mark: Mark | None, now: datetime) -> datetime:
    if mark is None or mark.line != line_digest(schedule):
        return now
    try:
        handled = parse_instant(mark.handled)
    except FarhandError:
        return now
    return now if handled - now > _SET_BACK else handled
