"""Runs the checks of schedules, damps what they find, and makes the section `checks` of it.

The section holds the states that count and what the runs said that brought them about, so that it
changes, and is sent, only when a state changes.  An item is `id`, `state`, `summary`, `value`,
`unit`, `since`, and `subject` where the check looks at something besides this device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from farhand_agent.checks.command import HISTORY
from farhand_agent.checks.context import CheckContext
from farhand_agent.checks.finding import CheckResult, State
from farhand_agent.checks.history import History
from farhand_agent.checks.runner import run_checks
from farhand_agent.standing.damping import MAX_RECENT, damped
from farhand_agent.standing.memory import CheckMemory, Memory, Shown, check_key
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import CHECKS_SECTION, SectionReport, section_hash
from farhand_protocol.schedules import Schedule, ScheduledCheck

__all__ = ["Change", "Told", "checks_report", "run_scheduled", "take_in"]

_MAX_SUMMARY_CHARS: Final = 200


class Told(NamedTuple):
    """What one run of a check said."""

    state: State
    summary: str
    value: float | None
    unit: str | None


class Change(NamedTuple):
    """A check whose state that counts became another; `before` is None for its first."""

    check: str
    subject: str
    before: State | None
    after: State


RunOne = Callable[[ScheduledCheck], Told]


def run_scheduled(
    home: Path, scheduled: Sequence[ScheduledCheck], *, probe_to: Sequence[str] = ()
) -> list[Told]:
    """Run checks and return what each said, in order; nothing that fails costs the others.

    Args:
        home: the agent's folder, where the history of measurements is kept.
        scheduled: what to run; one check may be there for several subjects.
        probe_to: machines that policy lets this device look at.
    """
    context = CheckContext(
        history=History(home / HISTORY), home=home, may_probe=lambda target: target in probe_to
    )
    told: dict[ScheduledCheck, Told] = {}
    waiting = list(dict.fromkeys(scheduled))
    while waiting:
        # One of each id at a time: parameters belong to an id within one run.
        round_ = {one.id: one for one in reversed(waiting)}
        waiting = [one for one in waiting if round_[one.id] is not one]
        told |= _run_round(list(round_.values()), context)
    return [told[one] for one in scheduled]


def _run_round(round_: list[ScheduledCheck], context: CheckContext) -> dict[ScheduledCheck, Told]:
    parameters = {one.id: dict(one.parameters) for one in round_}
    try:
        results = run_checks([one.id for one in round_], parameters, context=context)
    except FarhandError as error:
        if len(round_) == 1:
            # This agent has no such check, or none with such parameters: never a good answer.
            return {round_[0]: Told("unknown", error.message, None, None)}
        return {one: told for each in round_ for one, told in _run_round([each], context).items()}
    by_id = {result.id: result for result in results}
    return {one: _told(by_id[one.id]) for one in round_}


def _told(result: CheckResult) -> Told:
    return Told(result.state, result.summary[:_MAX_SUMMARY_CHARS], result.value, result.unit)


def take_in(
    memory: Memory, schedule: Schedule, told: Iterable[Told], *, now: datetime
) -> list[Change]:
    """Remember one run of a schedule's checks; return the states that changed by it."""
    changes = []
    for check, said in zip(schedule.checks, told, strict=True):
        one = memory.checks.setdefault(check_key(check.id, check.subject), CheckMemory())
        one.recent = [*one.recent, said.state][-MAX_RECENT:]
        before = one.shown.state if one.shown else None
        after = damped(before, one.recent, schedule.confirm)
        if after is None or after == before:
            continue
        one.shown = Shown(
            state=after,
            summary=said.summary,
            value=said.value,
            unit=said.unit,
            since=format_instant(now.astimezone(UTC).replace(microsecond=0)),
        )
        changes.append(Change(check.id, check.subject, before, after))
    return changes


def checks_report(memory: Memory, schedules: Iterable[Schedule], *, now: datetime) -> SectionReport:
    """Return the section of all states that count."""
    items: list[dict[str, Any]] = []
    for check in sorted({c for one in schedules for c in one.checks}, key=_order):
        one = memory.checks.get(check_key(check.id, check.subject))
        if one is not None and one.shown is not None:
            items.append(_item(check, one.shown))
    return SectionReport(
        name=CHECKS_SECTION,
        status="ok",
        reason="",
        items=items,
        hash=section_hash("ok", items),
        collected_at=format_instant(now.astimezone(UTC).replace(microsecond=0)),
        duration_ms=0,
    )


def _order(check: ScheduledCheck) -> tuple[str, str]:
    return check.id, check.subject


def _item(check: ScheduledCheck, shown: Shown) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": check.id,
        "state": shown.state,
        "summary": shown.summary,
        "value": shown.value,
        "unit": shown.unit,
        "since": shown.since,
    }
    return item | ({"subject": check.subject} if check.subject else {})
