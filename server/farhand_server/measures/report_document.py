"""A month's report as a document: the whole of it, or the part that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from farhand_server.contracts.documents import (
    Amount,
    Cell,
    Day,
    Document,
    Duration,
    Section,
    Share,
)
from farhand_server.contracts.formats import format_month
from farhand_server.measures.figures import Figures, Group, Spread
from farhand_server.measures.report_words import words_of
from farhand_server.measures.reports import MonthReport, Part, TicketLine

__all__ = ["report_document"]


def report_document(report: MonthReport, part: Part, language: str) -> Document:
    """Return a report to be written.

    Args:
        report: the month.
        part: `month` is all of it but the single time entries.
        language: one of the five.
    """
    w = words_of(language)
    if part == "tickets":
        sections = [_tickets(report, w, w["tickets"], report.tickets)]
    elif part == "time":
        sections = [_time(report, w)]
    elif part == "satisfaction":
        sections = [_satisfaction(report.figures, w), _opinions(report, w)]
    elif part == "contract":
        sections = [_contracts(report, w)]
    else:
        sections = _month(report, w)
    return Document(
        title=f"{w['report']} {format_month(report.month, language)}",
        subtitle=report.title,
        language=language,
        sections=sections,
    )


def _month(report: MonthReport, w: dict[str, str]) -> list[Section]:
    sections = [
        _figures(report, w),
        _speed(report.figures, w),
        _groups(w["by_priority"], report.by_priority, w),
        _groups(w["by_queue"], report.by_queue, w),
        _tickets(report, w, w["tickets"], report.tickets),
        _contracts(report, w),
        _opinions(report, w),
    ]
    if report.complaints:
        sections.append(_tickets(report, w, w["complaints"], report.complaints))
    return sections


def _share(value: float | None) -> Share | None:
    return None if value is None else Share(value)


def _duration(value: float | None) -> Duration | None:
    return None if value is None else Duration(value)


def _figures(report: MonthReport, w: dict[str, str]) -> Section:
    figures = report.figures
    rows: list[tuple[str, Cell]] = [
        (w["created"], figures.created),
        (w["resolved"], figures.resolved),
        (w["backlog"], figures.backlog),
        (w["reopened"], figures.reopened),
        (w["reopen_rate"], _share(figures.reopen_rate)),
        *_satisfaction(figures, w).rows,  # type: ignore[list-item]
        (w["downtime"], Duration(figures.downtime_s)),
        (w["worked"], Duration(report.active_s)),
        (w["billed"], Duration(report.billed_s)),
    ]
    return Section(w["figures"], (w["what"], w["value"]), rows)


def _satisfaction(figures: Figures, w: dict[str, str]) -> Section:
    said = figures.satisfaction
    rows: list[tuple[str, Cell]] = [
        (w["asked"], said.asked),
        (w["answered"], said.answered),
        (w["satisfied"], _share(said.rate)),
        (w["score"], said.mean),
    ]
    return Section(w["satisfaction"], (w["what"], w["value"]), rows)


def _speed(figures: Figures, w: dict[str, str]) -> Section:
    named: Sequence[tuple[str, Spread, Spread]] = (
        (w["first"], figures.first_response, figures.first_response_business),
        (w["next"], figures.next_response, figures.next_response_business),
        (w["resolution"], figures.resolution, figures.resolution_business),
    )
    rows = [
        (
            f"{name}, {how}",
            spread.count,
            _duration(spread.mean_s),
            _duration(spread.median_s),
            _duration(spread.p90_s),
        )
        for name, wall, business in named
        for how, spread in ((w["business"], business), (w["wall"], wall))
    ]
    columns = (w["what"], w["count"], w["mean"], w["median"], w["p90"])
    return Section(w["how_long"], columns, rows)


def _groups(title: str, groups: Sequence[Group], w: dict[str, str]) -> Section:
    rows = [
        (
            group.name,
            group.figures.created,
            group.figures.resolved,
            group.figures.backlog,
            _duration(group.figures.first_response_business.median_s),
            _duration(group.figures.resolution_business.median_s),
            _share(group.figures.reopen_rate),
            _share(group.figures.satisfaction.rate),
            group.figures.satisfaction.answered,
        )
        for group in groups
    ]
    columns = (
        w["name"], w["created"], w["resolved"], w["backlog"], f"{w['first']} ({w['median']})",
        f"{w['resolution']} ({w['median']})", w["reopen_rate"], w["satisfied"], w["answered"],
    )  # fmt: skip
    return Section(title, columns, rows)


def _tickets(
    report: MonthReport, w: dict[str, str], title: str, lines: Sequence[TicketLine]
) -> Section:
    rows = [
        (
            one.ticket,
            one.title,
            one.kind,
            one.priority,
            w["open"] if one.open else w["done"],
            Day(one.created_at, report.zone),
            None if one.resolved_at is None else Day(one.resolved_at, report.zone),
            one.reopened,
            Duration(one.active_s),
            Duration(one.billed_s),
        )
        for one in lines
    ]
    columns = (
        w["ticket"], w["title"], w["kind"], w["priority"], w["state"], w["created"], w["resolved"],
        w["reopened"], w["worked"], w["billed"],
    )  # fmt: skip
    return Section(title, columns, rows)


def _time(report: MonthReport, w: dict[str, str]) -> Section:
    rows = [
        (
            Day(one.ended_at, report.zone),
            one.ticket,
            one.title,
            one.account,
            one.activity,
            one.note,
            one.contract,
            Duration(one.active_s),
            Duration(one.billed_s),
            Duration(one.debited_s),
            Duration(one.charged_s),
        )
        for one in report.time
    ]
    columns = (
        w["day"], w["ticket"], w["title"], w["who"], w["activity"], w["note"], w["contract"],
        w["worked"], w["billed"], w["debited"], w["charged"],
    )  # fmt: skip
    return Section(w["time"], columns, rows)


def _contracts(report: MonthReport, w: dict[str, str]) -> Section:
    rows = [
        (
            one.title or one.contract,
            Duration(one.active_s),
            Duration(one.billed_s),
            Duration(one.debited_s),
            Duration(one.charged_s),
            Amount(one.amount_minor, one.currency),
            Amount(one.fee_minor, one.currency),
            None if one.balance is None else Duration(one.balance.balance_s),
        )
        for one in report.contracts
    ]
    columns = (
        w["contract"], w["worked"], w["billed"], w["debited"], w["charged"], w["amount"], w["fee"],
        w["balance"],
    )  # fmt: skip
    return Section(w["contracts"], columns, rows)


def _opinions(report: MonthReport, w: dict[str, str]) -> Section:
    rows = [
        (Day(one.answered_at, report.zone), one.ticket, one.score, one.comment)
        for one in report.satisfaction
    ]
    return Section(w["satisfaction"], (w["day"], w["ticket"], w["score"], w["comment"]), rows)
