"""The digest of checks: what it adds up, when it is due, and that it goes once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select

from farhand_server.clock import stamp
from farhand_server.measures.check_digest import (
    DigestTerms,
    check_digest,
    last_due,
    set_digest_terms,
    sweep_digest,
)
from farhand_server.people.organisations import LOCALES
from farhand_server.relay import Relay
from farhand_server.store.schema import alerts
from farhand_server.store.schema.mail import mails
from tests.server.relays import ManualClock

LISBON = ZoneInfo("Europe/Lisbon")


async def alert(relay: Relay, name: str, **more: Any) -> None:
    row = {
        "tenant": relay.tenant, "id": name, "fingerprint": name, "device": "d-1",
        "check_id": "disk.space", "subject": "", "state": "open", "severity": "warning",
        "told": "warning", "summary": "", "opened_at": relay.stamp(),
        "changed_at": relay.stamp(), "withheld": "", "flaps": 0, "flapping": False,
    }  # fmt: skip
    async with relay.db.write() as c:
        await c.execute(insert(alerts).values(**row | more))


async def test_it_adds_up_and_goes_once(relay: Relay, clock: ManualClock) -> None:
    async with relay.db.write() as c:
        terms = DigestTerms(addresses=["Admin@example.org"], every="day", hour=clock.now().hour)
        kept = await set_digest_terms(c, relay, terms=terms, actor="root")
    assert kept.addresses == ["admin@example.org"]
    assert not await sweep_digest(relay)  # what was before is not told
    await alert(relay, "a-1")
    await alert(relay, "a-2", device="d-2", severity="critical")
    await alert(relay, "a-3", state="recovered", closed_at=relay.stamp())
    await alert(relay, "a-4", check_id="temp", severity="unknown", state="blind")
    began = clock.now()
    clock.advance(86_400)
    async with relay.db.read() as c:
        (line,) = (await check_digest(c, relay.tenant, since=began, until=clock.now())).lines
    assert (line.came, line.went, line.warning, line.critical, line.devices) == (3, 1, 1, 1, 2)
    assert await sweep_digest(relay)
    assert not await sweep_digest(relay)
    async with relay.db.read() as c:
        (letter,) = await c.scalars(select(mails.c.letter))
    assert "disk.space" in letter


@pytest.mark.parametrize(
    ("now", "every", "expected"),
    [
        ("2026-11-25T09:00", "day", "2026-11-25T07:00"),
        ("2026-11-25T06:59", "day", "2026-11-24T07:00"),
        ("2026-11-25T06:59", "week", "2026-11-23T07:00"),
        ("2026-11-23T07:00", "week", "2026-11-23T07:00"),
        ("2026-11-23T06:59", "week", "2026-11-16T07:00"),
        # Clocks went back on 25 October: still seven as people read it.
        ("2026-10-26T06:00", "day", "2026-10-25T07:00"),
        ("2026-10-26T06:00", "week", "2026-10-19T07:00"),
    ],
)
def test_it_is_due_at_its_hour(now: str, every: Any, expected: str) -> None:
    terms = DigestTerms(every=every, hour=7, zone="Europe/Lisbon")
    at = datetime.fromisoformat(now).replace(tzinfo=LISBON)
    assert stamp(last_due(terms, at)) == stamp(
        datetime.fromisoformat(expected).replace(tzinfo=LISBON)
    )


@pytest.mark.parametrize("language", LOCALES)
async def test_it_is_written_in_each_language(
    relay: Relay, clock: ManualClock, language: str
) -> None:
    async with relay.db.write() as c:
        terms = DigestTerms(addresses=["a@example.org"], every="day", language=language)
        await set_digest_terms(c, relay, terms=terms, actor="root")
    await alert(relay, "a-1")
    clock.advance(86_400)
    assert await sweep_digest(relay)
