"""The service clock: how long a ticket may take, counted in the desk's hours.

A pure function of what happened, a policy and a calendar; when it is asked changes nothing of what
it says of the past.  Three metrics:

    first-response   from the request to the desk's first answer
    next-response    from an answer of the requester's to the desk's next one; only after the first,
                     and only while the requester's word is the last
    resolution       from the request to the resolution, going on when it is reopened

The resolution clock stands still while the ticket waits for what the policy names (`pauses`); both
response clocks run on, since an answer is owed whatever is awaited.  A change of priority changes
the target and nothing of what was counted.  A ticket that is merged or spam owes nothing.

    state     means
    running   time is counted; `due_at` says until when
    paused    it waits; `due_at` is null
    met       done in time
    missed    done, too late
    breached  not done, and too late; `due_at` says since when, unless it waits
    idle      nothing is owed just now
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_server.desk.calendars import Calendar, due_after, open_seconds
from farhand_server.desk.priorities import PRIORITIES, Priority
from farhand_server.desk.ticket_states import WAITING_FOR

__all__ = [
    "METRICS",
    "Happening",
    "Metric",
    "ServicePolicy",
    "ServiceTimer",
    "Targets",
    "check_policy",
    "next_due",
    "service_timers",
    "tightest",
]

Metric = Literal["first-response", "next-response", "resolution"]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
TimerState = Literal["running", "paused", "met", "missed", "breached", "idle"]
_MAX_TARGET_S: Final = 366 * 86_400

What = Literal[
    "requested",
    "answered",
    "asked",
    "waits",
    "goes-on",
    "resolved",
    "reopened",
    "priority",
    "put-away",
    "came-back",
]


class Targets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds of open time that each metric may take; null owes nothing."""

    first_response_s: int | None = None
    next_response_s: int | None = None
    resolution_s: int | None = None

    def of(self, metric: Metric) -> int | None:
        """Return the target of a metric."""
        value: int | None = getattr(self, metric.replace("-", "_") + "_s")
        return value


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is promised for each priority, and what stops the resolution clock."""

    targets: Mapping[Priority, Targets]
    pauses: tuple[str, ...] = ("customer",)


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that clocks heed; `value` is a priority, or for what the ticket waits.

    Of what `came-back` it is the state that the ticket is in again, and for what it waits.
    """

    at: datetime
    what: What
    value: str = ""


class ServiceTimer(msgspec.Struct, frozen=True, kw_only=True):
    """One clock; seconds are of open time, `due_at` and `met_at` RFC 3339 when shown.

    `promised_on` is the ticket on which it was promised, where that was merged into this one.
    """

    metric: Metric
    state: TimerState
    target_s: int
    spent_s: int
    paused_by: str = ""
    due_at: datetime | None = None
    met_at: datetime | None = None
    promised_on: str = ""


def check_policy(policy: ServicePolicy) -> None:
    """Refuse a policy that means nothing.

    Raises:
        FarhandError: `service-policy-invalid`.
    """
    for priority, targets in policy.targets.items():
        if priority not in PRIORITIES:
            raise _invalid(f"{str(priority)[:40]!r} is no priority")
        for metric in METRICS:
            seconds = targets.of(metric)
            if seconds is not None and not 60 <= seconds <= _MAX_TARGET_S:
                raise _invalid("a target is a minute to a year of open time")
    if wrong := [one for one in policy.pauses if one not in WAITING_FOR]:
        raise _invalid(f"{wrong[0][:40]!r} is nothing that a ticket waits for")


def _invalid(words: str) -> FarhandError:
    return FarhandError("service-policy-invalid", words)


