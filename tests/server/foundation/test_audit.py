"""The audit chain and its routes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import msgspec
import pytest
from sqlalchemy import update

from farhand_protocol.audit import AuditHead, decode_head
from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.api.paging import encode_cursor
from farhand_server.app import Relay
from farhand_server.audit import (
    FIRST,
    AuditRecord,
    check_chain,
    check_head,
    record_hash,
)
from farhand_server.audit_heads import HeadSender
from farhand_server.head_sinks import parse_sinks
from farhand_server.store.schema import audit as audit_table
from tests.server.relays import TENANT, SignIn
from tests.support.listeners import listener


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
    # It ends at its own record, however much is written meanwhile.
    assert (seen[-1].action, seen[-1].actor) == ("audit.read", "auditor")
    check_chain(TENANT, seen)
    assert any(record.action == "audit.read" and record.actor == "auditor" for record in seen)
    head = await web.get("/api/v1/audit/head", headers=headers)
    assert check_head(msgspec.json.decode(head.content, type=AuditHead), relay.signer.public_key)


async def test_the_newest_comes_first_where_that_is_asked_for(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    before = await _append(relay, 5)
    headers = await sign_in("auditor")
    seen: list[AuditRecord] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3", "order": "newest"} | ({"cursor": cursor} if cursor else {})
        answer = await web.get("/api/v1/audit", headers=headers, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += msgspec.convert(page["items"], list[AuditRecord])
        await _append(relay, 1)  # what is written meanwhile moves nothing
        cursor = page["next"]
        if cursor is None:
            break
    assert (seen[0].action, seen[0].actor) == ("audit.read", "auditor")
    assert [one.seq for one in seen] == list(range(seen[0].seq, 0, -1))
    assert seen[-len(before) :][::-1] == before
    check_chain(TENANT, seen[::-1])
    wrong = await web.get("/api/v1/audit", headers=headers, params={"order": "any"})
    assert wrong.status_code == 422
    theirs = await _append(relay, 0)
    taken = {"order": "newest", "cursor": encode_cursor(9, theirs[-1].seq)}
    answer = await web.get("/api/v1/audit", headers=headers, params=taken)
    assert answer.json()["code"] == "cursor-malformed"


async def test_a_broken_cursor_is_refused(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    headers = await sign_in("auditor")
    answer = await web.get("/api/v1/audit", headers=headers, params={"cursor": "zzzz"})
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor-malformed")
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_cursor_of_no_reading_of_ones_own_shows_nothing(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await _append(relay, 3)
    mine, other = await sign_in("auditor"), await sign_in("admin")
    await web.get("/api/v1/audit", headers=other, params={"limit": "2"})
    records = await _append(relay, 0)
    theirs = records[-1].seq
    for last in (1, theirs, theirs + 5, 2**60, 2**80):
        cursor = encode_cursor(0, last) if last < 2**64 else "gc8"
        answer = await web.get("/api/v1/audit", headers=mine, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "cursor-malformed"), last


async def test_heads_are_sent_to_a_file_and_by_datagram(relay: Relay, tmp_path: Path) -> None:
    file = tmp_path / "heads"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(20)
        port = heard.getsockname()[1]
        sender = HeadSender(relay, parse_sinks(f"file:{file} syslog:127.0.0.1:{port}"))
        await _append(relay, 2)
        await sender.send()
        await sender.send()
        await _append(relay, 1)
        await sender.finish()
        datagrams = [heard.recv(2000) for _ in range(2)]
    heads = [decode_head(line) for line in file.read_bytes().splitlines()]
    assert [head.seq for head in heads] == [2, 3]
    assert all(check_head(head, relay.signer.public_key) for head in heads)
    assert all(data.startswith(b"<109>1 ") for data in datagrams)
    assert [decode_head(data[data.index(b"{") :]) for data in datagrams] == heads
    assert file.stat().st_mode & 0o077 == 0
    assert not sender.troubles


async def test_heads_are_mailed(relay: Relay) -> None:
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        is_body = False
        while line := await reader.readline():
            said.append(line)
            if is_body and line != b".\r\n":
                continue
            is_body = line.upper().startswith(b"DATA")
            is_quit = line.upper().startswith(b"QUIT")
            writer.write(b"354 go\r\n" if is_body else b"221 ok\r\n" if is_quit else b"250 ok\r\n")

    async with listener(serve) as port:
        sender = HeadSender(relay, parse_sinks(f"mail:audit@example.org@127.0.0.1:{port}"))
        await _append(relay, 2)
        await sender.send()
    assert not sender.troubles
    (line,) = [line for line in said if line.startswith(b'{"owner":')]
    assert check_head(decode_head(line.strip()), relay.signer.public_key)
    assert any(line.lower().startswith(b"rcpt to:<audit@example.org>") for line in said)


async def test_a_place_that_does_not_answer_holds_up_nothing(relay: Relay, tmp_path: Path) -> None:
    bad, good = tmp_path / "none" / "heads", tmp_path / "heads"
    sender = HeadSender(relay, parse_sinks(f"file:{bad} file:{good}"))
    await _append(relay, 1)
    await sender.send()
    assert len(good.read_bytes().splitlines()) == 1
    assert list(sender.troubles) == [f"file:{bad}"]
    bad.parent.mkdir()
    await sender.send()
    assert bad.read_bytes() == good.read_bytes()
    assert not sender.troubles


@pytest.mark.parametrize(
    "text",
    [
        "file:heads",
        "file:",
        "syslog:host",
        "syslog:host:0",
        "syslog::514",
        "mail:audit",
        "mail:@smtp",
        "mail:a@b@smtp:x",
        "http://x",
        "file:/a file:/b file:/c file:/d file:/e",
    ],
)
def test_places_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError, match="audit-sink-malformed"):
        parse_sinks(text)
