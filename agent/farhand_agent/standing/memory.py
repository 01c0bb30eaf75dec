"""What the device remembers of its schedules between two runs: one fact in the journal.

For each schedule the moment up to which it has been dealt with, written before anything runs: so
that nothing runs twice, whenever the agent or the device stops.  For each check the states of its
last runs and the state that counts (damping).  What policy no longer names is forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from farhand_agent.checks.finding import State
from farhand_agent.journal import Journal
from farhand_protocol.schedules import Schedule

__all__ = ["CheckMemory", "Mark", "Memory", "Shown", "check_key", "line_digest"]

_KEY: Final = "standing"


class Mark(msgspec.Struct):
    """Up to when a schedule was dealt with; `line` is a digest of how it was written."""

    line: str
    handled: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The state that counts, with what the run said that brought it about."""

    state: State
    summary: str
    value: float | None
    unit: str | None
    since: str


class CheckMemory(msgspec.Struct):
    """The last runs of one check, and the state that counts; None while none does."""

    recent: list[State] = msgspec.field(default_factory=list)
    shown: Shown | None = None


class Memory(msgspec.Struct):
    """Everything that is remembered; checks by `check_key`."""

    marks: dict[str, Mark] = msgspec.field(default_factory=dict)
    checks: dict[str, CheckMemory] = msgspec.field(default_factory=dict)

    @classmethod
    def load(cls, journal: Journal) -> Memory:
        """Return what the journal holds; nothing where that cannot be read any more."""
        text = journal.meta(_KEY)
        try:
            return msgspec.json.decode(text, type=cls) if text else cls()
        except msgspec.MsgspecError:
            # Of another version.  Forgetting starts each schedule anew: nothing was missed.
            return cls()

    def save(self, journal: Journal) -> None:
        """Put it on the disk; it is there when this returns."""
        journal.set_meta(_KEY, msgspec.json.encode(self).decode())

    def keep_only(self, schedules: Iterable[Schedule]) -> None:
        """Forget what these schedules do not name."""
        kept = list(schedules)
        names = {one.name for one in kept}
        keys = {check_key(c.id, c.subject) for one in kept for c in one.checks}
        self.marks = {name: mark for name, mark in self.marks.items() if name in names}
        self.checks = {key: one for key, one in self.checks.items() if key in keys}


def check_key(check: str, subject: str) -> str:
    """Return the key under which a check of a subject is remembered."""
    return f"{check} {subject}".strip()


def line_digest(schedule: Schedule) -> str:
    """Return by what a changed schedule is told from the one before."""
    return hashlib.sha256(schedule.line.encode()).hexdigest()[:16]
