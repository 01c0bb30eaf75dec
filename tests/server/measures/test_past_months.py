"""A month that is over: its groups are those of then, and what was worked on is listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from farhand_server.contracts.contracts import set_contract
from farhand_server.contracts.documents import as_csv, as_html
from farhand_server.contracts.terms import Terms
from farhand_server.desk.tickets import Intake, create_ticket
from farhand_server.heeders import heed_now
from farhand_server.measures.earlier import Standing, standing_then
from farhand_server.measures.report_document import report_document
from farhand_server.measures.reports import month_report
from farhand_server.people.organisations import OrganisationTerms, create_organisation
from farhand_server.relay import Relay
from tests.server.relays import ManualClock, SignIn

TODAY = Standing(kind="request", queue="sales", tier=3, priority="low", contract="gold")


@pytest.mark.parametrize(
    ("later", "then"),
    [
        ([], TODAY),
        ([("escalated", {"from": 2, "to": 3})], TODAY._replace(tier=2)),
        (
            [("escalated", {"from": 2, "to": 3}), ("escalated", {"from": 1, "to": 2})],
            TODAY._replace(tier=1),
        ),
        (
            [("changed", {"queue": {"from": "desk", "to": "sales"}, "title": {"from": "a"}})],
            TODAY._replace(queue="desk"),
        ),
        (
            [
                ("contract", {"from": "block", "to": "gold"}),
                ("changed", {"contract": {"from": None, "to": "block"}}),
            ],
            TODAY._replace(contract=None),
        ),
        (
            [("changed", {"kind": {"from": "complaint"}, "priority": {"from": "high"}})],
            TODAY._replace(kind="complaint", priority="high"),
        ),
    ],
)
def test_what_was_changed_later_is_taken_back(later: list[Any], then: Standing) -> None:
    assert standing_then(TODAY, later) == then


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_month_that_is_over_stays_as_it_was(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    clock.advance((datetime(2026, 11, 10, tzinfo=UTC) - clock.now()).total_seconds())
    boss = await sign_in("admin", name="boss")

    async def post(path: str, body: dict[str, Any]) -> Any:
        answer = await web.post(f"/api/v1/{path}", headers=boss, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async with relay.db.write() as c:
        acme = await create_organisation(
            c, relay, name="acme", terms=OrganisationTerms(), actor="boss"
        )
        terms = Terms(kind="tm", organisation=acme.id, services=("repair",))
        await set_contract(c, relay, name="repairs", terms=terms, actor="boss")
        await create_ticket(
            c,
            relay,
            title="long solved",
            actor="boss",
            organisation=acme.id,
            intake=Intake(category="repair"),
        )
    await post("queues/sales", {})
    await heed_now(relay)
    await post("tickets/1/resolve", {"note": "done"})
    clock.advance(30 * 86_400)  # December
    boss = await sign_in("admin", name="boss")
    await post("tickets/1/time-entries", {"active_s": 900, "note": "the invoice asked for it"})
    await post("tickets", {"title": "angry", "kind": "complaint"})
    clock.advance(30 * 86_400)  # January
    boss = await sign_in("admin", name="boss")
    december = await _december(relay)
    assert [(one.ticket, one.active_s) for one in december.tickets] == [("FH-1", 900), ("FH-2", 0)]
    assert sum(one.active_s for one in december.tickets) == december.active_s
    assert december.figures.resolved == 0
    for form in (as_csv, as_html):
        assert "FH-1" in form(report_document(december, "tickets", "en"))
    # What becomes of them in January is January's.
    await post("tickets/2/escalate", {"reason": "hard", "handover": "all of it"})
    for number in (1, 2):
        await post(f"tickets/{number}/details", {"queue": "sales", "kind": "request"})
    await post("tickets/1/details", {"category": ""})
    await post("tickets/2/contract", {"contract": "repairs"})
    await heed_now(relay)
    assert await _december(relay) == december
    assert [group.name for group in december.by_queue] == ["desk"]
    until = (clock.now() + timedelta(days=1)).isoformat()
    for by, then, now in (
        ("queue", ["desk"], ["sales"]),
        ("tier", ["1"], ["1", "2"]),
        ("contract", ["", "repairs"], ["", "repairs"]),
    ):
        for end, names in (("2027-01-01T00:00:00Z", then), (until, now)):
            query = {"by": by, "since": "2026-12-01T00:00:00Z", "until": end}
            answer = await web.get("/api/v1/reports/figures", headers=boss, params=query)
            assert [one["name"] for one in answer.json()["groups"]] == names, (by, end)


async def _december(relay: Relay) -> Any:
    async with relay.db.read() as c:
        return await month_report(c, relay, month="2026-12")
