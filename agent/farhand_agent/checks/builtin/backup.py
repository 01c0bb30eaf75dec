"""Check of backups: when the last good one was made, from what the usual programs leave behind."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from farhand_agent.checks.registry import (
    CheckContext,
    Finding,
    Thresholds,
    Word,
    check,
    unknown,
    unsupported,
)
from farhand_agent.inventory.context import CommandFailed, Malformed

__all__ = ["backup_age", "parse_latest_backup"]

_PATH: Final = "^/[A-Za-z0-9 ._/-]{0,500}$"
_SNAPSHOT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[-_]([0-9]{2})[-:]?([0-9]{2})[-:]?([0-9]{2})"
)
# What tmutil says where Time Machine was never set up, which is no failure to look.
_NO_TIME_MACHINE: Final = re.compile(r"no machine directory|no destinations", re.I)
_CACHES: Final = ("restic", "borg", "duplicity", "deja-dup")


@check(
    "backup.age",
    "Days since the last backup",
    unit="days",
    platforms=("linux", "macos"),
    limits={"days": Thresholds(3, 7)},
    words={
        "marker": Word("", _PATH, "A file that is written after every good backup."),
    },
    advice="start a backup; see why the last ones did not run",
    risk="R1",
    timeout_s=30,
    plain={
        "ok": "There is a recent backup of this device.",
        "warning": (
            "The last backup of this device is {n} day old.",
            "The last backup of this device is {n} days old.",
        ),
        "critical": (
            "The last backup of this device is {n} day old. "
            "If its disk fails, everything since then is lost.",
            "The last backup of this device is {n} days old. "
            "If its disk fails, everything since then is lost.",
        ),
        "unsupported": "No backup of this device was found. If there is one, it is made elsewhere.",
    },
)
def backup_age(context: CheckContext) -> Finding:
    """Age of the newest backup: a marker file, Time Machine, Timeshift, restic, Borg, rsnapshot."""
    marker = context.word("marker")
    if marker:
        at = context.files.modified_at(marker)
        if at is None:
            return unknown(f"{marker} is not there")
        found = [("marker", at)]
    elif context.platform == "macos":
        found = _time_machine(context)
    else:
        found = _linux_backups(context)
    if not found:
        return unsupported("no trace of a backup program")
    name, at = max(found, key=lambda one: one[1])
    days = context.days_since(at)
    return Finding(
        state=context.limit("days").state(days),
        summary=f"{name}: {days:.1f} days ago",
        value=round(days, 1),
        fill={"n": round(days)},
    )


def parse_latest_backup(text: str) -> float | None:
    """Return the Unix seconds that a snapshot's path names (`.../2026-11-20-101500.backup`)."""
    times = _SNAPSHOT.findall(text)
    if not times:
        return None
    day, hour, minute, second = times[-1]
    try:
        # Written in the device's local time.
        return datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _time_machine(context: CheckContext) -> list[tuple[str, float]]:
    try:
        outcome = context.run(["tmutil", "latestbackup"], timeout_s=25.0)
    except CommandFailed as error:
        if _NO_TIME_MACHINE.search(error.words):
            return []
        raise
    at = parse_latest_backup(outcome.text)
    if at is None and outcome.text.strip():
        raise Malformed("tmutil")
    return [("Time Machine", at)] if at is not None else []


def _linux_backups(context: CheckContext) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for folder in ("/timeshift/snapshots", "/run/timeshift/backup/timeshift/snapshots"):
        for name in context.files.names(folder):
            at = parse_latest_backup(name)
            if at is not None:
                found.append(("Timeshift", at))
    for name in ("daily.0", "hourly.0", "alpha.0"):
        at = context.files.modified_at(f"/var/cache/rsnapshot/{name}")
        if at is not None:
            found.append(("rsnapshot", at))
    for home in ("/root", *(f"/home/{name}" for name in context.files.names("/home"))):
        for program in _CACHES:
            at = _newest(context, f"{home}/.cache/{program}", program)
            if at is not None:
                found.append((program, at))
    return found


def _newest(context: CheckContext, folder: str, program: str) -> float | None:
    """Return when a program last wrote into its cache of a repository, None without one."""
    try:
        names = context.files.names(folder)
    except PermissionError:
        return None  # another person's backup is none of this one's business
    # restic lists its snapshots in a folder of its own; the others touch the repository's.
    inner = "/snapshots" if program == "restic" else ""
    times = [context.files.modified_at(f"{folder}/{name}{inner}") for name in names[:100]]
    return max((time for time in times if time is not None), default=None)
