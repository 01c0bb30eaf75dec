"""Contracts on both stores: what is covered, debited, warned of, refused, taken back, stated."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from farhand_protocol.errors import FarhandError
from farhand_server.contracts.assigning import assign_contract
from farhand_server.contracts.contracts import get_contract
from farhand_server.contracts.cover import Cover, check_may_begin, cover_of
from farhand_server.contracts.ledger import balance_of, list_lines, sweep_periods
from farhand_server.desk.time_entries import TimeEntry, record_time, reverse_time
from farhand_server.desk.timeline import list_events
from farhand_server.heeders import heed_now
from farhand_server.people.organisations import Organisation
from farhand_server.relay import Relay
from farhand_server.sessions.rows import resolve_ticket
from farhand_server.store.schema import organisations, tickets
from tests.server.contracts.conftest import Agree, NewTicket
from tests.server.relays import TENANT, ManualClock, SignIn

H = 3600
BLOCK: dict[str, Any] = {"kind": "block", "grant_s": 2 * H, "step_s": 900, "rate_minor": 9000}


async def work(relay: Relay, ticket: int, seconds: int, **more: Any) -> TimeEntry:
    async with relay.db.write() as c:
        return await record_time(
            c,
            relay,
            ticket=ticket,
            account="ann",
            started_at=relay.stamp(),
            ended_at=relay.stamp(),
            active_s=seconds,
            note="",
            **more,
        )


async def covered(relay: Relay, ticket: int | None) -> Cover:
    async with relay.db.read() as c:
        return await cover_of(c, relay, ticket=ticket)


async def kinds(relay: Relay, contract: str) -> list[tuple[str, str, float]]:
    async with relay.db.read() as c:
        lines = await list_lines(c, relay.tenant, contract)
    return [(one.period, one.kind, one.seconds / H) for one in lines]


async def test_an_entry_is_debited_with_itself_and_warned_of_once(
    relay: Relay, agree: Agree, new_ticket: NewTicket, clock: ManualClock
) -> None:
    await agree(**BLOCK, overage="bill", rollover_s=H)
    ticket = await new_ticket()
    before = (await covered(relay, ticket.row)).balance
    assert before is not None
    assert (before.balance_s, before.period_from, before.period_to) == (
        2 * H, "2026-11-01", "2026-12-01",
    )  # fmt: skip
    entry = await work(relay, ticket.row, 25 * 60)
    assert entry.charge is not None
    assert (entry.active_s, entry.charge.billed_s, entry.charge.debited_s) == (1500, 1800, 1800)
    assert (entry.charge.charged_s, entry.charge.amount_minor) == (0, 0)
    await work(relay, ticket.row, 75 * 60)
    over = await work(relay, ticket.row, 30 * 60)
    assert over.charge is not None
    # A quarter was left; the other one is charged.
    assert (over.charge.debited_s, over.charge.charged_s, over.charge.amount_minor) == (
        900, 900, 2250,
    )  # fmt: skip
    await work(relay, ticket.row, 60)
    async with relay.db.read() as c:
        events = await list_events(c, relay.tenant, ticket.row)
    warned = [one.detail["percent"] for one in events if one.kind == "contract-warning"]
    assert warned == [80, 100]
    free = await work(relay, ticket.row, 600, billable=False)
    assert free.charge is not None
    assert (free.charge.billed_s, free.charge.amount_minor) == (0, 0)
    assert await kinds(relay, "gold") == [
        ("2026-11-01", "grant", 2),
        ("2026-11-01", "debit", -0.5),
        ("2026-11-01", "debit", -1.25),
        ("2026-11-01", "debit", -0.25),
    ]
    clock.advance(10 * 86_400)
    await sweep_periods(relay)
    await sweep_periods(relay)
    assert (await kinds(relay, "gold"))[4:] == [("2026-12-01", "grant", 2)]
    # A new period warns anew.
    await work(relay, ticket.row, 100 * 60)
    async with relay.db.read() as c:
        events = await list_events(c, relay.tenant, ticket.row)
    assert [e.detail["percent"] for e in events if e.kind == "contract-warning"] == [80, 100, 80]


async def test_hours_that_are_used_up_refuse_a_session_and_not_what_is_under_way(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    await agree(**BLOCK, overage="deny")
    ticket = await new_ticket()
    async with relay.db.read() as c:
        await check_may_begin(c, relay, ticket=ticket.row, device=None)
    entry = await work(relay, ticket.row, 3 * H)
    async with relay.db.read() as c:
        with pytest.raises(FarhandError) as caught:
            await check_may_begin(c, relay, ticket=ticket.row, device=None)
    assert (caught.value.code, caught.value.exit_code) == ("contract-used-up", 3)
    # Every way to a session goes through this, a code and a grant alike.
    async with relay.db.write() as c:
        with pytest.raises(FarhandError, match="used up"):
            await resolve_ticket(
                c, relay, ticket=ticket.number, external_key=None, device="d-laptop", actor="ann",
                reason="",
            )  # fmt: skip
    cover = await covered(relay, ticket.row)
    assert cover.balance is not None
    assert (cover.refuses, cover.balance.balance_s) == (True, -H)
    # Taken back, all of it is there again; once.
    async with relay.db.write() as c:
        back = await reverse_time(c, relay, entry=entry.id, reason="wrong ticket", actor="ann")
    assert back.charge is not None
    assert (back.active_s, back.charge.debited_s, back.charge.reverses) == (
        -3 * H, -3 * H, entry.id,
    )  # fmt: skip
    for wrong in (entry.id, back.id):
        async with relay.db.write() as c:
            with pytest.raises(FarhandError, match=r"taken back|takes another"):
                await reverse_time(c, relay, entry=wrong, reason="again", actor="ann")
    cover = await covered(relay, ticket.row)
    assert cover.balance is not None
    assert (cover.refuses, cover.balance.balance_s, cover.balance.used_s) == (False, 2 * H, 0)


async def test_which_contract_covers_what(
    relay: Relay, agree: Agree, new_ticket: NewTicket, acme: Organisation, clock: ManualClock
) -> None:
    ticket = await new_ticket()

    async def name() -> str:
        return (await covered(relay, ticket.row)).contract

    async def change(table: Any, **values: Any) -> None:
        async with relay.db.write() as c:
            await c.execute(update(table).where(table.c.tenant == TENANT).values(**values))

    assert (await covered(relay, ticket.row)).kind == "included"
    await agree("open", kind="tm")
    assert await name() == "open"
    await agree("mail", kind="managed", services=("mail",))
    assert await name() == "open"
    await change(tickets, category="mail")
    assert await name() == "mail"
    await change(tickets, category="")
    await agree("aa-old", kind="tm", ends="2026-11-22")
    assert await name() == "open"
    await agree("shared", kind="managed", organisation=None)
    await change(organisations, contract="shared")
    assert await name() == "shared"
    async with relay.db.write() as c:
        await assign_contract(c, relay, ref=ticket.id, contract="mail", actor="ann")
    assert await name() == "mail"
    await agree("mail", kind="managed", services=("mail",), ends="2026-11-30")
    clock.advance(12 * 86_400)
    assert await name() == "shared"
    assert (await covered(relay, None)).contract == "included"


async def test_a_new_ticket_is_told_its_contract(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    await agree(**BLOCK)
    ticket = await new_ticket()
    await heed_now(relay)
    async with relay.db.read() as c:
        query = select(tickets.c.contract, tickets.c.revision)
        row = (await c.execute(query.where(tickets.c.number == ticket.row))).one()
    assert tuple(row) == ("gold", ticket.revision)


async def test_two_entries_at_once_are_both_debited_and_one_period_is_opened(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    contract = await agree(**BLOCK, overage="bill")
    ticket = await new_ticket()
    await asyncio.gather(*(work(relay, ticket.row, 1800) for _ in range(6)))
    async with relay.db.read() as c:
        balance = await balance_of(c, relay, contract)
        kept = await get_contract(c, relay.tenant, "gold")
    assert kept == contract
    assert (balance.balance_s, balance.used_s, balance.percent) == (0, 2 * H, 100)
    found = await kinds(relay, "gold")
    assert [kind for _, kind, _ in found].count("grant") == 1
    assert len(found) == 5


async def test_contracts_over_http(
    relay: Relay,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    acme: Organisation,
    new_ticket: NewTicket,
    clock: ManualClock,
) -> None:
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")
    terms = {
        "kind": "block", "organisation": "acme", "title": "Gold", "starts": "2026-01-01",
        "zone": "Europe/Berlin", "grant_s": 2 * H, "rate_minor": 9000, "step_s": 900,
        "overage": "bill",
    }  # fmt: skip

    async def post(path: str, body: Any, who: dict[str, str] = admin) -> httpx.Response:
        return await web.post(f"/api/v1{path}", json=body, headers=who)

    async def get(path: str, who: dict[str, str] = ann) -> Any:
        answer = await web.get(f"/api/v1{path}", headers=who)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert (await post("/contracts/gold", terms, ann)).status_code == 403
    made = await post("/contracts/gold", terms)
    assert made.json()["terms"]["organisation"] == acme.id
    for name, body in (("included", terms), ("Gold", terms), ("x", terms | {"step_s": 0})):
        assert (await post(f"/contracts/{name}", body)).json()["code"] == "contract-invalid"
    assert (await post("/contracts/x", terms | {"organisation": "no"})).json()["code"] == (
        "not-found"
    )
    ticket = await new_ticket(requester="mia")
    path = f"/tickets/{ticket.number}"
    entry = (await post(f"{path}/time-entries", {"active_s": 1500, "note": "cleaned"}, ann)).json()
    assert entry["charge"]["debited_s"] == 1800
    future = {"active_s": 60, "started_at": "2026-11-22T13:00:00Z"}
    assert (await post(f"{path}/time-entries", future, ann)).json()["code"] == "invalid"
    # Somebody else's time is an admin's to correct.
    bob = await sign_in("technician", name="bob")
    wish = {"reason": "too long", "right": {"active_s": 600}}
    url = f"/time-entries/{entry['id']}/reverse"
    assert (await post(url, wish, bob)).json()["code"] == "not-permitted"
    corrected = (await post(url, wish, ann)).json()
    assert corrected["right"]["charge"]["billed_s"] == 900
    assert (await post(url, wish, ann)).json()["code"] == "time-reversed"
    assert (await get("/contracts/gold/balance"))["balance_s"] == 2 * H - 900
    kinds = [one["kind"] for one in (await get("/contracts/gold/ledger"))["items"]]
    assert kinds == ["grant", "debit", "adjust", "debit"]
    given = await post("/contracts/gold/adjust", {"seconds": 3600, "reason": "bought"})
    assert given.json()["available_s"] == 3 * H
    assert (await post("/contracts/gold/adjust", {"seconds": 0, "reason": "x"})).status_code == 422
    none = await post("/contracts/included/adjust", {"seconds": 1, "reason": "x"})
    assert none.json()["code"] == "contract-no-balance"
    # The customer sees her own ticket's, and no name of who worked.
    mia = await sign_in("requester", name="mia")
    seen = await get(f"{path}/contract", mia)
    assert seen["balance"]["used_s"] == 900
    assert sorted(one["billed_s"] for one in seen["shown"]) == [-1800, 900, 1800]
    assert "ann" not in str(seen)
    zoe = await sign_in("requester", name="zoe")
    assert (await web.get(f"/api/v1{path}/contract", headers=zoe)).status_code == 404
    # Whoever only takes part, a vendor for one, sees none of it.
    who = {"name": "zoe", "part": "vendor", "can_post": True}
    assert (await post(f"{path}/participants", who)).status_code < 300
    assert (await web.get(f"/api/v1{path}/contract", headers=zoe)).status_code == 403
    # A month that is not over has a draft.
    draft = await get("/contracts/gold/statements/2026-11")
    assert (draft["id"], draft["billed_s"], len(draft["lines"])) == (None, 900, 3)
    early = await post("/contracts/gold/statements/2026-11", {})
    assert early.json()["code"] == "statement-early"
    clock.advance(9 * 86_400)
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")
    late = {"active_s": 900, "note": "=late()", "started_at": "2026-11-29T10:00:00Z"}
    made = await post("/contracts/gold/statements/2026-11", {}, admin)
    number = made.json()["id"]
    assert (await post(f"{path}/time-entries", late, ann)).status_code == 201
    again = await post("/contracts/gold/statements/2026-11", {}, admin)
    assert (again.json()["id"], len(again.json()["lines"])) == (number, 3)
    clock.advance(31 * 86_400)
    admin = await sign_in("admin")
    await post("/contracts/gold/statements/2026-12", {}, admin)
    december = await get("/contracts/gold/statements/2026-12", admin)
    assert [(one["late"], one["note"]) for one in december["lines"]] == [(True, "=late()")]
    sheet = await web.get(
        "/api/v1/contracts/gold/statements/2026-12?format=csv&language=de", headers=admin
    )
    rows = list(csv.reader(io.StringIO(sheet.text)))
    assert (rows[0], rows[1][0]) == (["Arbeit"], "Datum")
    assert rows[2][4:7] == ["=late(); nachgetragen".replace("=", "'=", 1), "15", "15"]
    assert ["Gearbeitet", "15"] in rows[rows.index(["Summen"]) :]
    page = await web.get("/api/v1/contracts/gold/statements/2026-12?format=html", headers=admin)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "Statement December 2026" in page.text
    # Offers are for everybody.
    await post("/contracts/offer", {"kind": "tm", "rate_minor": 9000, "listed": True}, admin)
    offers = (await web.get("/api/v1/rate-card")).json()["items"]
    assert [(one["name"], one["rate_minor"]) for one in offers] == [("offer", 9000)]
