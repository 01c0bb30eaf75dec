"""queue, calendar and sla: what a desk promises, and in which hours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.desk import (
    Calendar,
    KeptCalendar,
    KeptPolicy,
    KindPromise,
    OpenNow,
    Queue,
    ServicePolicy,
    SpecialDay,
    Taken,
    Targets,
    Window,
)
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["register"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
_MINUTES: Final = 24 * 60
_TERMS: Final = ("title", "reopen_days", "close_days", "policy")


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    _register_queues(group(root, "queue", "Where tickets wait."))
    _register_calendars(group(root, "calendar", "Hours in which the desk works."))
    _register_policies(group(root, "sla", "What is promised: times to answer and to resolve."))


def _register_queues(queues: click.Group) -> None:
    @command(queues, "list")
    def list_queues(context: Context) -> None:
        """List queues; they are few, so all of them."""
        page = context.relay.get("/queues", Page[Queue])
        rows = [
            (q.name, q.title, q.reopen_days, q.close_days, q.policy, "open" if q.open else "closed")
            for q in page.items
        ]
        names = ("name", "title", "days to reopen", "days to close", "sla", "now")
        context.show(page, lambda: show_table(names, rows))

    @command(queues, "set")
    @click.argument("name")
    @click.option("--title", help="The name by default.")
    @click.option("--reopen-days", type=click.IntRange(0, 365), help="7 for a new queue.")
    @click.option("--close-days", type=click.IntRange(0, 365), help="7 for a new queue.")
    @click.option("--sla", help="What is promised to tickets that come here; none for nothing.")
    def set_queue(
        context: Context,
        name: str,
        title: str | None,
        reopen_days: int | None,
        close_days: int | None,
        sla: str | None,
    ) -> None:
        """Make a queue, or change its terms; what is not given stays."""
        page = context.relay.get("/queues", Page[Queue])
        there = next((one for one in page.items if one.name == name), None)
        body: dict[str, object] = {"title": name}
        if there is not None:
            body = {key: getattr(there, key) for key in _TERMS}
        given = {"title": title, "reopen_days": reopen_days, "close_days": close_days}
        body |= {key: value for key, value in given.items() if value is not None}
        if sla is not None:
            body["policy"] = None if sla == "none" else sla
        made = context.relay.post(segments("queues", name), Queue, body)
        context.show(made, lambda: line(made.name))


# Calendars.


def _register_calendars(calendars: click.Group) -> None:
    @command(calendars, "list")
    @paged
    def list_calendars(context: Context, limit: int, cursor: str | None) -> None:
        """List calendars, the newest version of each."""
        page = context.relay.get("/calendars", Page[KeptCalendar], limit=limit, cursor=cursor)
        rows = [
            (one.name, one.version, one.calendar.zone, len(one.calendar.days)) for one in page.items
        ]
        names = ("name", "version", "zone", "days that differ")
        context.show(page, lambda: show_table(names, rows))

    @command(calendars)
    @click.argument("name")
    def show(context: Context, name: str) -> None:
        """Show a calendar; `always` is there from the start."""
        kept = context.relay.get(segments("calendars", name), KeptCalendar)

        def readable() -> None:
            _show_calendar(kept)
            now = context.relay.get(segments("calendars", name, "now"), OpenNow)
            line(_now(now))

        context.show(kept, readable)

    @command(calendars, "now")
    @click.argument("name", default="always")
    def show_now(context: Context, name: str) -> None:
        """Tell whether it is open now, and when that changes."""
        now = context.relay.get(segments("calendars", name, "now"), OpenNow)
        context.show(now, lambda: line(_now(now)))

    @command(calendars, "import")
    @click.argument("name")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--year", type=click.IntRange(1990, 2190), required=True, help="The first one.")
    @click.option("--years", type=click.IntRange(1, 10), default=2, show_default=True)
    @click.option("--yes", is_flag=True, help="Take them; without it they are only shown.")
    def import_holidays(
        context: Context, name: str, file: Path, year: int, years: int, yes: bool
    ) -> None:
        """Show the holidays of an .ics file, and with --yes take those that are new."""
        try:
            ics = file.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise FarhandError("holidays-malformed", f"{file} cannot be read") from error
        body = {"ics": ics, "first_year": year, "years": years, "take": yes}
        taken = context.relay.post(segments("calendars", name, "holidays"), Taken, body)

        def readable() -> None:
            new = {one.day for one in taken.new}
            rows = [
                (one.day, "new" if one.day in new else "there", one.name)
                for one in taken.found.days
            ]
            show_table(("day", "", "name"), rows)
            for words in taken.found.left_out:
                say(f"left out: {words}")
            if taken.version is not None:
                line(f"{name}  version {taken.version}")
            elif new:
                say("nothing was taken; --yes takes the new ones")

        context.show(taken, readable)

    @command(calendars, "set")
    @click.argument("name")
    @click.option("--zone", required=True, help="Europe/Lisbon, for one.")
    @click.option(
        "--hours",
        multiple=True,
        required=True,
        help="mon-fri=09:00-12:00,13:00-17:00; a day that is not named is closed.",
    )
    @click.option("--closed", multiple=True, help="2026-12-25=Christmas; may be given again.")
    @click.option("--day", multiple=True, help="2026-12-24=09:00-12:00=Christmas Eve")
    def set_calendar(
        context: Context,
        name: str,
        zone: str,
        hours: Sequence[str],
        closed: Sequence[str],
        day: Sequence[str],
    ) -> None:
        """Keep a new version of a calendar; promises in force go on counting in the old one."""
        week: list[tuple[Window, ...]] = [()] * 7
        for words in hours:
            for number, windows in _hours(words):
                week[number] = windows
        special = [_closed(words) for words in closed] + [_special(words) for words in day]
        calendar = Calendar(zone=zone, week=tuple(week), days=tuple(special))
        kept = context.relay.post(segments("calendars", name), KeptCalendar, calendar)
        context.show(kept, lambda: line(f"{kept.name}  version {kept.version}"))


def _now(now: OpenNow) -> str:
    state = "open" if now.open else "closed"
    return f"{state} now" + (f", until {now.changes_at}" if now.changes_at else "")


def _show_calendar(kept: KeptCalendar) -> None:
    show_fields({"name": kept.name, "version": kept.version, "zone": kept.calendar.zone})
    for day, windows in zip(_DAYS, kept.calendar.week, strict=True):
        line(f"{day}  {_shown(windows)}")
    for special in kept.calendar.days:
        line(f"{special.day}  {_shown(special.windows)}  {special.name}")


def _shown(windows: Sequence[Window]) -> str:
    times = [f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in windows]
    return ", ".join(times) or "closed"


def _hours(words: str) -> list[tuple[int, tuple[Window, ...]]]:
    """Read `mon-fri=09:00-12:00,13:00-17:00`."""
    names, _, times = words.partition("=")
    first, _, last = names.strip().lower().partition("-")
    if first not in _DAYS or (last or first) not in _DAYS or not times:
        raise UsageError("usage", f"{words[:60]!r} is not such as mon-fri=09:00-17:00")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    if end < begin:
        raise UsageError("usage", f"{names[:20]!r} goes backwards; the week begins on Monday")
    windows = _windows(times)
    return [(number, windows) for number in range(begin, end + 1)]


def _windows(times: str) -> tuple[Window, ...]:
    windows = []
    for part in times.split(","):
        begin, _, end = part.strip().partition("-")
        windows.append((_minute(begin), _minute(end)))
    return tuple(windows)


def _minute(text: str) -> int:
    match = re.fullmatch("([0-9]{1,2}):([0-9]{2})", text.strip(), re.ASCII)
    minute = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or not 0 <= minute <= _MINUTES:
        raise UsageError("usage", f"{text[:20]!r} is no time of the day, such as 09:00 or 24:00")
    return minute


def _closed(words: str) -> SpecialDay:
    day, _, name = words.partition("=")
    return SpecialDay(day=day.strip(), name=name.strip() or "closed")


def _special(words: str) -> SpecialDay:
    day, _, rest = words.partition("=")
    times, _, name = rest.partition("=")
    return SpecialDay(day=day.strip(), name=name.strip() or "other hours", windows=_windows(times))


# Service policies.


def _register_policies(policies: click.Group) -> None:
    @command(policies, "list")
    @paged
    def list_policies(context: Context, limit: int, cursor: str | None) -> None:
        """List what is promised, the newest version of each."""
        page = context.relay.get("/service-policies", Page[KeptPolicy], limit=limit, cursor=cursor)
        rows = [(one.name, one.version, one.calendar) for one in page.items]
        context.show(page, lambda: show_table(("name", "version", "calendar"), rows))

    @command(policies)
    @click.argument("name")
    def show(context: Context, name: str) -> None:
        """Show what is promised for each priority."""
        kept = context.relay.get(segments("service-policies", name), KeptPolicy)
        context.show(kept, lambda: _show_policy(kept))

    @command(policies, "set")
    @click.argument("name")
    @click.option("--calendar", default="always", show_default=True)
    @click.option(
        "--target",
        multiple=True,
        required=True,
        help="urgent=30m/1h/8h: first answer, next answers, resolution; - owes nothing.",
    )
    @click.option(
        "--pause",
        multiple=True,
        default=["customer"],
        show_default=True,
        help="While it waits for this, the time to resolve stands still.",
    )
    def set_policy(
        context: Context, name: str, calendar: str, target: Sequence[str], pause: Sequence[str]
    ) -> None:
        """Promise something from now on; tickets that are there keep what they have."""
        targets = dict(_target(words) for words in target)
        policy = ServicePolicy(targets=targets, pauses=tuple(pause))
        body = {"policy": policy, "calendar": calendar}
        kept = context.relay.post(segments("service-policies", name), KeptPolicy, body)
        context.show(kept, lambda: line(f"{kept.name}  version {kept.version}"))

    @command(policies, "kind")
    @click.argument("kind", required=False)
    @click.argument("name", required=False)
    def kind_promise(context: Context, kind: str | None, name: str | None) -> None:
        """Show, or say, what is promised for a KIND of ticket (complaint), whatever its queue or
        contract promises; NAME is one of `farhand sla list`, or none.
        """
        if kind is None:
            page = context.relay.get("/kind-promises", Page[KindPromise])
        elif name is None:
            raise UsageError("usage", "name what is promised, or none")
        else:
            body = {"policy": None if name == "none" else name}
            page = context.relay.post(segments("kind-promises", kind), Page[KindPromise], body)
        rows = [(one.kind, one.policy) for one in page.items]
        context.show(page, lambda: show_table(("kind", "promised"), rows))


def _show_policy(kept: KeptPolicy) -> None:
    show_fields(
        {
            "name": kept.name,
            "version": kept.version,
            "calendar": f"{kept.calendar} {kept.calendar_version}",
            "pauses": ", ".join(kept.policy.pauses) or "never",
        }
    )
    rows = [
        (priority, *map(_duration, (one.first_response_s, one.next_response_s, one.resolution_s)))
        for priority, one in kept.policy.targets.items()
    ]
    show_table(("priority", "first answer", "next answers", "resolution"), rows)


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in reversed(_UNITS.items()):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _target(words: str) -> tuple[str, Targets]:
    """Read `urgent=30m/1h/8h`."""
    priority, _, times = words.partition("=")
    parts = [part.strip() for part in times.split("/")]
    if len(parts) != 3 or not priority:
        raise UsageError("usage", f"{words[:60]!r} is not such as urgent=30m/1h/8h")
    first, following, whole = (_seconds(part) for part in parts)
    return priority.strip(), Targets(
        first_response_s=first, next_response_s=following, resolution_s=whole
    )


def _seconds(text: str) -> int | None:
    if text == "-":
        return None
    match = re.fullmatch("([0-9]{1,6})([mhd])", text, re.ASCII)
    if match is None:
        raise UsageError("usage", f"{text[:20]!r} is no duration, such as 30m, 4h or 2d")
    return int(match[1]) * _UNITS[match[2]]
