"""report and survey: a month in figures, who is sent it, and who is asked how it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.contract import LANGUAGES, money, write_file
from farhand_console.cli.durations import hours, read_hours
from farhand_console.output import line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.measures import (
    Figures,
    Group,
    Measured,
    MonthReport,
    Readers,
    SurveyLine,
    SurveySettings,
    TicketLine,
)
from farhand_protocol.errors import UsageError

__all__ = ["register"]

_GROUPINGS: Final = ("queue", "tier", "priority", "contract", "organisation")
_SURVEY_STATES: Final = ("planned", "sent", "answered", "skipped")
_PARTS: Final = {
    "month": "All of a month: figures, requests, contracts, satisfaction, complaints.",
    "tickets": "The requests of a month.",
    "time": "Each piece of work of a month.",
    "satisfaction": "What people said in a month, and how many.",
    "contract": "What contracts came to in a month.",
}


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    reports = group(root, "report", "A month in figures; the same that is sent by mail.")
    for part, words in _PARTS.items():
        _register_part(reports, part, words)
    _register_figures(reports)
    _register_readers(reports)
    _register_surveys(group(root, "survey", "Who is asked how content she was."))


def _register_part(reports: click.Group, part: str, words: str) -> None:
    @click.option("--month", required=True, help="2026-11")
    @click.option("--organisation", help="Of this one; of the whole desk without it.")
    @click.option("--format", "form", type=click.Choice(["csv", "html"]), help="A file.")
    @click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="stdout without")
    def show(
        context: Context,
        month: str,
        organisation: str | None,
        form: str | None,
        language: str,
        out: Path | None,
    ) -> None:
        path = segments("reports", part, month)
        if form is not None:
            query = {"format": form, "language": language}
            if organisation is not None:
                query["organisation"] = organisation
            data = context.relay.get_bytes(f"{path}?{urlencode(query)}")
            write_file(context, data, out)
            return
        report = context.relay.get(path, MonthReport, wait_s=60.0, organisation=organisation)
        context.show(report, lambda: _SHOWN[part](report))

    show.__doc__ = words
    command(reports, part)(show)


def _hours(seconds: float | None) -> str | None:
    return None if seconds is None else hours(round(seconds / 60) * 60)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share * 100:.1f} %"


def _show_figures(figures: Figures) -> None:
    said = figures.satisfaction
    show_fields(
        {
            "came": figures.created,
            "resolved": figures.resolved,
            "open at the end": figures.backlog,
            "came back": f"{figures.reopened} ({_percent(figures.reopen_rate) or '-'})",
            "satisfied": f"{_percent(said.rate) or '-'} of {said.answered} answers, "
            f"{said.asked} asked",
            "downtime": hours(figures.downtime_s),
        }
    )
    rows = [
        (name, how, one.count, _hours(one.mean_s), _hours(one.median_s), _hours(one.p90_s))
        for name, how, one in (
            ("first answer", "business", figures.first_response_business),
            ("first answer", "wall", figures.first_response),
            ("later answers", "business", figures.next_response_business),
            ("later answers", "wall", figures.next_response),
            ("resolution", "business", figures.resolution_business),
            ("resolution", "wall", figures.resolution),
        )
    ]
    show_table(("what", "time", "count", "mean", "median", "p90"), rows)


def _show_groups(name: str, groups: Sequence[Group]) -> None:
    rows = [
        (
            one.name or "-",
            one.figures.created,
            one.figures.resolved,
            one.figures.backlog,
            _hours(one.figures.first_response_business.median_s),
            _hours(one.figures.resolution_business.median_s),
            _percent(one.figures.reopen_rate),
            _percent(one.figures.satisfaction.rate),
            one.figures.satisfaction.answered,
        )
        for one in groups
    ]
    names = (name, "came", "resolved", "open", "first answer", "resolution", "came back")
    show_table((*names, "satisfied", "answers"), rows)


def _show_lines(lines: Sequence[TicketLine]) -> None:
    rows = [
        (one.ticket, one.kind, one.priority, "open" if one.open else "done", one.created_at[:10],
         hours(one.active_s), hours(one.billed_s), one.title[:60])
        for one in lines
    ]  # fmt: skip
    show_table(("ticket", "kind", "priority", "state", "came", "worked", "billed", "title"), rows)


def _show_month(report: MonthReport) -> None:
    line(f"{report.title}  {report.month}")
    _show_figures(report.figures)
    show_fields({"worked": hours(report.active_s), "billed": hours(report.billed_s)})
    _show_groups("priority", report.by_priority)
    _show_contracts(report)
    if report.complaints:
        line("complaints")
        _show_lines(report.complaints)


def _show_time(report: MonthReport) -> None:
    rows = [
        (one.ended_at[:10], one.ticket, one.account, hours(one.active_s), hours(one.billed_s),
         one.contract, one.activity, one.note[:60])
        for one in report.time
    ]  # fmt: skip
    names = ("day", "ticket", "who", "worked", "billed", "contract", "activity", "note")
    show_table(names, rows)
    show_fields({"worked": hours(report.active_s), "billed": hours(report.billed_s)})


def _show_satisfaction(report: MonthReport) -> None:
    said = report.figures.satisfaction
    show_fields(
        {
            "asked": said.asked,
            "answered": said.answered,
            "satisfied": _percent(said.rate),
            "mean": None if said.mean is None else f"{said.mean:.1f}",
        }
    )
    rows = [
        (one.answered_at[:10], one.ticket, one.score, one.comment[:200])
        for one in report.satisfaction
    ]
    show_table(("day", "ticket", "score", "comment"), rows)


def _show_contracts(report: MonthReport) -> None:
    rows = [
        (one.contract, one.kind, hours(one.active_s), hours(one.billed_s), hours(one.debited_s),
         money(one.amount_minor, one.currency), money(one.fee_minor, one.currency),
         None if one.balance is None else hours(one.balance.balance_s))
        for one in report.contracts
    ]  # fmt: skip
    names = ("contract", "kind", "worked", "billed", "from balance", "amount", "fee", "left")
    show_table(names, rows)


_SHOWN: Final[dict[str, Callable[[MonthReport], None]]] = {
    "month": _show_month,
    "tickets": lambda report: _show_lines(report.tickets),
    "time": _show_time,
    "satisfaction": _show_satisfaction,
    "contract": _show_contracts,
}


def _register_figures(reports: click.Group) -> None:
    @command(reports)
    @click.option("--since", help="RFC 3339; 30 days ago without it.")
    @click.option("--until", help="RFC 3339; now without it.")
    @click.option("--by", type=click.Choice(_GROUPINGS), help="Of each of these as well.")
    @click.option("--organisation")
    def figures(context: Context, /, **given: Any) -> None:
        """Show the figures of any time: speed beside what came back and how content people were."""
        found = context.relay.get("/reports/figures", Measured, wait_s=60.0, **given)

        def readable() -> None:
            _show_figures(found.figures)
            if given["by"]:
                _show_groups(given["by"], found.groups)

        context.show(found, readable)


def _register_readers(reports: click.Group) -> None:
    @command(reports)
    @click.argument("organisation")
    @click.option("--to", "addresses", multiple=True, help="An address; may be given again.")
    @click.option("--nobody", is_flag=True, help="Send it to nobody any more.")
    @click.option("--language", type=click.Choice(LANGUAGES), help="The organisation's without it.")
    def readers(
        context: Context,
        organisation: str,
        addresses: tuple[str, ...],
        nobody: bool,
        language: str | None,
    ) -> None:
        """Show or set who is sent the report on the first of a month."""
        path = segments("reports", "readers", "of", organisation)
        if addresses and nobody:
            raise UsageError("usage", "give either --to or --nobody")
        if addresses or nobody:
            body = {"addresses": list(addresses), "language": language or ""}
            found = context.relay.post(path, Readers, body)
        else:
            found = context.relay.get(path, Readers)
        context.show(found, lambda: show_table(("reader",), [(one,) for one in found.addresses]))


def _register_surveys(surveys: click.Group) -> None:
    @command(surveys, "list")
    @click.option("--state", type=click.Choice(_SURVEY_STATES), help="Only these.")
    @paged
    def list_surveys(context: Context, state: str | None, limit: int, cursor: str | None) -> None:
        """List surveys, the newest first: who was not asked and why, what was answered."""
        page = context.relay.get(
            "/surveys", Page[SurveyLine], state=state, cursor=cursor, limit=limit
        )
        rows = [
            (one.ticket, one.state, one.score, (one.sent_at or "")[:10],
             one.skipped or one.comment[:80])
            for one in page.items
        ]  # fmt: skip
        names = ("ticket", "state", "score", "asked", "why not, or words")
        context.show(page, lambda: show_table(names, rows))

    @command(surveys)
    @click.option("--on/--off", "on", default=None, help="Whether anybody is asked.")
    @click.option("--delay", help="Hours of service between resolution and question: 24.")
    @click.option("--calendar", help="In which hours that is counted; none for around the clock.")
    @click.option("--every-days", type=click.IntRange(1, 365), help="A person at most so often.")
    def settings(
        context: Context,
        on: bool | None,
        delay: str | None,
        calendar: str | None,
        every_days: int | None,
    ) -> None:
        """Show or set when people are asked how content they were."""
        found = context.relay.get("/surveys/settings", SurveySettings)
        changes: dict[str, object] = {"on": on, "every_days": every_days}
        if delay is not None:
            changes["delay_s"] = read_hours(delay)
        changes = {name: value for name, value in changes.items() if value is not None}
        if calendar is not None:
            changes["calendar"] = None if calendar == "none" else calendar
        if changes:
            wish = msgspec.structs.replace(found, **changes)
            found = context.relay.post("/surveys/settings", SurveySettings, wish)
        shown = {
            "on": "yes" if found.on else "no",
            "delay": hours(found.delay_s),
            "calendar": found.calendar or "around the clock",
            "every days": found.every_days,
        }
        context.show(found, lambda: show_fields(shown))

    @command(surveys)
    @click.argument("ticket")
    @click.option("--reason", required=True)
    def skip(context: Context, ticket: str, reason: str) -> None:
        """Ask nobody about a ticket, and say why."""
        path = segments("tickets", ticket, "survey", "skip")
        context.relay.post(path, type(None), {"reason": reason})
        context.show({"ticket": ticket, "skipped": True}, lambda: say(f"nobody is asked: {ticket}"))