class _Clock:
    """Counts open time of one metric along the happenings."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._since: datetime | None = None
        self.spent_s = 0.0
        self.done_at: datetime | None = None

    def start(self, at: datetime) -> None:
        if self._since is None:
            self._since = at

    def stop(self, at: datetime) -> None:
        if self._since is not None:
            self.spent_s += open_seconds(self._calendar, self._since, at)
            self._since = None

    def reset(self) -> None:
        self._since, self.spent_s, self.done_at = None, 0.0, None

    @property
    def runs(self) -> bool:
        return self._since is not None

    def due_after(self, target_s: float) -> datetime | None:
        """Return when so much will have been spent, counted from where it last began to run."""
        if self._since is None:
            return None
        return due_after(self._calendar, self._since, target_s - self.spent_s)

    def spent_at(self, now: datetime) -> float:
        if self._since is None:
            return self.spent_s
        return self.spent_s + open_seconds(self._calendar, self._since, now)


class _Ticket:
    """Where the three clocks are after each happening."""

    def __init__(self, policy: ServicePolicy, calendar: Calendar) -> None:
        self._policy = policy
        self.clocks = {metric: _Clock(calendar) for metric in METRICS}
        self.priority: str = "normal"
        self.paused_by = ""
        self.is_put_away = False
        self.customer_spoke_last = False

    def take(self, one: Happening) -> None:
        first, following, whole = (self.clocks[metric] for metric in METRICS)
        at = one.at
        if one.what == "priority":
            self.priority = one.value
        elif one.what == "requested":
            first.start(at)
            whole.start(at)
        elif one.what == "answered":
            self.customer_spoke_last = False
            if first.done_at is None:
                first.stop(at)
                first.done_at = at
            elif following.runs:
                following.stop(at)
                following.done_at = at
        elif one.what == "asked":
            self.customer_spoke_last = True
            if first.done_at is not None and not following.runs:
                following.reset()
                following.start(at)
        elif one.what == "waits":
            self.paused_by = one.value if one.value in self._policy.pauses else ""
            if self.paused_by:
                whole.stop(at)
            elif whole.done_at is None:
                whole.start(at)
        elif one.what in ("goes-on", "reopened"):
            self.paused_by, self.is_put_away = "", False
            whole.done_at = None
            whole.start(at)
        elif one.what == "resolved":
            self._end(at)
        elif one.what == "put-away":
            self.is_put_away = True
            for clock in self.clocks.values():
                clock.stop(at)
        else:
            self._come_back(one)

    def _come_back(self, one: Happening) -> None:
        """Go on as before it was put away; `value` is the state, and for what it waits."""
        first, following, whole = (self.clocks[metric] for metric in METRICS)
        self.is_put_away = False
        state, _, reason = one.value.partition(" ")
        if first.done_at is None:
            first.start(one.at)
        elif self.customer_spoke_last and following.done_at is None:
            following.start(one.at)
        if state in ("resolved", "closed"):
            return
        self.paused_by = reason if reason in self._policy.pauses else ""
        if whole.done_at is None and not self.paused_by:
            whole.start(one.at)

    def _end(self, at: datetime) -> None:
        first, following, whole = (self.clocks[metric] for metric in METRICS)
        self.paused_by = ""
        for clock in (first, following, whole):
            if clock.done_at is None and (clock.runs or clock is whole):
                clock.stop(at)
                clock.done_at = at


def service_timers(
    happened: Iterable[Happening], policy: ServicePolicy, calendar: Calendar, *, now: datetime
) -> list[ServiceTimer]:
    """Return what is owed at an instant, one timer for each metric with a target.

    Args:
        happened: in the order of time; what is after `now` is not looked at.
        policy: what is promised.
        calendar: in which hours.
        now: aware; the instant that is asked about.
    """
    ticket = _Ticket(policy, calendar)
    began = False
    for one in happened:
        if one.at > now:
            break
        began = began or one.what == "requested"
        ticket.take(one)
    targets = policy.targets.get(ticket.priority)  # type: ignore[call-overload]
    if not began or targets is None or ticket.is_put_away:
        return []
    timers = []
    for metric in METRICS:
        if (target := targets.of(metric)) is not None:
            timers.append(_timer(metric, target, ticket, now))
    return timers


def _timer(metric: Metric, target_s: int, ticket: _Ticket, now: datetime) -> ServiceTimer:
    clock = ticket.clocks[metric]
    spent = clock.spent_at(now)
    state: TimerState
    due: datetime | None = None
    if clock.done_at is not None:
        state = "met" if spent <= target_s else "missed"
    elif clock.runs:
        state = "running"
        due = clock.due_after(target_s)
        if due is not None and due < now:
            state = "breached"
    elif metric == "resolution" and ticket.paused_by:
        state = "paused" if spent <= target_s else "breached"
    else:
        state = "idle"
    return ServiceTimer(
        metric=metric,
        state=state,
        target_s=target_s,
        spent_s=int(spent),
        paused_by=ticket.paused_by if state == "paused" else "",
        due_at=due,
        met_at=clock.done_at,
    )


# The one of several clocks that says how a ticket stands, where none of them runs.
_WORST_FIRST: Final[tuple[TimerState, ...]] = ("breached", "paused", "missed", "met", "idle")


def tightest(timers: Iterable[ServiceTimer]) -> list[ServiceTimer]:
    """Return of each metric the clock that leaves the least time, in the order of the metrics."""

    def first(one: ServiceTimer) -> tuple[int, float]:
        if one.due_at is not None:
            return 0, one.due_at.timestamp()
        return 1 + _WORST_FIRST.index(one.state), one.target_s - one.spent_s

    each: dict[Metric, list[ServiceTimer]] = {}
    for one in timers:
        each.setdefault(one.metric, []).append(one)
    return [min(each[metric], key=first) for metric in METRICS if metric in each]


def next_due(timers: Sequence[ServiceTimer]) -> datetime | None:
    """Return the earliest instant at which something will be due; None when nothing is."""
    running = (one.due_at for one in timers if one.state == "running")
    return min((due for due in running if due is not None), default=None)
