"""What follows from an event follows once, whatever fails beside it."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.heed import HeededEvent, heed_events
from farhand_server.desk.moves import add_message
from farhand_server.desk.tickets import create_ticket
from farhand_server.desk.timeline import insert_message, list_messages
from farhand_server.relay import Relay


async def test_each_event_is_heeded_once_and_a_failing_heeder_harms_nobody(
    relay: Relay,
) -> None:
    heard: list[HeededEvent] = []

    async def hears(_c: AsyncConnection, _relay: Relay, event: HeededEvent) -> None:
        heard.append(event)

    async def fails(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
        await insert_message(c, relay.tenant, event.ticket, "note", "relay", "lost", event.at)
        raise ValueError("of course")

    async def notes(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
        await insert_message(c, relay.tenant, event.ticket, "note", "relay", event.kind, event.at)

    async with relay.db.write() as c:
        made = await create_ticket(
            c, relay, title="No sound", actor="mia", body="since today", channel="web"
        )
        await add_message(c, relay, ref=made.id, kind="reply", body="which headset?", actor="ann")
    heeders = (hears, fails, notes)
    assert await heed_events(relay, heeders) == 2
    assert await heed_events(relay, heeders) == 0
    assert [(one.kind, one.actor, one.ticket) for one in heard] == [
        ("created", "mia", made.row),
        ("reply", "ann", made.row),
    ]
    assert heard[0].detail["channel"] == "web"
    async with relay.db.read() as c:
        said = await list_messages(c, relay.tenant, [made.row], with_notes=True)
    assert [one.body for one in said] == ["since today", "which headset?", "created", "reply"]
    assert heard[0].detail["message"] == said[0].seq
    assert [one.channel for one in said[:2]] == ["web", ""]
    assert [one.public for one in said] == [True, True, False, False]


async def test_what_is_rolled_back_is_not_heeded(relay: Relay) -> None:
    async def fails() -> None:
        async with relay.db.write() as c:
            await create_ticket(c, relay, title="No sound", actor="mia")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await fails()
    assert await heed_events(relay, ()) == 0
