"""The audit chain and its routes."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest
from sqlalchemy import update

from farhand_protocol.errors import FarhandError
from farhand_server.app import Relay
from farhand_server.audit import (
    FIRST,
    AuditHead,
    AuditRecord,
    check_chain,
    check_head,
    record_hash,
)
from farhand_server.store.schema import audit as audit_table
from tests.server.relays import TENANT, SignIn


async def _append(relay: Relay, count: int) -> list[AuditRecord]:
    async with relay.db.write() as c:
        for number in range(count):
            await relay.audit.append(
                c, actor="ann", action="test.do", subject=f"s-{number}", detail={"né": "ü"}
            )
        return await relay.audit.records(c, limit=1000)


async def test_records_chain(relay: Relay) -> None:
    records = await _append(relay, 5)
    assert [record.seq for record in records] == [1, 2, 3, 4, 5]
    assert records[0].previous == FIRST
    assert check_chain(TENANT, records) == records[-1].hash
    assert check_chain(TENANT, records[3:], previous=records[2].hash) == records[-1].hash


async def test_concurrent_writers_make_one_chain(relay: Relay) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(_append(relay, 2))
    records = await _append(relay, 0)
    assert len(records) == 24
    check_chain(TENANT, records)


@pytest.mark.parametrize("field", ["at", "actor", "action", "subject", "detail", "previous"])
async def test_any_changed_field_shows(relay: Relay, field: str) -> None:
    await _append(relay, 3)
    async with relay.db.write() as c:
        await c.execute(
            update(audit_table).where(audit_table.c.seq == 2).values({field: "something else"})
        )
    with pytest.raises(FarhandError, match="does not add up at 2"):
        check_chain(TENANT, await _append(relay, 0))


async def test_a_missing_record_shows(relay: Relay) -> None:
    records = await _append(relay, 3)
    with pytest.raises(FarhandError, match="audit-broken"):
        check_chain(TENANT, [records[0], records[2]])
    # Even where the hashes were made to fit.
    forged = msgspec.structs.replace(records[2], previous=records[0].hash)
    forged = msgspec.structs.replace(forged, hash=record_hash(TENANT, forged))
    with pytest.raises(FarhandError, match="audit-broken"):
        check_chain(TENANT, [records[0], forged])


async def test_the_head_is_signed(relay: Relay) -> None:
    records = await _append(relay, 2)
    async with relay.db.read() as c:
        head = await relay.audit.head(c)
    assert (head.seq, head.hash) == (2, records[-1].hash)
    key = relay.signer.public_key
    assert check_head(head, key)
    assert not check_head(msgspec.structs.replace(head, seq=1), key)
    assert not check_head(head, b"\x01" * 32)


async def test_reading_is_audited_and_paged(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await _append(relay, 3)
    headers = await sign_in("auditor")
    seen: list[AuditRecord] = []
    cursor: str | None = None
    for _ in range(10):
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = await web.get("/api/v1/audit", headers=headers, params=params)
        assert answer.status_code == 200
        page = answer.json()
        seen += msgspec.convert(page["items"], list[AuditRecord])
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) >= 5
    check_chain(TENANT, seen)
    assert any(record.action == "audit.read" and record.actor == "auditor" for record in seen)
    head = await web.get("/api/v1/audit/head", headers=headers)
    assert check_head(msgspec.json.decode(head.content, type=AuditHead), relay.signer.public_key)


async def test_a_broken_cursor_is_refused(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    headers = await sign_in("auditor")
    answer = await web.get("/api/v1/audit", headers=headers, params={"cursor": "zzzz"})
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor-malformed")
    assert answer.headers["content-type"].startswith("application/problem+json")
