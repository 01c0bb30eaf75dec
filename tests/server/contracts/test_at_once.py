"""Writers of one contract at once: on PostgreSQL none waits for one that waits for it."""

from __future__ import annotations

import asyncio

from farhand_server.contracts.ledger import adjust, balance_of
from farhand_server.desk.time_entries import record_time, reverse_time
from farhand_server.relay import Relay
from tests.server.contracts.conftest import Agree, NewTicket
from tests.server.contracts.test_contracts import BLOCK, H, work

_EACH = 6


async def _adjust(relay: Relay) -> None:
    async with relay.db.write() as c:
        await adjust(c, relay, name="gold", seconds=60, reason="bought", actor="ann")


async def test_corrections_ends_of_sessions_and_adjustments_do_not_hinder_each_other(
    relay: Relay, agree: Agree, new_ticket: NewTicket
) -> None:
    contract = await agree(**BLOCK | {"grant_s": 100 * H}, overage="bill")
    ticket = await new_ticket()
    entries = [await work(relay, ticket.row, 900) for _ in range(_EACH)]

    async def take_back(entry: str) -> None:
        async with relay.db.write() as c:
            await reverse_time(c, relay, entry=entry, reason="wrong", actor="ann")

    async def end_session(session: str) -> None:
        async with relay.db.write() as c:
            await relay.audit.append(c, actor="ann", action="session.end", subject=session)
            await record_time(
                c, relay, ticket=ticket.row, account="ann", session=session, active_s=900, note="",
                started_at=relay.stamp(), ended_at=relay.stamp(),
            )  # fmt: skip

    async def finish_visit() -> None:
        async with relay.db.write() as c:
            await record_time(
                c, relay, ticket=ticket.row, account="ann", origin="visit", active_s=900, note="",
                started_at=relay.stamp(), ended_at=relay.stamp(),
            )  # fmt: skip
            await relay.audit.append(c, actor="ann", action="visit.done", subject="v")

    def at_once() -> list[asyncio.Future[None]]:
        return [
            asyncio.ensure_future(one)
            for number, entry in enumerate(entries)
            for one in (
                take_back(entry.id), _adjust(relay), end_session(f"s-{number}"), finish_visit(),
            )
        ]  # fmt: skip

    await asyncio.gather(*at_once())
    async with relay.db.read() as c:
        balance = await balance_of(c, relay, contract)
    assert balance.balance_s == 100 * H + _EACH * 60 - 2 * _EACH * 900
