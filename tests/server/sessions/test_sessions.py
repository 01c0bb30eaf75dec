"""Sessions after their beginning: reports, pipes, the end, time entries, sweeps, two nodes."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from farhand_console.cli.joining import MAX_REASON_CHARS
from farhand_protocol import messages
from farhand_protocol.keys import SeedSigner
from farhand_server.api import sessions as sessions_api
from farhand_server.app import assemble, build_app
from farhand_server.desk.moves import assign
from farhand_server.gateway.link import Link
from farhand_server.relay import Relay
from farhand_server.sessions.service import make_sessions
from farhand_server.store.schema import session_events, time_entries
from farhand_server.tasks import Tasks
from tests.server.gateway.nodes import (
    Device,
    LinkEnd,
    Node,
    attach,
    closed,
    open_node,
    receive_bytes,
    settle,
)
from tests.server.relays import ManualClock, RelayParts, SignIn
from tests.server.sessions.meeting import (
    active_by_code,
    claim,
    exchange,
    grant_for,
    report,
    show_code,
)

HASH = "ab" * 32


async def end(
    web: httpx.AsyncClient, who: dict[str, str], session: str, **more: object
) -> httpx.Response:
    return await web.post(f"/api/v1/sessions/{session}/end", json=more, headers=who)


async def pipe(
    web: httpx.AsyncClient, who: dict[str, str], session: str, number: int = 0
) -> httpx.Response:
    return await web.post(f"/api/v1/sessions/{session}/pipes/{number}", headers=who)


async def test_a_pipe_is_attached_and_attached_again(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    for _ in range(2):
        answer = await pipe(web, who, session)
        assert answer.status_code == 201
        assert answer.json()["url"] == f"{node.url}/pipe"
        for_device = await link.receive(messages.AttachPipe)
        assert (for_device.session, for_device.number) == (session, 0)
        token = base64.b64decode(answer.json()["token"])
        console = await attach(node, "console", session, token)
        agent = await attach(node, "device", session, for_device.token)
        await console.send(b"SSH-2.0-console")
        assert await receive_bytes(agent) == b"SSH-2.0-console"


async def test_a_console_that_waits_for_a_dead_process_is_told_to_ask_again(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    answer = await pipe(web, who, session)
    console = await attach(node, "console", session, base64.b64decode(answer.json()["token"]))
    await link.close()
    assert await closed(console) == (4001, "pipe-half-open")


async def test_pipes_need_an_active_session_of_ones_own(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    _, nameplate = await show_code(node, device)
    session = (await claim(web, who, nameplate)).json()["session"]
    assert (await pipe(web, who, session)).json()["code"] == "session-state"
    link, session = await active_by_code(node, web, who, device)
    assert (await pipe(web, bob, session)).status_code == 403
    assert (await pipe(web, who, session, 8)).json()["code"] == "pipe-number"
    assert (await pipe(web, who, "s-" + "z" * 16)).status_code == 404
    await link.close()
    await settle(node.relay)
    answer = await pipe(web, who, session)
    assert (answer.status_code, answer.json()["code"]) == (409, "session-not-connected")
    # The process comes back and serves its session again.
    link = await device.present(node, "session", session=session)
    await (await link.ws.ping())
    await settle(node.relay)
    assert (await pipe(web, who, session)).status_code == 201
    node.clock.advance(31 * 60)
    answer = await pipe(web, who, session)
    assert (answer.status_code, answer.json()["code"]) == (410, "session-ended")


async def test_only_its_own_device_serves_a_session(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, session = await active_by_code(node, web, who, device)
    stranger = Device()
    await stranger.enrol(node.relay)
    link = await stranger.present(node, "session", session=session)
    assert (await link.receive(messages.EndSession)).reason == "session-unknown"
    await link.send(messages.SessionReport(seq=1, session=session, state="ended"))
    assert (await link.receive(messages.Nack)).code == "session-unknown"
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert shown["state"] == "active"


async def test_the_end_with_note_receipt_and_one_time_entry(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    node.clock.advance(120)
    first = (await end(web, who, session, note="cleaned the spooler", active_s=100)).json()
    assert (first["state"], first["active_s"], first["note"]) == (
        "ended",
        100,
        "cleaned the spooler",
    )
    assert first["time_entry"]
    ended = await link.receive(messages.EndSession)
    assert (ended.session, ended.reason) == (session, "ended-by-operator")
    await report(node, link, session, "ended", reason="operator", active_s=90, receipt_sha256=HASH)
    await report(node, link, session, "ended", reason="operator", active_s=90, receipt_sha256=HASH)
    again = (await end(web, who, session, note="other words", receipt_sha256=HASH)).json()
    assert again == {**first, "receipt_sha256": HASH}
    async with node.relay.db.read() as c:
        entries = (await c.execute(select(time_entries))).all()
        kinds = [row.kind for row in await c.execute(select(session_events))]
    assert len(entries) == 1
    assert (entries[0].active_s, entries[0].note) == (100, "cleaned the spooler")
    assert kinds[:4] == ["claimed", "requested", "active", "ended"]


@pytest.mark.parametrize("ender", ["operator", "admin"])
@pytest.mark.either_store
async def test_who_ended_it_is_said(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, ender: str
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    by = who if ender == "operator" else await sign_in("admin")
    assert (await end(web, by, session)).json()["reason"] == ender
    assert (await link.receive(messages.EndSession)).reason == f"ended-by-{ender}"


async def test_the_user_stops_and_the_note_comes_later(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    node.clock.advance(60)
    await report(node, link, session, "ended", reason="stopped", active_s=50, receipt_sha256=HASH)
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["state"], shown["reason"], shown["active_s"]) == ("ended", "stopped", 50)
    assert shown["receipt_sha256"] == HASH
    noted = (await end(web, who, session, note="she stopped it")).json()
    assert (noted["note"], noted["reason"], noted["active_s"]) == ("she stopped it", "stopped", 50)
    async with node.relay.db.read() as c:
        (entry,) = (await c.execute(select(time_entries))).all()
    assert entry.note == "she stopped it"
    assert (await pipe(web, who, session)).status_code == 410


async def test_a_second_receipt_does_not_replace_the_first(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    await report(node, link, session, "ended", receipt_sha256=HASH)
    after = (await end(web, who, session, note="x", receipt_sha256="cd" * 32)).json()
    assert after["receipt_sha256"] == HASH
    async with node.relay.db.read() as c:
        kinds = [row.kind for row in await c.execute(select(session_events))]
    assert "receipt-mismatch" in kinds


async def test_active_time_is_never_more_than_the_session_lasted(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, session = await active_by_code(node, web, who, device)
    node.clock.advance(30)
    assert (await end(web, who, session, note="x", active_s=600_000)).json()["active_s"] == 31


async def test_the_ends_own_time_counts_though_its_report_came_late(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    for said, wanted in ((600_000, 51), (31, 31), (None, 30)):
        link, nameplate = await show_code(node, device)
        session = (await claim(web, who, nameplate)).json()["session"]
        await link.receive(messages.MailboxOpen)
        for phase in ("pake", "confirm", "request"):
            await exchange(web, who, link, session, phase)
        node.clock.advance(20)
        await report(node, link, session, "active")
        node.clock.advance(30)
        answer = await end(web, who, session, note="x", active_s=said)
        assert answer.json()["active_s"] == wanted


@pytest.mark.parametrize(
    "bad",
    [
        {"reason": "Not A Code\x1b[2J"},
        {"scopes": ["root"]},
        {"scopes": ["view", "view"]},
        {"expires": "soon"},
        {"note": "\x00"},
        {"active_s": -1},
        {"receipt_sha256": "xyz"},
    ],
)
@pytest.mark.either_store
async def test_a_malformed_report_ends_the_link(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, bad: dict[str, object]
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    values: dict[str, object] = {"expires": "2026-11-22T13:00:00Z", **bad}
    await link.send(
        messages.SessionReport(seq=1, session=session, state="active", **values)  # type: ignore[arg-type]
    )
    assert await link.closed() == (1008, "message-malformed")


async def offered(
    node: Node, web: httpx.AsyncClient, who: dict[str, str], link: LinkEnd, body: dict[str, str]
) -> httpx.Response:
    """Open a session without a code; the device's resident link starts a session process."""

    async def consent() -> None:
        offer = await link.receive(messages.OfferGrant)
        assert offer.session == body["session"]
        assert base64.b64encode(offer.envelope).decode() == body["envelope"]
        await report(node, link, offer.session, "active")

    answer, _ = await asyncio.gather(
        web.post("/api/v1/sessions", json=body, headers=who), consent()
    )
    return answer


