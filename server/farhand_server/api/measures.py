"""Routes of measures: figures, reports of a month, who is sent them, and surveys."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_protocol.errors import UsageError
from farhand_protocol.instants import parse_instant
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.area import Area
from farhand_server.api.contracts import document_response
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import (
    LIMIT_DEFAULT,
    Cursor,
    Limit,
    Page,
    decode_cursor,
    page_of,
)
from farhand_server.clock import stamp
from farhand_server.contracts.documents import as_csv, as_html
from farhand_server.desk.service import get_calendar
from farhand_server.measures.figures import Figures, Group, Grouping, figures_by, figures_of
from farhand_server.measures.reading import Scope, read_stories, read_surveys
from farhand_server.measures.report_document import report_document
from farhand_server.measures.report_mails import (
    Readers,
    get_readers,
    set_readers,
    start_mailing,
)
from farhand_server.measures.reports import MonthReport, Part, month_report
from farhand_server.measures.survey_list import SurveyLine, SurveyState, list_surveys
from farhand_server.measures.survey_rules import SurveySettings, check_settings
from farhand_server.measures.surveys import (
    MAX_COMMENT_CHARS,
    SETTING,
    Question,
    answer_survey,
    question_of,
    skip_survey,
    start_asking,
)
from farhand_server.people.organisations import get_organisation, list_organisations
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay

__all__ = ["AREA"]

_Ref = Annotated[str | None, QueryParameter(max_length=80)]
_At = Annotated[str | None, QueryParameter(max_length=40)]
_By = Annotated[Grouping | None, QueryParameter(name="by")]
_State = Annotated[SurveyState | None, QueryParameter(name="state")]
_Format = Annotated[Literal["json", "csv", "html"], QueryParameter(name="format")]
_Language = Annotated[Literal["en", "pt", "de", "ro", "ru"], QueryParameter(name="language")]
_DEFAULT_DAYS = 30
_MOST_DAYS = 366


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a time, and of its parts."""

    begin: str
    end: str
    figures: Figures
    groups: list[Group]


class Vote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer: 1 (not at all) to 5 (very), and words."""

    score: Annotated[int, msgspec.Meta(ge=1, le=5)]
    comment: Annotated[str, msgspec.Meta(max_length=MAX_COMMENT_CHARS)] = ""


class Skipping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why nobody is to be asked."""

    reason: Annotated[str, msgspec.Meta(max_length=400)]


def _time(relay: Relay, since: str | None, until: str | None) -> tuple[datetime, datetime]:
    end = relay.now() if until is None else parse_instant(until)
    begin = end - timedelta(days=_DEFAULT_DAYS) if since is None else parse_instant(since)
    if not begin < end or end - begin > timedelta(days=_MOST_DAYS):
        raise UsageError("invalid", f"a time ends after it begins, and within {_MOST_DAYS} days")
    return begin, end


class ReportController(Controller):
    """What was, in figures; the same ones on the screen, in files and in mails."""

    path = "/reports"

    @get("/figures", action="report.read")
    async def figures(
        self,
        relay: FromRelay,
        since: _At = None,
        until: _At = None,
        by: _By = None,
        organisation: _Ref = None,
    ) -> Measured:
        """Return the figures of a time, the last 30 days without one."""
        begin, end = _time(relay, since, until)
        async with relay.db.read() as c:
            whose = None
            if organisation is not None:
                whose = (await get_organisation(c, relay.tenant, organisation)).id
            scope = Scope(begin=begin, end=end, organisation=whose)
            stories = await read_stories(c, relay.tenant, scope)
            surveys = await read_surveys(c, relay.tenant, scope)
            names = {}
            if by == "organisation":
                its = await list_organisations(c, relay.tenant, limit=10_000)
                names = {one.id: one.name for one in its}
        now = relay.now()
        whole = await asyncio.to_thread(figures_of, stories, surveys, begin=begin, end=end, now=now)
        groups: list[Group] = []
        if by is not None:
            groups = await asyncio.to_thread(
                figures_by,
                stories,
                surveys,
                begin=begin,
                end=end,
                grouping=by,
                names=names,
                now=now,
            )
        return Measured(begin=stamp(begin), end=stamp(end), figures=whole, groups=groups)

    @get("/{part:str}/{month:str}", action="report.read")
    async def month(
        self,
        relay: FromRelay,
        part: FromPath[str],
        month: FromPath[str],
        organisation: _Ref = None,
        form: _Format = "json",
        language: _Language = "en",
    ) -> Response[MonthReport] | Response[str]:
        """Return the report of a month, of one organisation or of the desk."""
        wanted = _part(part)
        async with relay.db.read() as c:
            report = await month_report(c, relay, month=month, organisation=organisation)
        if form == "json":
            return Response(report)
        text = await asyncio.to_thread(_written, report, wanted, language, form)
        return document_response(text, form, f"{wanted}-{report.month}")

    @get("/readers/of/{organisation:str}", action="report.read")
    async def readers(self, relay: FromRelay, organisation: FromPath[str]) -> Readers:
        """Return who is sent the report of an organisation."""
        async with relay.db.read() as c:
            return await get_readers(c, relay, organisation)

    @post("/readers/of/{organisation:str}", action="report.write", status_code=200)
    async def set_readers(
        self,
        relay: FromRelay,
        actor: FromActor,
        organisation: FromPath[str],
        data: JSONBody[Readers],
    ) -> Readers:
        """Set who is sent the report of an organisation."""
        async with relay.db.write() as c:
            return await set_readers(
                c, relay, organisation=organisation, readers=data, actor=actor.name
            )


