"""One turn of the device's schedules: a short-lived child that runs what is due.

    parent -> {"home": path, "known": {name: hash}}     sections as the relay holds them
    child  -> {"section": {"name", "hash", "blob"}}     each that the relay does not hold so
    child  -> {"note": words}                           for whoever runs the agent
    child  -> {"done": {"next": Unix seconds or null}}  when to call again

What to do comes from the device's effective policy and from nothing else.  That something runs is
journalled before it does, so nothing runs twice: a turn that is cut off has had its run.  Each
state of a check that becomes another one is a record of the device's log.  Only one turn at a time;
another one ends at once and asks to come back.

Run as `python -m farhand_agent.standing.turn`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from farhand_agent.config import Home, Settings, load_settings
from farhand_agent.frames import error_fields, read_frame, write_frame
from farhand_agent.inventory.catalogue import CATALOGUE
from farhand_agent.inventory.runner import collect_all
from farhand_agent.inventory_report import MAX_SENT_BYTES, inventory_policy
from farhand_agent.journal import Journal
from farhand_agent.locks import try_lock
from farhand_agent.policy import NOTHING, effective_policy
from farhand_agent.standing.checking import (
    Change,
    Told,
    checks_report,
    run_scheduled,
    take_in,
)
from farhand_agent.standing.memory import Memory
from farhand_agent.standing.planning import ZoneOf, plan
from farhand_agent.trust.verified import current_group, load_verified
from farhand_agent.zones import zone_of
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import from_unix
from farhand_protocol.inventory import CHECKS_SECTION, SectionReport, encode_section
from farhand_protocol.schedules import Schedule, ScheduledCheck, parse_schedules
from farhand_protocol.trust import GroupPolicy

__all__ = ["BUSY_S", "main", "take_turn"]

# When another turn still runs: so long until the next try.
BUSY_S: Final = 60.0

RunChecks = Callable[[Path, Sequence[ScheduledCheck]], list[Told]]
Collect = Callable[[Sequence[str]], Mapping[str, SectionReport]]


def take_turn(
    home: Path,
    journal: Journal,
    schedules: Sequence[Schedule],
    *,
    device: str,
    known: Mapping[str, str],
    clock: Callable[[], datetime],
    run: RunChecks = run_scheduled,
    collect: Collect,
    zones: ZoneOf = zone_of,
) -> Iterator[dict[str, Any]]:
    """Run what is due and yield the frames for the parent.

    Args:
        home: the agent's folder.
        journal: of the device.
        schedules: of its effective policy.
        device: its id.
        known: hash of each section that the relay holds.
        clock: aware time; the device's own, which may jump.
        run, collect, zones: what checks, what collects sections, what knows zones.
    """
    memory = Memory.load(journal)
    memory.keep_only(schedules)
    now = clock()
    due = plan(schedules, memory.marks, now=now, zone_of=zones, device=device)
    memory.marks = due.marks
    memory.save(journal)
    for name in due.missed:
        journal.log("schedule-missed", schedule=name)
        yield {"note": f"schedule {name} missed its time; it waits for the next"}
    for name in due.unplaced:
        yield {"note": f"schedule {name} names a time zone that this device does not know"}
    names: list[str] = []
    for schedule in due.run:
        names += [one for one in schedule.sections if one not in names]
        if schedule.checks:
            changes = take_in(memory, schedule, run(home, schedule.checks), now=clock())
            memory.save(journal)
            yield from _noted(journal, changes)
    report = checks_report(memory, schedules, now=clock())
    # A device that never had a schedule has no such section; one that lost all empties it.
    if report.items or CHECKS_SECTION in known:
        yield from _section(report, known)
    if names:
        for one in collect(names).values():
            yield from _section(one, known)
    after = plan(schedules, memory.marks, now=now, zone_of=zones, device=device)
    yield {"done": {"next": after.next.timestamp() if after.next is not None else None}}


def _noted(journal: Journal, changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
    for one in changes:
        fields = {"check": one.check, "before": one.before, "after": one.after}
        journal.log("check-changed", **fields | ({"subject": one.subject} if one.subject else {}))
        if one.before is not None or one.after != "ok":
            words = f"{one.check} {one.subject}".strip()
            yield {"note": f"check {words}: {one.before or 'new'} -> {one.after}"}


def _section(report: SectionReport, known: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if known.get(report.name) == report.hash:
        return
    blob = encode_section(report)
    if len(blob) > MAX_SENT_BYTES:
        yield {"note": f"section {report.name} of {len(blob)} bytes is too large to send"}
        return
    yield {"section": {"name": report.name, "hash": report.hash, "blob": blob}}


def _collector(home: Home, settings: Settings) -> Collect:
    """Return what collects the sections that a schedule names and this device gives away."""

    def collect(names: Sequence[str]) -> Mapping[str, SectionReport]:
        wanted = [one for one in names if one in CATALOGUE]
        if not wanted:
            return {}
        rules = inventory_policy(home, settings)
        return collect_all(
            wanted,
            leave_out=settings.inventory_leave_out,
            switched_on=rules.inventory_sections,
            personal=rules.inventory_personal,
        )

    return collect


def _policy(home: Home, settings: Settings) -> GroupPolicy:
    trust = load_verified(home)
    if trust is not None and trust.revokes(settings.device):
        return NOTHING
    return effective_policy(home, current_group(settings, trust), trust)


def main() -> int:
    """Take one turn; returns the exit status."""
    # Nobody waits for it; whatever the device is for goes first.
    os.nice(10)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        request = read_frame(sys.stdin.buffer)
        if not request:
            return 1  # the agent was killed before it had asked
        home = Home.at(str(request["home"]))
        # Held until this process is gone, hung checks included.
        if try_lock(home.path / "standing.lock") is None:
            write_frame(sink, {"done": {"next": time.time() + BUSY_S}})
            return 0
        settings = load_settings(home)
        policy = _policy(home, settings)
        with closing(Journal(home.journal)) as journal:
            for frame in take_turn(
                home.path,
                journal,
                parse_schedules(policy.schedules),
                device=settings.device,
                known=dict(request.get("known", {})),
                clock=lambda: from_unix(time.time()),
                run=partial(run_scheduled, probe_to=policy.probe_to),
                collect=_collector(home, settings),
            ):
                write_frame(sink, frame)
    except FarhandError as error:
        write_frame(sink, {"error": error_fields(error)})
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # A check that hangs in the kernel must not keep this process; everything is written.
    os._exit(status)
