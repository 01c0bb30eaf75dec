"""Surveys on both stores: who is asked and who is not, links that work once, low scores."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.contracts.documents import as_csv, as_html
from farhand_server.desk.calendars import ALWAYS, Calendar
from farhand_server.desk.moves import mark_spam, reopen, resolve
from farhand_server.desk.tickets import Intake, create_ticket
from farhand_server.heeders import heed_now
from farhand_server.measures.report_document import report_document
from farhand_server.measures.reports import PARTS, MonthReport
from farhand_server.measures.survey_rules import SurveySettings, due_at, why_not
from farhand_server.measures.surveys import skip_survey, sweep_surveys
from farhand_server.outbox.items import list_items
from farhand_server.people.people import PersonTerms, add_address, create_person
from farhand_server.relay import Relay
from farhand_server.store.schema import csat, ticket_events, ticket_messages, tickets
from farhand_server.store.schema.mail import mails
from tests.server.relays import ManualClock, SignIn

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = 86_400
OFFICE = Calendar(zone="UTC", week=(((540, 1020),),) * 5 + ((), ()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"resolved_by": "relay"}, "not-by-a-person"),
        ({"resolved_by": "rule:close"}, "not-by-a-person"),
        ({"resolved_by": "mail"}, "not-by-a-person"),
        ({"created_by": "monitor"}, "monitoring"),
        ({"created_by": "relay"}, "monitoring"),
        ({"created_by": "relay", "kind": "walk-in"}, ""),
        ({"person_kind": None}, "nobody-to-ask"),
        ({"person_kind": "staff"}, "not-a-customer"),
        ({"person_kind": "vendor"}, "not-a-customer"),
        ({"last_asked": NOW - timedelta(days=6, hours=23)}, "asked-lately"),
        ({"last_asked": NOW - timedelta(days=7)}, ""),
    ],
)
def test_who_is_asked(change: dict[str, Any], expected: str) -> None:
    given: dict[str, Any] = {
        "resolved_by": "ann", "created_by": "eve", "kind": "incident", "person_kind": "user",
        "last_asked": None, "now": NOW,
    }  # fmt: skip
    assert why_not(SurveySettings(), **{**given, **change}) == expected
    assert why_not(SurveySettings(on=False), **given) == "off"


def test_the_delay_is_of_open_time() -> None:
    friday = datetime(2026, 11, 20, 15, tzinfo=UTC)
    settings = SurveySettings(delay_s=4 * 3600)
    assert due_at(settings, OFFICE, friday) == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert due_at(settings, ALWAYS, friday) == friday + timedelta(hours=4)
    never = Calendar(zone="UTC", week=((),) * 7)
    assert due_at(settings, never, friday) == friday + timedelta(hours=4)


class Case:
    """Eve's requests, resolved by ann."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    async def begin(self) -> None:
        async with self.relay.db.write() as c:
            eve = await create_person(
                c, self.relay, terms=PersonTerms(name="Eve", locale="ru"), actor="ada"
            )
            await add_address(
                c, self.relay, person=eve.id, kind="mail", value="eve@x.example", actor="ada"
            )
            self.eve = eve.id

    async def resolved(self, *, by: str = "ann", **more: Any) -> int:
        async with self.relay.db.write() as c:
            given: dict[str, Any] = {"title": "slow", "actor": "ann", "person": self.eve, **more}
            made = await create_ticket(c, self.relay, **given)
            await resolve(c, self.relay, ref=made.id, note="done", actor=by)
        await heed_now(self.relay)
        return made.row

    async def states(self) -> list[tuple[int, str, str]]:
        async with self.relay.db.read() as c:
            query = select(csat.c.ticket, csat.c.state, csat.c.skip_reason)
            return [tuple(row) for row in await c.execute(query.order_by(csat.c.resolve_event))]

    async def links(self) -> list[str]:
        async with self.relay.db.read() as c:
            query = select(mails.c.letter).where(mails.c.direction == "out").order_by(mails.c.id)
            letters = [msgspec.json.decode(text)["text"] for text in await c.scalars(query)]
        return [found[1] for text in letters if (found := re.search(r"/csat/([\w-]+)", text))]


@pytest.fixture
async def case(relay: Relay) -> Case:
    made = Case(relay)
    await made.begin()
    return made


