"""What time comes to: by the day on which it was worked, and put right without a second mistake."""

from __future__ import annotations

from typing import Any

import httpx

from farhand_server.desk.time_entries import TimeEntry, record_time
from farhand_server.relay import Relay
from tests.server.contracts.conftest import Agree, NewTicket
from tests.server.contracts.test_contracts import H, work
from tests.server.relays import SignIn


async def worked_until(relay: Relay, ticket: int, seconds: int, at: str) -> TimeEntry:
    async with relay.db.write() as c:
        return await record_time(
            c, relay, ticket=ticket, account="ann", started_at=at, ended_at=at, active_s=seconds,
            note="",
        )  # fmt: skip


async def test_a_correction_keeps_what_it_does_not_name_and_the_rate_of_then(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, agree: Agree, new_ticket: NewTicket
) -> None:
    await agree("tm", kind="tm", rate_minor=9000, step_s=60)
    ticket = await new_ticket()
    ann = await sign_in("technician", name="ann")

    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await web.post(f"/api/v1{path}", json=body, headers=ann)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    goodwill = {
        "active_s": 1800, "billable": False, "customer_visible": False, "note": "goodwill",
        "activity": "repair", "origin": "call",
    }  # fmt: skip
    wrong = await post(f"/tickets/{ticket.number}/time-entries", goodwill)
    await agree("tm", kind="tm", rate_minor=12000)
    wish: dict[str, Any] = {"reason": "was shorter", "right": {"active_s": 1500}}
    right = (await post(f"/time-entries/{wrong['id']}/reverse", wish))["right"]
    charge = right["charge"]
    assert (right["active_s"], right["note"], right["started_at"], right["ended_at"]) == (
        1500, "goodwill", wrong["started_at"], wrong["ended_at"],
    )  # fmt: skip
    assert (charge["billable"], charge["customer_visible"], charge["amount_minor"]) == (
        False, False, 0,
    )  # fmt: skip
    assert (charge["activity"], charge["origin"]) == ("repair", "call")
    # Billed after all, it is billed as it would have been then.
    wish = {"reason": "agreed on", "right": {"billable": True, "customer_visible": True}}
    charge = (await post(f"/time-entries/{right['id']}/reverse", wish))["right"]["charge"]
    assert (charge["contract_version"], charge["rate_minor"], charge["amount_minor"]) == (
        1, 9000, 3750,
    )  # fmt: skip
    assert (charge["customer_visible"], charge["activity"]) == (True, "repair")


async def test_work_falls_under_the_contract_of_its_day(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    await agree("old", kind="tm", rate_minor=9000, ends="2026-11-22")
    await agree("young", kind="tm", rate_minor=12000, starts="2026-11-22")
    ticket = await new_ticket()
    before = await worked_until(relay, ticket.row, H, "2026-11-21T10:00:00.000000Z")
    now = await work(relay, ticket.row, H)
    assert [one.charge and one.charge.contract for one in (before, now)] == ["old", "young"]