def _written(report: MonthReport, part: Part, language: str, form: str) -> str:
    document = report_document(report, part, language)
    return as_html(document) if form == "html" else as_csv(document)


def _part(text: str) -> Part:
    try:
        part: Part = msgspec.convert(text, Part)
    except msgspec.ValidationError as error:
        raise UsageError("invalid", f"a report has no part {text[:40]!r}") from error
    return part


class SurveyController(Controller):
    """What people are asked, and when."""

    path = "/surveys"

    @get("/", action="report.read")
    async def surveys(
        self,
        relay: FromRelay,
        actor: FromActor,
        wanted: _State = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[SurveyLine]:
        """List surveys: who is asked, who was not and why, what was answered."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            lines = await list_surveys(
                c,
                relay.tenant,
                sight=sight_of(actor, "report.read"),
                state=wanted,
                before=None if after is None else after[0],
                limit=limit + 1,
            )
        return page_of(lines, limit, lambda line: line, lambda line: (line.seq,))

    @get("/settings", action="report.read")
    async def settings(self, relay: FromRelay) -> SurveySettings:
        """Return what is set."""
        async with relay.db.read() as c:
            return await get_setting(
                c, relay.tenant, SETTING, SurveySettings, default=SurveySettings()
            )

    @post("/settings", action="report.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[SurveySettings]
    ) -> SurveySettings:
        """Set it."""
        check_settings(data)
        async with relay.db.write() as c:
            if data.calendar is not None:
                await get_calendar(c, relay.tenant, data.calendar)
            await set_setting(c, relay, SETTING, data, actor.name)
        return data


@post("/tickets/{ticket:str}/survey/skip", action="survey.skip", status_code=204)
async def skip(
    relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[Skipping]
) -> None:
    """Ask nobody about a ticket."""
    async with relay.db.write() as c:
        await skip_survey(
            c,
            relay,
            ref=ticket,
            reason=data.reason,
            actor=actor.name,
            sight=sight_of(actor, "survey.skip"),
        )


class VoteController(Controller):
    """What a survey's link opens: shown by GET, which changes nothing, answered by POST."""

    path = "/csat/{token:str}"

    @get("/", action=PUBLIC)
    async def show(self, relay: FromRelay, token: FromPath[str]) -> Question:
        """Return what is asked."""
        async with relay.db.read() as c:
            return await question_of(c, relay, token)

    @post("/", action=PUBLIC, status_code=200)
    async def vote(self, relay: FromRelay, token: FromPath[str], data: JSONBody[Vote]) -> Question:
        """Answer, once."""
        async with relay.db.write() as c:
            return await answer_survey(
                c, relay, token=token, score=data.score, comment=data.comment
            )


async def _start(relay: Relay) -> None:
    await start_asking(relay)
    await start_mailing(relay)


AREA = Area(
    name="measures",
    controllers=[ReportController, SurveyController, VoteController, skip],
    statuses={
        "report-too-large": 409,
        "survey-answered": 409,
        "survey-none": 409,
        "survey-over": 410,
    },
    start=_start,
)