async def test_a_session_without_a_code(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link = await device.present(node)
    body = grant_for(node, device)
    answer = await offered(node, web, who, link, body)
    assert answer.status_code == 201
    assert (answer.json()["state"], answer.json()["ticket"]) == ("active", "FH-1")
    again = await web.post("/api/v1/sessions", json=body, headers=who)
    assert (again.status_code, again.json()["code"]) == (409, "session-exists")
    # Ended by the operator: no session process has come, so the resident link hears of it.
    await end(web, who, body["session"], note="done")
    assert (await link.receive(messages.EndSession)).session == body["session"]


async def test_a_new_ticket_is_whose_session_begins_on_it(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    for owner in (None, "ann"):
        number = (await web.post("/api/v1/tickets", json={"title": "x"}, headers=who)).json()[
            "number"
        ]
        if owner:
            async with node.relay.db.write() as c:
                await assign(c, node.relay, ref=number, owner=owner, actor=owner)
        wanted = {"ticket": number, "reason": "printer"}
        _, session = await active_by_code(node, web, who, device, **wanted)
        shown = (await web.get(f"/api/v1/tickets/{number}", headers=who)).json()
        assert (shown["state"], shown["owner"]) == ("open", owner or "technician")
        told = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
        assert (told["purpose"], told["reason"]) == ("printer", "")
        await end(web, who, session, note="")


async def test_a_refused_session(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link = await device.present(node)

    async def refuse() -> None:
        offer = await link.receive(messages.OfferGrant)
        await report(node, link, offer.session, "refused", reason="consent-refused")

    body = grant_for(node, device)
    answer, _ = await asyncio.gather(web.post("/api/v1/sessions", json=body, headers=who), refuse())
    assert (answer.json()["state"], answer.json()["reason"]) == ("refused", "consent-refused")
    assert (await end(web, who, body["session"], note="x")).json()["code"] == "session-state"


async def test_an_offline_device(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    body = grant_for(node, device)
    answer = await web.post("/api/v1/sessions", json=body, headers=who)
    assert (answer.status_code, answer.json()["code"]) == (409, "device-offline")
    shown = (await web.get(f"/api/v1/sessions/{body['session']}", headers=who)).json()
    assert (shown["state"], shown["reason"]) == ("refused", "device-offline")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant": "n-other"}, "grant-mismatch"),
        ({"id": "s-" + "q" * 16}, "grant-mismatch"),
        ({"device": "d-" + "q" * 26}, "grant-mismatch"),
        ({"operator": "bob"}, "not-permitted"),
        ({"operator_key": SeedSigner(os.urandom(32)).public_key}, "grant-mismatch"),
        ({"transcript": b"\x01" * 32}, "grant-mismatch"),
        ({"scopes": []}, "grant-mismatch"),
        ({"scopes": ["root"]}, "grant-mismatch"),
    ],
    ids=["tenant", "session", "device", "operator", "signature", "transcript", "none", "scope"],
)
@pytest.mark.either_store
async def test_a_grant_that_does_not_fit_goes_nowhere(
    node: Node,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
    change: dict[str, Any],
    code: str,
) -> None:
    who = await sign_in("technician")
    body = grant_for(node, device, **change)
    answer = await web.post("/api/v1/sessions", json=body, headers=who)
    assert answer.json()["code"] == code


@pytest.mark.either_store
async def test_a_reason_that_no_device_would_take(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    body = grant_for(node, device)
    for reason in ("x" * (MAX_REASON_CHARS + 1), "a\x1b[2J"):
        answer = await web.post("/api/v1/sessions", json=body | {"reason": reason}, headers=who)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert "reason" in answer.json()["detail"]
    longest = body | {"reason": "x" * MAX_REASON_CHARS}
    answer = await web.post("/api/v1/sessions", json=longest, headers=who)
    assert answer.json()["code"] == "device-offline"


async def test_expired_sessions_are_swept(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, session = await active_by_code(node, web, who, device)
    sessions = node.relay.service(make_sessions)
    node.clock.advance(35 * 60)
    assert await sessions.sweep() == 0
    node.clock.advance(6 * 60)
    assert await sessions.sweep() == 1
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["state"], shown["reason"]) == ("ended", "expired")
    assert await sessions.sweep() == 0


async def test_a_pairing_that_went_nowhere_is_swept(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, nameplate = await show_code(node, device)
    session = (await claim(web, who, nameplate)).json()["session"]
    node.clock.advance(16 * 60)
    assert await node.relay.service(make_sessions).sweep() == 1
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["state"], shown["reason"]) == ("refused", "expired")


async def test_lists_go_page_by_page(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    made = []
    for _ in range(5):
        body = grant_for(node, device)
        made.append(body["session"])
        await web.post("/api/v1/sessions", json=body, headers=who)
        node.clock.advance(1)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2", "device": device.id, **({"cursor": cursor} if cursor else {})}
        page = (await web.get("/api/v1/sessions", params=query, headers=who)).json()
        seen += [item["session"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]
    one = (await web.get("/api/v1/sessions", params={"ticket": "FH-2"}, headers=who)).json()
    assert [item["session"] for item in one["items"]] == [made[1]]
    none = (await web.get("/api/v1/sessions", params={"state": "active"}, headers=who)).json()
    assert none["items"] == []
    bad = await web.get("/api/v1/sessions", params={"state": "odd"}, headers=who)
    assert bad.status_code == 422


# Two nodes.


async def test_retiring_a_device_ends_its_links_and_sessions_on_every_node(
    relay: Relay,
    relay_parts: RelayParts,
    clock: ManualClock,
    tasks: Tasks,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
) -> None:
    bus = await relay_parts.open_bus(tasks) if relay_parts.bus_url else relay.bus
    other = assemble(
        relay.settings, db=relay.db, bus=bus, signer=relay.signer, tasks=tasks, clock=clock
    )
    bystander = Device()
    await bystander.enrol(relay)
    async with open_node(relay, clock) as near, open_node(other, clock) as far:
        admin, who = await sign_in("admin"), await sign_in("technician")
        # The session's control link is here, the resident link over there.
        control_link, session = await active_by_code(near, web, who, device)
        answer = (await pipe(web, who, session)).json()
        await control_link.receive(messages.AttachPipe)
        console = await attach(near, "console", session, base64.b64decode(answer["token"]))
        asking, nameplate = await show_code(far, device)
        pairing = (await claim(web, who, nameplate)).json()["session"]
        await asking.receive(messages.MailboxOpen)
        resident, living = await device.present(far), await bystander.present(far)
        retired = await web.post(f"/api/v1/devices/{device.id}/retire", headers=admin)
        assert retired.status_code == 200, retired.text
        told = await control_link.receive(messages.EndSession)
        assert (told.session, told.reason) == (session, "device-retired")
        for link in (control_link, asking, resident):
            assert await link.closed() == (1008, "device-retired")
        with pytest.raises(Exception, match="session-ended"):
            await receive_bytes(console)
        shown = {}
        for one in (session, pairing):
            found = (await web.get(f"/api/v1/sessions/{one}", headers=who)).json()
            shown[one] = (found["state"], found["reason"])
        assert shown == {
            session: ("ended", "device-retired"),
            pairing: ("refused", "device-retired"),
        }
        assert (await pipe(web, who, session)).json()["code"] == "session-ended"
        # Another device goes on.
        await (await living.ws.ping())
        # Told again, there is nothing left to do.
        again = await web.post(f"/api/v1/devices/{device.id}/retire", headers=admin)
        assert (again.status_code, again.json()["code"]) == (409, "device-retired")
        assert await near.audited("session.end") == 1
    if bus is not relay.bus:
        await bus.close()


async def test_device_on_one_node_and_technician_on_the_other(
    relay: Relay,
    relay_parts: RelayParts,
    clock: ManualClock,
    tasks: Tasks,
    sign_in: SignIn,
    device: Device,
) -> None:
    """One database and one bus; with the in-process bus both nodes share the object."""
    bus = await relay_parts.open_bus(tasks) if relay_parts.bus_url else relay.bus
    other = assemble(
        relay.settings, db=relay.db, bus=bus, signer=relay.signer, tasks=tasks, clock=clock
    )
    async with open_node(relay, clock) as near, open_node(other, clock) as far:
        app: Any = build_app(other, [sessions_api.AREA])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://relay") as web:
            who = await sign_in("technician")
            link, session = await active_by_code(near, web, who, device)
            answer = (await pipe(web, who, session)).json()
            # The pipe is where the control link is, and the console is sent there.
            assert answer["url"] == f"{near.url}/pipe"
            for_device = await link.receive(messages.AttachPipe)
            agent = await attach(near, "device", session, for_device.token)
            token = base64.b64decode(answer["token"])
            console = await attach(near, "console", session, token)
            await agent.send(b"hello")
            assert await receive_bytes(console) == b"hello"
            resident = await device.present(near)
            body = grant_for(near, device)
            assert (await offered(near, web, who, resident, body)).json()["state"] == "active"
            await far.gateway.links.broadcast(b"")
            while not far.gateway.presence.is_online(device.id):
                await asyncio.sleep(0.01)
            # The same device comes to the other node: the first gives way.
            second = await device.present(far)
            near.advance(1)
            while near.gateway.presence.is_online(device.id) and device.id in [
                name for chunk in near.gateway.presence.here() for name in chunk
            ]:
                await asyncio.sleep(0.01)
            await end(web, who, body["session"], note="x")
            assert (await second.receive(messages.EndSession)).session == body["session"]
            await end(web, who, session, note="x")
            assert (await link.receive(messages.EndSession)).session == session
            with pytest.raises(Exception, match="session-ended"):
                await receive_bytes(console)
    if bus is not relay.bus:
        await bus.close()


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_no_pipe_once_the_end_was_said(
    node: Node,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    hangs_up: bool,
) -> None:
    """The end is received, and not yet handled, when a pipe is asked for."""
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    dispatcher = node.gateway.links.dispatcher
    handle, received, goes_on = dispatcher._handle, asyncio.Event(), asyncio.Event()

    async def handle_late(one: Link, data: bytes) -> None:
        received.set()
        await goes_on.wait()
        await handle(one, data)

    monkeypatch.setattr(dispatcher, "_handle", handle_late)
    await link.send(messages.SessionReport(seq=9, session=session, state="ended", reason="user"))
    await received.wait()
    if hangs_up:
        await link.close()
    asked = asyncio.create_task(pipe(web, who, session))
    asked_there = dispatcher.on_control

    async def on_control(one: Link, data: bytes) -> bytes | None:
        asyncio.get_running_loop().call_soon(goes_on.set)
        return await asked_there(one, data)

    monkeypatch.setattr(dispatcher, "on_control", on_control)
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (410, "session-ended")


@pytest.mark.parametrize(
    ("way", "state"),
    [("burned", "resolved"), ("swept", "resolved"), ("given up", "resolved"),
     ("touched", "open"), ("shared", "open"), ("named", "new"), ("active", "open")],
)  # fmt: skip
async def test_the_walk_in_of_a_session_that_never_began_is_resolved(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, way: str, state: str
) -> None:
    who = await sign_in("technician")
    if way == "active":
        _, session = await active_by_code(node, web, who, device)
        await end(web, who, session, note="")
    else:
        named = {}
        if way == "named":
            made = await web.post("/api/v1/tickets", json={"title": "x"}, headers=who)
            named = {"ticket": made.json()["number"]}
        link, nameplate = await show_code(node, device)
        session = (await claim(web, who, nameplate, **named)).json()["session"]
        await link.receive(messages.MailboxOpen)
        if way == "touched":
            note = {"kind": "note", "body": "I am at it"}
            await web.post("/api/v1/tickets/FH-1/messages", json=note, headers=who)
        if way == "shared":
            await active_by_code(node, web, who, device, ticket="FH-1")
        if way == "given up":
            await end(web, who, session, note="")
        else:
            node.advance(16 * 60 if way == "swept" else 0)
            if way == "swept":
                await node.relay.service(make_sessions).sweep()
            else:
                await node.gateway.rendezvous._burn(session, "code-wrong", "technician")
    ticket = (await web.get("/api/v1/tickets/FH-1", headers=who)).json()
    assert ticket["state"] == state
    notes = (await web.get("/api/v1/tickets/FH-1/messages", headers=who)).json()["items"]
    by_relay = [one["body"] for one in notes if one["author"] == "relay"]
    assert len(by_relay) == (state == "resolved")
    if way == "burned":
        assert f"{session} never began (code-wrong)" in by_relay[0]


@pytest.mark.parametrize("first", ["never begins", "goes on", "is over"])
async def test_two_who_open_at_once_get_one_ticket(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, first: str
) -> None:
    who, other = await sign_in("technician"), await sign_in("admin")
    ticket = await walk_in(web, who, device)
    body = grant_for(node, device) | {"ticket": ticket}
    if first == "never begins":
        # Each has made it before either grant came.
        again = {"title": "x", "device": device.id, "body": "again", "walk_in": True}
        made = await web.post("/api/v1/tickets", json=again, headers=other)
        assert made.json()["number"] == ticket
        for more in (body, grant_for(node, device) | {"ticket": ticket}):
            answer = await web.post("/api/v1/sessions", json=more, headers=who)
            assert answer.json()["code"] == "device-offline"
        shown = (await web.get(f"/api/v1/tickets/{ticket}", headers=who)).json()
        assert shown["state"] == "resolved"
        said = (await web.get(f"/api/v1/tickets/{ticket}/messages", headers=who)).json()["items"]
        assert [one["body"] for one in said][:2] == ["slow", "again"]
        assert len(said) == 3
        assert await walk_in(web, who, device) != ticket
        return
    await offered(node, web, who, await device.present(node), body)
    if first == "is over":
        await end(web, who, body["session"], note="done")
    _, second = await active_by_code(node, web, who, device)
    shown = (await web.get(f"/api/v1/sessions/{second}", headers=who)).json()
    assert (shown["ticket"] == ticket) == (first == "goes on")
    node.advance(16 * 60)
    assert await walk_in(web, who, device) not in (ticket, shown["ticket"])


async def walk_in(web: httpx.AsyncClient, who: dict[str, str], device: Device) -> str:
    """Make a ticket as a console does that opens a session without a code; return its number."""
    ticket = {"title": "Session on box", "device": device.id, "body": "slow", "walk_in": True}
    made = await web.post("/api/v1/tickets", json=ticket, headers=who)
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["kind"], body["state"], body["owner"]) == ("walk-in", "open", "technician")
    return str(body["number"])


@pytest.mark.parametrize(
    ("way", "state"),
    [("policy-refused", "resolved"), ("consent-timeout", "resolved"),
     ("device-offline", "resolved"), ("never-came", "resolved"), ("withdrawn", "resolved"),
     ("touched", "open"), ("active", "open")],
)  # fmt: skip
async def test_the_walk_in_that_a_console_made(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, way: str, state: str
) -> None:
    who = await sign_in("technician")
    ticket = await walk_in(web, who, device)
    if way == "touched":
        note = {"kind": "note", "body": "I am at it"}
        await web.post(f"/api/v1/tickets/{ticket}/messages", json=note, headers=who)
    body = grant_for(node, device) | {"ticket": ticket}
    if way == "withdrawn":
        await web.post("/api/v1/sessions", json=body | {"approvals_needed": 1}, headers=who)
        await end(web, who, body["session"], note="")
    elif way == "active":
        await offered(node, web, who, await device.present(node), body)
        await end(web, who, body["session"], note="")
    elif way in ("policy-refused", "consent-timeout"):
        link = await device.present(node)

        async def refuse() -> None:
            offer = await link.receive(messages.OfferGrant)
            await report(node, link, offer.session, "refused", reason=way)

        await asyncio.gather(web.post("/api/v1/sessions", json=body, headers=who), refuse())
    elif way in ("device-offline", "touched"):
        answer = await web.post("/api/v1/sessions", json=body, headers=who)
        assert answer.json()["code"] == "device-offline"
    else:
        await node.relay.service(make_sessions).sweep()
        shown = (await web.get(f"/api/v1/tickets/{ticket}", headers=who)).json()
        assert shown["state"] == "open", "the grant may still come"
    node.advance(16 * 60)
    await node.relay.service(make_sessions).sweep()
    shown = (await web.get(f"/api/v1/tickets/{ticket}", headers=who)).json()
    assert shown["state"] == state
    listed = await web.get("/api/v1/tickets", params={"state": "open"}, headers=who)
    assert [one["number"] for one in listed.json()["items"]] == [ticket] * (state == "open")
    every = (await web.get("/api/v1/tickets", headers=who)).json()["items"]
    assert every == listed.json()["items"], "what the relay resolved by itself is not in the way"
    asked = await web.get("/api/v1/tickets", params={"state": "resolved"}, headers=who)
    assert len(asked.json()["items"]) == (state == "resolved")
    if state == "resolved":
        again = {"reason": "we look at it"}
        await web.post(f"/api/v1/tickets/{ticket}/reopen", json=again, headers=who)
        await web.post(f"/api/v1/tickets/{ticket}/resolve", json={"note": "done"}, headers=who)
        every = (await web.get("/api/v1/tickets", headers=who)).json()["items"]
        assert [one["number"] for one in every] == [ticket], "people resolved it"
    notes = (await web.get(f"/api/v1/tickets/{ticket}/messages", headers=who)).json()["items"]
    by_relay = [one["body"] for one in notes if one["author"] == "relay"]
    assert len(by_relay) == (state == "resolved")
    if way in ("policy-refused", "consent-timeout", "device-offline"):
        assert f"never began ({way})" in by_relay[0]