async def test_one_person_is_asked_once_a_week_and_about_what_is_still_solved(
    relay: Relay, case: Case, clock: ManualClock
) -> None:
    first = await case.resolved()
    second = await case.resolved()
    by_relay = await case.resolved(by="relay")
    nobody = await case.resolved(person=None)
    again = await case.resolved()
    async with relay.db.write() as c:
        await reopen(c, relay, ref=str(again), reason="no", actor="ann")
    spam = await case.resolved()
    async with relay.db.write() as c:
        await reopen(c, relay, ref=str(spam), reason="no", actor="ann")
        await mark_spam(c, relay, ref=str(spam), reason="ads", actor="ann")
    clock.advance(DAY + 1)
    await sweep_surveys(relay)
    assert await case.states() == [
        (first, "sent", ""),
        (second, "skipped", "asked-lately"),
        (by_relay, "skipped", "not-by-a-person"),
        (nobody, "skipped", "nobody-to-ask"),
        (again, "skipped", "not-resolved"),
        (spam, "skipped", "not-resolved"),
    ]
    assert len(await case.links()) == 1
    # Resolved again later, it is another resolution.
    clock.advance(7 * DAY)
    async with relay.db.write() as c:
        await resolve(c, relay, ref=str(again), note="now", actor="ann")
    await heed_now(relay)
    clock.advance(DAY + 1)
    await sweep_surveys(relay)
    assert (await case.states())[-1] == (again, "sent", "")
    async with relay.db.read() as c:
        kept = list(await c.scalars(select(csat.c.token_sha256)))
    # Only a hash is kept.
    assert not set(await case.links()) & set(kept)


async def test_what_came_back_is_asked_about_after_its_last_resolution(
    relay: Relay, case: Case, clock: ManualClock
) -> None:
    number = await case.resolved()
    clock.advance(DAY - 600)
    async with relay.db.write() as c:
        await reopen(c, relay, ref=str(number), reason="no", actor="ann")
        await resolve(c, relay, ref=str(number), note="now", actor="ann")
    await heed_now(relay)
    clock.advance(601)
    await sweep_surveys(relay)
    assert await case.states() == [(number, "skipped", "not-resolved"), (number, "planned", "")]
    clock.advance(DAY)
    await sweep_surveys(relay)
    assert (await case.states())[1] == (number, "sent", "")


async def test_nobody_is_asked_where_a_person_said_so_at_once(
    relay: Relay, case: Case, clock: ManualClock
) -> None:
    async with relay.db.write() as c:
        made = await create_ticket(c, relay, title="slow", actor="ann", person=case.eve)
        await resolve(c, relay, ref=made.id, note="done", actor="ann")
    # Nobody has heeded the resolution yet.
    async with relay.db.write() as c:
        await skip_survey(c, relay, ref=made.id, reason="spoke to her", actor="ann")
    await heed_now(relay)
    clock.advance(DAY + 1)
    await sweep_surveys(relay)
    assert await case.states() == [(made.row, "skipped", "ann: spoke to her")]
    assert not await case.links()


