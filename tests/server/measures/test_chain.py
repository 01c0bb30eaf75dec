"""One request all the way: mail, session, note, contract, resolution, survey, report.

The minutes that were worked are the same wherever they are shown.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import httpx
import msgspec
from sqlalchemy import select

from farhand_server.contracts.contracts import set_contract
from farhand_server.contracts.terms import Terms
from farhand_server.heeders import heed_now
from farhand_server.measures.report_mails import Readers, set_readers, sweep_reports
from farhand_server.measures.surveys import sweep_surveys
from farhand_server.people.blobs import read_blob
from farhand_server.people.organisations import OrganisationTerms, create_organisation
from farhand_server.people.people import PersonTerms, add_address, create_person
from farhand_server.relay import Relay
from farhand_server.sessions import rows
from farhand_server.store.schema import tickets
from farhand_server.store.schema.mail import mails
from tests.server.mail.desk_mail import EVE, arrive, letter, open_mailbox
from tests.server.relays import ManualClock, SignIn

DAY = 86_400
WORKED_S = 25 * 60
SESSION = "s-aaaaaaaaaaaaaaaa"


async def _prepare(relay: Relay) -> None:
    """A customer with a block of hours, whose reports go to her boss."""
    async with relay.db.write() as c:
        terms = OrganisationTerms(title="Acme", zone="Europe/Berlin", locale="de")
        acme = await create_organisation(c, relay, name="acme", terms=terms, actor="ada")
        eve = await create_person(
            c, relay, terms=PersonTerms(name="Eve", organisation="acme"), actor="ada"
        )
        await add_address(
            c, relay, person=eve.id, kind="mail", value=EVE, actor="ada", is_verified=True
        )
        block = Terms(
            kind="block", organisation=acme.id, title="Gold", zone="Europe/Berlin",
            starts="2026-01-01", grant_s=36_000, step_s=60, rate_minor=9000, overage="bill",
        )  # fmt: skip
        await set_contract(c, relay, name="gold", terms=block, actor="ada")
        readers = Readers(addresses=["boss@acme.example"], language="en")
        await set_readers(c, relay, organisation="acme", readers=readers, actor="ada")


async def _hold_session(
    relay: Relay, web: httpx.AsyncClient, ann: dict[str, str], number: int, clock: ManualClock
) -> dict[str, Any]:
    """Ann works on the device for as long as its session counts."""
    async with relay.db.write() as c:
        await rows.create(
            c, relay, event="offered", session=SESSION, device="d-laptop", guest=False,
            ticket=number, external_key=None, operator="ann", reason="", scopes=["view"],
        )  # fmt: skip
        await rows.move(c, relay, SESSION, "active", started_at=relay.stamp())
    clock.advance(WORKED_S + 100)
    answer = await web.post(
        f"/api/v1/sessions/{SESSION}/end",
        json={"note": "cleaned the fan", "active_s": WORKED_S},
        headers=ann,
    )
    assert answer.status_code == 200, answer.text
    ended: dict[str, Any] = answer.json()
    return ended


async def _letters(relay: Relay, *, to: str) -> list[dict[str, Any]]:
    query = select(mails.c.letter).where(mails.c.direction == "out").order_by(mails.c.id)
    async with relay.db.read() as c:
        found = [msgspec.json.decode(text) for text in await c.scalars(query)]
    return [one for one in found if to in one["to"]]


async def test_the_same_minutes_everywhere(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    await _prepare(relay)
    await open_mailbox(relay)
    assert await arrive(relay, letter("My laptop is slow.", subject="Slow laptop")) is not None
    await heed_now(relay)
    async with relay.db.read() as c:
        number = await c.scalar(select(tickets.c.number))
    assert number is not None
    path = f"/api/v1/tickets/{number}"
    ann = await sign_in("technician", name="ann")

    async def get(where: str, who: dict[str, str], **query: str) -> Any:
        answer = await web.get(where, headers=who, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.headers["content-type"].endswith("json") else answer.text

    before = await get("/api/v1/contracts/cover", ann, ticket=str(number))
    assert (before["contract"], before["balance"]["balance_s"]) == ("gold", 36_000)
    ended = await _hold_session(relay, web, ann, number, clock)
    note = {"body": "Cleaned the fan, 25 minutes.", "kind": "session"}
    assert (await web.post(f"{path}/messages", json=note, headers=ann)).status_code == 201
    assert (
        await web.post(f"{path}/resolve", json={"note": "cool again"}, headers=ann)
    ).status_code == 200
    await heed_now(relay)

    # She is asked a day later, once; opening the page is no vote.
    assert await sweep_surveys(relay) == 0
    clock.advance(DAY + 1)
    assert await sweep_surveys(relay) == 1
    assert await sweep_surveys(relay) == 0
    asked = [one for one in await _letters(relay, to=EVE) if "/csat/" in one["text"]]
    assert len(asked) == 1
    assert asked[0]["language"] == "de"
    token = re.search(r"/csat/([\w-]{43})\s", asked[0]["text"])
    assert token is not None
    page = f"/api/v1/csat/{token[1]}"
    for _ in range(2):
        assert (await get(page, {}))["score"] is None
    voted = await web.post(page, json={"score": 5, "comment": "quick"})
    assert voted.json()["score"] == 5
    assert (await web.post(page, json={"score": 1})).json()["code"] == "survey-answered"

    # Everything that shows time shows the same.
    ann = await sign_in("technician", name="ann")
    entries = (await get(f"{path}/time-entries", ann))["items"]
    assert [one["id"] for one in entries] == [ended["time_entry"]]
    charge = entries[0]["charge"]
    draft = await get("/api/v1/contracts/gold/statements/2026-11", ann)
    month = await get("/api/v1/reports/month/2026-11", ann, organisation="acme")
    balance = await get("/api/v1/contracts/gold/balance", ann)
    ledger = (await get("/api/v1/contracts/gold/ledger", ann))["items"]
    shown = await get(path, ann)
    minutes = {
        "session": ended["active_s"],
        "entry": entries[0]["active_s"],
        "ticket": shown["active_s"],
        "billed": charge["billed_s"],
        "debited": charge["debited_s"],
        "ledger": -sum(one["seconds"] for one in ledger if one["kind"] == "debit"),
        "balance": balance["used_s"],
        "customer": (await get(f"{path}/contract", ann))["shown"][0]["billed_s"],
        "statement": draft["billed_s"],
        "report": month["active_s"],
        "report's ticket": month["tickets"][0]["billed_s"],
        "report's time": month["time"][0]["active_s"],
        "report's contract": month["contracts"][0]["debited_s"],
    }
    assert minutes == dict.fromkeys(minutes, WORKED_S)
    sheet = await get("/api/v1/reports/time/2026-11", ann, organisation="acme", format="csv")
    worked = list(csv.DictReader(io.StringIO(sheet)))
    assert [one["Worked"] for one in worked] == ["25"]
    html = await get("/api/v1/reports/month/2026-11", ann, organisation="acme", format="html")
    assert "25\u00a0min" in html
    assert (month["figures"]["resolved"], month["figures"]["satisfaction"]["rate"]) == (1, 1)

    # On the first of the month, in Berlin, it goes out by mail: once, with the same numbers.
    assert await sweep_reports(relay) == 0
    clock.advance(7 * DAY + 11 * 3600)
    assert await sweep_reports(relay) == 1
    assert await sweep_reports(relay) == 0
    (sent,) = await _letters(relay, to="boss@acme.example")
    async with relay.db.read() as c:
        files = [(await read_blob(c, relay.tenant, one["sha256"])).content for one in sent["files"]]
    assert files[0].decode() == html
    assert "FH-1" in files[1].decode()
    assert "25\u00a0min" in sent["text"]
    assert "November 2026" in sent["subject"]
