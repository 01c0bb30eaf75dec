"""Work noted when its period is over: it takes what expired with that, not the next one's hours."""

from __future__ import annotations

from typing import Any

from farhand_server.contracts.contracts import Contract
from farhand_server.contracts.ledger import Balance, balance_of, sweep_periods
from farhand_server.contracts.statements import keep_statement, statement_of
from farhand_server.desk.time_entries import reverse_time
from farhand_server.measures.reports import month_report
from farhand_server.relay import Relay
from tests.server.contracts.conftest import Agree, NewTicket
from tests.server.contracts.test_contracts import H, kinds
from tests.server.contracts.test_corrections import worked_until
from tests.server.relays import ManualClock

_BLOCK: dict[str, Any] = {"kind": "block", "grant_s": 10 * H, "rate_minor": 6000}
_NOVEMBER = "2026-11-30T20:00:00.000000Z"


async def balance(relay: Relay, contract: Contract) -> Balance:
    async with relay.db.read() as c:
        return await balance_of(c, relay, contract)


async def test_late_work_takes_the_hours_of_its_own_period_and_its_statement_adds_up(
    relay: Relay, agree: Agree, new_ticket: NewTicket, clock: ManualClock
) -> None:
    contract = await agree(**_BLOCK, overage="bill")
    await sweep_periods(relay)
    ticket = await new_ticket()
    clock.advance(9 * 86_400)
    late = await worked_until(relay, ticket.row, 4 * H, _NOVEMBER)
    assert late.charge is not None
    assert (late.charge.debited_s, late.charge.charged_s) == (4 * H, 0)
    now = await balance(relay, contract)
    assert (now.available_s, now.used_s, now.balance_s) == (10 * H, 0, 10 * H)
    async with relay.db.write() as c:
        kept = await keep_statement(c, relay, name="gold", month="2026-11", actor="ada")
    assert kept.balance is not None
    assert (kept.debited_s, kept.balance.available_s, kept.balance.balance_s) == (
        4 * H, 10 * H, 6 * H,
    )  # fmt: skip
    # What November had is all that it gives: the rest is charged, and December is whole.
    clock.advance(60)
    more = await worked_until(relay, ticket.row, 8 * H, _NOVEMBER)
    assert more.charge is not None
    assert (more.charge.debited_s, more.charge.charged_s) == (6 * H, 2 * H)
    assert (await balance(relay, contract)).balance_s == 10 * H
    async with relay.db.read() as c:
        assert await statement_of(c, relay, name="gold", month="2026-11") == kept
    # Taken back, it gives December nothing, and November as much to be taken again.
    async with relay.db.write() as c:
        await reverse_time(c, relay, entry=more.id, reason="wrong", actor="ann")
    assert (await balance(relay, contract)).balance_s == 10 * H
    again = await worked_until(relay, ticket.row, 6 * H, _NOVEMBER)
    assert again.charge is not None
    assert again.charge.debited_s == 6 * H
    assert (await balance(relay, contract)).balance_s == 10 * H


async def test_what_rolled_over_is_taken_from_where_it_went(
    relay: Relay, agree: Agree, new_ticket: NewTicket, clock: ManualClock
) -> None:
    contract = await agree(**_BLOCK, overage="warn", rollover_s=8 * H)
    await sweep_periods(relay)
    ticket = await new_ticket()
    clock.advance(9 * 86_400)
    await sweep_periods(relay)
    assert (await balance(relay, contract)).balance_s == 18 * H
    # Two hours were lost; of the eight that went on, two would not have been there to go.
    await worked_until(relay, ticket.row, 4 * H, _NOVEMBER)
    assert (await balance(relay, contract)).balance_s == 16 * H
    assert [one for one in await kinds(relay, "gold") if one[0] == "2026-11-01"] == [
        ("2026-11-01", "grant", 10),
        ("2026-11-01", "expire", -10),
        ("2026-11-01", "adjust", 2),
        ("2026-11-01", "debit", -4),
    ]


async def test_work_of_the_last_day_of_a_contract_is_not_overdrawn(
    relay: Relay, agree: Agree, new_ticket: NewTicket, clock: ManualClock
) -> None:
    contract = await agree(**_BLOCK, overage="bill", ends="2026-12-01")
    await sweep_periods(relay)
    ticket = await new_ticket()
    clock.advance(9 * 86_400)
    await sweep_periods(relay)
    late = await worked_until(relay, ticket.row, 4 * H, _NOVEMBER)
    assert late.charge is not None
    assert (late.charge.contract, late.charge.debited_s) == ("gold", 4 * H)
    assert (await balance(relay, contract)).balance_s == 0


async def test_the_report_of_a_stated_month_has_the_terms_of_its_statement(
    relay: Relay, agree: Agree, new_ticket: NewTicket, clock: ManualClock
) -> None:
    await agree(**_BLOCK, fee_minor=5000)
    await worked_until(relay, (await new_ticket()).row, 4 * H, relay.stamp())
    clock.advance(10 * 86_400)
    async with relay.db.write() as c:
        kept = await keep_statement(c, relay, name="gold", month="2026-11", actor="ada")
    await agree(kind="tm", rate_minor=1, fee_minor=9000)
    async with relay.db.read() as c:
        report = await month_report(c, relay, month="2026-11", organisation="acme")
    shown = report.contracts[0]
    assert (shown.kind, shown.fee_minor, shown.balance) == ("block", 5000, kept.balance)
    assert kept.balance is not None
    assert kept.balance.balance_s == 6 * H
