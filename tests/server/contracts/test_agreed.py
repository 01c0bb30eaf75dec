"""What was agreed on: fees in the months of their periods, one currency, the contract of now."""

from __future__ import annotations

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.contracts.assigning import assign_contract
from farhand_server.contracts.cover import cover_of
from farhand_server.contracts.periods import fee_of_month
from farhand_server.contracts.statements import statement_of
from farhand_server.contracts.terms import Terms
from farhand_server.desk.details import TicketChange, change_ticket
from farhand_server.desk.service import set_policy
from farhand_server.desk.service_levels import ServicePolicy, Targets
from farhand_server.desk.tickets import get_ticket
from farhand_server.heeders import heed_now
from farhand_server.measures.reports import month_report
from farhand_server.relay import Relay
from tests.server.contracts.conftest import Agree, NewTicket
from tests.server.contracts.test_contracts import H, work


def test_a_fee_is_due_where_a_period_begins_and_the_contract_is_in_force() -> None:
    yearly = Terms(kind="subscription", fee_minor=1200, starts="2026-01-31", period="yearly")
    months = [f"{year}-{number:02}" for year in (2025, 2026, 2027) for number in range(1, 13)]
    assert [one for one in months if fee_of_month(yearly, one)] == ["2026-01", "2027-01"]
    monthly = Terms(kind="managed", fee_minor=5, starts="2026-01-31", ends="2026-03-31")
    assert [one for one in months if fee_of_month(monthly, one)] == ["2026-01", "2026-02"]


async def test_a_yearly_fee_stands_on_one_statement_and_in_one_report(
    relay: Relay, agree: Agree
) -> None:
    await agree("sup", kind="subscription", fee_minor=120_000, period="yearly", starts="2026-10-01")
    fees = []
    for month in ("2026-09", "2026-10", "2026-11"):
        async with relay.db.read() as c:
            statement = await statement_of(c, relay, name="sup", month=month)
            report = await month_report(c, relay, month=month, organisation="acme")
        fees.append((statement.fee_minor, report.contracts[0].fee_minor))
    assert fees == [(0, 0), (120_000, 120_000), (0, 0)]
    # A month that has not begun would only show again what stands on the draft before.
    async with relay.db.read() as c:
        with pytest.raises(FarhandError, match="has not begun"):
            await statement_of(c, relay, name="sup", month="2026-12")


async def test_what_was_charged_in_one_currency_is_not_added_to_another(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    await agree("tm", kind="tm", currency="USD", rate_minor=10_000)
    await agree("tm", kind="tm", currency="EUR", rate_minor=10_000)
    await work(relay, (await new_ticket()).row, H)
    with pytest.raises(FarhandError, match="charged in EUR"):
        await agree("tm", kind="tm", currency="JPY", rate_minor=10_000)
    assert (await agree("tm", kind="tm", currency="EUR", rate_minor=12_000)).version == 3


async def test_a_found_contract_follows_the_ticket_and_a_chosen_one_stays(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    await agree("gold", kind="tm")
    await agree("web", kind="tm", services=("web",))
    ticket = await new_ticket()
    await heed_now(relay)

    async def change(category: str) -> None:
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket.id)
            await change_ticket(
                c, relay, ticket=found, change=TicketChange(category=category), actor="ann"
            )

    async def named() -> tuple[str, str | None]:
        async with relay.db.read() as c:
            covered = await cover_of(c, relay, ticket=ticket.row)
            return covered.contract, (await get_ticket(c, relay.tenant, ticket.id)).contract

    assert await named() == ("gold", "gold")
    await change("web")
    # Work is never charged to what was found before, also not until the event is heeded.
    assert await named() == ("web", "gold")
    await heed_now(relay)
    assert await named() == ("web", "web")
    async with relay.db.write() as c:
        await assign_contract(c, relay, ref=ticket.id, contract="gold", actor="ann")
    await change("")
    await change("web")
    await heed_now(relay)
    assert await named() == ("gold", "gold")
    async with relay.db.write() as c:
        await assign_contract(c, relay, ref=ticket.id, contract=None, actor="ann")
    assert await named() == ("web", "web")


async def test_the_promise_of_a_contract_goes_with_it(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    async with relay.db.write() as c:
        policy = ServicePolicy(targets={"normal": Targets(first_response_s=600)})
        await set_policy(c, relay, name="fast", calendar="always", policy=policy, actor="ada")
    await agree("gold", kind="included", policy="fast", services=("web",))
    await agree("bronze", kind="tm", services=("web",))
    ticket = await new_ticket()
    promised = []
    for contract in ("gold", "bronze", "gold", None):
        async with relay.db.write() as c:
            found = await assign_contract(c, relay, ref=ticket.id, contract=contract, actor="ann")
        promised.append(found.policy)
    assert promised == ["fast", None, "fast", None]