async def test_a_low_score_is_told_to_the_desk_and_a_link_ends(
    relay: Relay, case: Case, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    number = await case.resolved(title="<b>visit www.evil.example/x</b>")
    clock.advance(DAY + 1)
    await sweep_surveys(relay)
    (token,) = await case.links()
    admin = await sign_in("admin")
    heard = {"name": "chat", "url": "https://example.org/x", "events": ["ticket.csat-low"]}
    assert (await web.post("/api/v1/webhooks", headers=admin, json=heard)).status_code == 201
    note = {"do": "note", "field": "", "value": "Call her."}
    rule = {"name": "low", "event": "ticket.csat-low", "actions": [note], "conditions": []}
    assert (await web.post("/api/v1/rules", headers=admin, json=rule)).status_code == 201
    page = f"/api/v1/csat/{token}"
    for body in ({"score": 0}, {"score": 6}, {"score": 1, "comment": "x" * 2001}, {}):
        assert (await web.post(page, json=body)).status_code == 422
    assert (await web.post(page[:-1] + "_", json={"score": 1})).json()["code"] == "not-found"
    shown = (await web.get(page)).json()
    # Nothing that somebody else may have written becomes a link.
    assert (shown["ticket"], shown["title"], shown["language"]) == ("FH-1", "", "ru")
    said = await web.post(page, json={"score": 2, "comment": "\x1bslow"})
    assert said.status_code == 422
    assert (await web.post(page, json={"score": 2, "comment": "slow"})).status_code == 200
    async with relay.db.read() as c:
        notes = select(ticket_messages.c.body).where(
            ticket_messages.c.ticket == number, ticket_messages.c.author == "relay"
        )
        assert list(await c.scalars(notes)) == ["Satisfaction: 2 of 5.\n\nslow"]
        events = select(ticket_events.c.detail).where(ticket_events.c.kind == "csat-low")
        assert '"score": 2' in str(await c.scalar(events))
    await heed_now(relay)
    async with relay.db.read() as c:
        assert len(await list_items(c, relay.tenant, kind="webhook")) == 1
        acted = select(ticket_messages.c.body).where(ticket_messages.c.author == "rule:low")
        assert list(await c.scalars(acted)) == ["Call her."]
    clock.advance(30 * DAY + 1)
    assert (await web.post(page, json={"score": 5})).json()["code"] == "survey-over"
    # Nobody is asked where a person says so.
    ann = await sign_in("technician", name="ann")
    other = await case.resolved()
    skip = f"/api/v1/tickets/{other}/survey/skip"
    assert (await web.post(skip, json={"reason": "spoke to her"}, headers=ann)).status_code == 204
    again = await web.post(skip, json={"reason": "x"}, headers=ann)
    assert again.json()["code"] == "survey-none"
    assert (await case.states())[-1] == (other, "skipped", "ann: spoke to her")


async def test_settings_and_figures_over_http(
    relay: Relay, case: Case, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")

    async def post(path: str, body: Any, who: dict[str, str]) -> Any:
        return (await web.post(f"/api/v1{path}", json=body, headers=who)).json()

    assert (await post("/surveys/settings", {"on": False}, ann))["code"] == "not-permitted"
    assert (await post("/surveys/settings", {"delay_s": -1}, admin))["code"] == "invalid"
    assert (await post("/surveys/settings", {"calendar": "no"}, admin))["code"] == "not-found"
    assert (await post("/surveys/settings", {"on": False}, admin))["on"] is False
    await case.resolved()
    assert [reason for _, _, reason in await case.states()] == ["off"]
    async with relay.db.write() as c:
        made = await create_ticket(c, relay, title="secret", actor="ann", person=case.eve)
        where = tickets.c.number == made.row
        await c.execute(update(tickets).where(where).values(security=True, kind="complaint"))

    async def get(path: str, **query: str) -> Any:
        answer = await web.get(f"/api/v1{path}", headers=ann, params=query)
        return answer.json()

    found = await get("/reports/figures", by="queue", until="2026-11-22T12:00:01Z")
    assert (found["figures"]["created"], found["figures"]["backlog"]) == (2, 1)
    assert [one["name"] for one in found["groups"]] == ["desk"]
    assert (await get("/reports/figures", by="owner"))["code"] == "invalid"
    wrong = await get("/reports/figures", since="2026-11-23T00:00:00Z")
    assert wrong["code"] == "invalid"
    # What is for few stands in no report, but is counted.
    month = await get("/reports/month/2026-11")
    assert [(one["title"], one["kind"]) for one in month["complaints"]] == [("", "complaint")]
    assert "secret" not in str(month)
    for path in ("/reports/month/2026-13", "/reports/nothing/2026-11"):
        assert (await get(path))["code"] == "invalid"
    assert (await get("/reports/month/2026-11", organisation="none"))["code"] == "not-found"
    report = msgspec.convert(month, MonthReport)
    titles = set()
    for language in ("en", "pt", "de", "ro", "ru"):
        for part in PARTS:
            document = report_document(report, part, language)
            assert "secret" not in as_html(document) + as_csv(document)
        titles.add(document.title)
    assert len(titles) == 5
    page = await web.get("/api/v1/reports/month/2026-11?format=html&language=ru", headers=ann)
    assert "ноябрь 2026" in page.text
    readers = {"addresses": ["Boss@Acme.example", "no address"]}
    assert (await post("/reports/readers/of/acme", readers, admin))["code"] == "not-found"


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_why_nobody_was_asked_is_shown_to_who_sees_the_ticket(
    relay: Relay, case: Case, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    ann, bob = [await sign_in("technician", name=name) for name in ("ann", "bob")]
    number = await case.resolved(by="relay")
    guarded = await case.resolved(by="relay", intake=Intake(security=True))
    async with relay.db.write() as c:
        await resolve(c, relay, ref=(await _another(c, case)), note="done", actor="ann")
        await skip_survey(c, relay, ref="3", reason="spoke to her", actor="ann")
    shown = (await web.get(f"/api/v1/tickets/{number}", headers=ann)).json()
    (survey,) = shown["surveys"]
    assert (survey["state"], survey["skipped"]) == ("skipped", "no person resolved it")
    listed: dict[str, str | int] = {"state": "skipped", "limit": 2}
    page = (await web.get("/api/v1/surveys", headers=ann, params=listed)).json()
    assert [(one["ticket"], one["skipped"]) for one in page["items"]] == [
        ("FH-3", "ann: spoke to her"),
        (f"FH-{guarded}", "no person resolved it"),
    ]
    more = {**listed, "cursor": page["next"]}
    rest = (await web.get("/api/v1/surveys", headers=ann, params=more)).json()
    assert ([one["ticket"] for one in rest["items"]], rest["next"]) == ([f"FH-{number}"], None)
    his = (await web.get("/api/v1/surveys", headers=bob)).json()["items"]
    assert [one["ticket"] for one in his] == ["FH-3", f"FH-{number}"]
    mia = await sign_in("requester", name="mia")
    assert (await web.get("/api/v1/surveys", headers=mia)).status_code == 403


async def _another(c: AsyncConnection, case: Case) -> str:
    made = await create_ticket(c, case.relay, title="slow", actor="ann", person=case.eve)
    return made.id
