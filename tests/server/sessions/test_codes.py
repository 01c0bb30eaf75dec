"""Nameplates and the mailbox: one claim, one guess, phases in order, rates, audit."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from farhand_protocol import messages
from farhand_protocol.codes import CODE_RANDOM_BYTES
from farhand_protocol.errors import FarhandError
from farhand_server.gateway import nameplates
from farhand_server.gateway.link import Link
from farhand_server.relay import Relay
from tests.server.gateway.nodes import Device, Node, settle
from tests.server.relays import SignIn
from tests.server.sessions.meeting import active_by_code, blob_in, claim, exchange, show_code


async def test_the_whole_way_by_code(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, nameplate = await show_code(node, device)
    assert len(nameplate) == 4
    claimed = await claim(web, who, nameplate, reason="printer is dead")
    assert claimed.status_code == 201
    body = claimed.json()
    session = body["session"]
    assert body["ticket"] == "FH-1"
    assert (body["operator"], body["organisation"]) == ("technician", "Example Ltd")
    opened = await link.receive(messages.MailboxOpen)
    assert (opened.session, opened.nameplate, opened.operator, opened.ticket) == (
        session,
        nameplate,
        "technician",
        "FH-1",
    )
    for phase in ("pake", "confirm", "request"):
        answer = await exchange(web, who, link, session, phase)
        assert answer.status_code == 200
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["state"], shown["device"], shown["ticket"]) == ("asked", device.id, "FH-1")
    for action in ("code.allocate", "code.claim", "ticket.create"):
        assert await node.audited(action) == 1


async def test_the_first_of_two_consoles_wins(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    ann, bob = await sign_in("technician", name="ann"), await sign_in("technician", name="bob")
    _, nameplate = await show_code(node, device)
    answers = await asyncio.gather(claim(web, ann, nameplate), claim(web, bob, nameplate))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    loser = max(answers, key=lambda answer: answer.status_code)
    assert (loser.json()["code"], "somebody else" in loser.text) == ("code-claimed", True)
    assert await node.audited("code.wrong") == 1
    winner = ann if answers[0].status_code == 201 else bob
    again = await claim(web, winner, nameplate)
    assert (again.json()["code"], "you have used" in again.text) == ("code-claimed", True)


async def test_the_other_technician_cannot_use_the_mailbox(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    ann, bob = await sign_in("technician", name="ann"), await sign_in("technician", name="bob")
    _, nameplate = await show_code(node, device)
    session = (await claim(web, ann, nameplate)).json()["session"]
    for other in (bob, await sign_in("admin")):
        answer = await blob_in(web, other, session, "pake")
        assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")


async def test_unknown_expired_and_used_codes_are_told_apart(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, nameplate = await show_code(node, device)
    unknown = "1000" if nameplate != "1000" else "1001"
    answer = await claim(web, who, unknown)
    assert (answer.status_code, answer.json()["code"]) == (404, "code-unknown")
    node.clock.advance(601)
    answer = await claim(web, who, nameplate)
    assert (answer.status_code, answer.json()["code"]) == (410, "code-expired")


async def test_a_code_dies_with_its_link(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, nameplate = await show_code(node, device)
    await link.close()
    await settle(node.relay)
    answer = await claim(web, who, nameplate)
    assert (answer.status_code, answer.json()["code"]) == (410, "code-expired")


@pytest.mark.parametrize("code", ["code-wrong", "pairing-malformed"])
@pytest.mark.either_store
async def test_a_wrong_guess_burns_the_code(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, code: str
) -> None:
    who = await sign_in("technician")
    link, nameplate = await show_code(node, device)
    session = (await claim(web, who, nameplate)).json()["session"]
    await link.receive(messages.MailboxOpen)
    await exchange(web, who, link, session, "pake")
    answer = await exchange(web, who, link, session, "confirm", error=code)
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    again = await blob_in(web, who, session, "confirm")
    assert (again.status_code, again.json()["code"]) == (409, "session-state")
    answer = await claim(web, who, nameplate)
    assert answer.json()["code"] == "code-burned"
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["state"], shown["reason"]) == ("refused", code)
    assert await node.audited("code.burn") == 1


@pytest.mark.parametrize("phases", [["confirm"], ["request"], ["pake", "request"],
                                    ["pake", "pake"]])  # fmt: skip
@pytest.mark.either_store
async def test_phases_out_of_order_burn_the_code(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, phases: list[str]
) -> None:
    who = await sign_in("technician")
    link, nameplate = await show_code(node, device)
    session = (await claim(web, who, nameplate)).json()["session"]
    await link.receive(messages.MailboxOpen)
    for phase in phases[:-1]:
        await exchange(web, who, link, session, phase)
    answer = await blob_in(web, who, session, phases[-1])
    assert (answer.status_code, answer.json()["code"]) == (409, "pairing-malformed")
    # The device hears of it, so that it burns its side as well.
    ended = await link.receive(messages.EndSession)
    assert (ended.session, ended.reason) == (session, "pairing-malformed")


async def test_a_device_that_goes_in_the_middle_ends_the_pairing(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, nameplate = await show_code(node, device)
    session = (await claim(web, who, nameplate)).json()["session"]
    await link.receive(messages.MailboxOpen)

    async def go() -> None:
        await link.receive(messages.MailboxBlob)
        await link.close()

    answer, _ = await asyncio.gather(blob_in(web, who, session, "pake"), go())
    assert (answer.status_code, answer.json()["code"]) == (409, "device-offline")
    answer = await blob_in(web, who, session, "pake")
    assert answer.json()["code"] == "session-state"


@pytest.mark.either_store
async def test_an_answer_that_nobody_asked_for_ends_the_link(node: Node, device: Device) -> None:
    link, _ = await show_code(node, device)
    await link.send(messages.MailboxReply(session="s-" + "a" * 16, phase="pake", body=b"x"))
    assert await link.closed() == (1008, "mailbox-unexpected")


async def test_wrong_codes_are_limited_per_technician(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    ann = await sign_in("technician", name="ann")
    for number in range(5):
        assert (await claim(web, ann, f"100{number}")).status_code in (404, 409, 410)
    _, nameplate = await show_code(node, device)
    answer = await claim(web, ann, nameplate)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate-limited")
    assert int(answer.headers["Retry-After"]) > 0
    assert await node.audited("code.rate-limited") == 1
    # Not spent: somebody else can use it.
    bob = await sign_in("technician", name="bob")
    assert (await claim(web, bob, nameplate)).status_code == 201
    node.clock.advance(601)
    assert (await claim(web, ann, "1009")).status_code == 404


async def test_burned_codes_are_limited_per_device(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    for number in range(3):
        who = await sign_in("technician", name=f"tech{number}")
        link, nameplate = await show_code(node, device)
        session = (await claim(web, who, nameplate)).json()["session"]
        await link.receive(messages.MailboxOpen)
        await exchange(web, who, link, session, "pake", error="code-wrong")
        await link.close()
        await settle(node.relay)
    link = await device.present(node, "session")
    await link.send(messages.AllocateNameplate(seq=4))
    assert (await link.receive(messages.Nack)).code == "rate-limited"
    node.clock.advance(901)
    await link.send(messages.AllocateNameplate(seq=5))
    await link.receive(messages.Nameplate)


async def test_a_guest_may_show_a_code(node: Node, web: httpx.AsyncClient, sign_in: SignIn) -> None:
    who = await sign_in("technician")
    guest = Device()
    link, nameplate = await show_code(node, guest, guest=True)
    assert link.welcome.standing == "guest"
    session = (await claim(web, who, nameplate)).json()["session"]
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["device"], shown["guest"]) == (guest.id, True)


async def test_an_unknown_ticket_does_not_cost_the_code(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, nameplate = await show_code(node, device)
    answer = await claim(web, who, nameplate, ticket="FH-77")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    answer = await claim(web, who, nameplate, external_key="JIRA-4711")
    assert (answer.status_code, answer.json()["ticket"]) == (201, "JIRA-4711")


@pytest.mark.parametrize("nameplate", ["", "123", "1234567", "12a4", "١٢٣٤", "1234\n"])
@pytest.mark.either_store
async def test_what_is_no_nameplate_is_not_looked_up(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, nameplate: str
) -> None:
    answer = await claim(web, await sign_in("technician"), nameplate)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert await node.audited("code.wrong") == 0


async def test_nameplates_are_not_drawn_again_within_a_day(relay: Relay) -> None:
    same = bytes(range(CODE_RANDOM_BYTES))

    async def draw() -> str:
        async with relay.db.write() as c:
            return await nameplates.draw(
                c, relay, device="d-x", guest=False, session="s-" + "a" * 16, valid_s=600,
                random=lambda _count: same,
            )  # fmt: skip

    assert len(await draw()) == 4
    with pytest.raises(FarhandError, match="nameplates-full"):
        await draw()


async def test_nameplates_grow_with_use(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameplates, "_CROWDED", {4: 2, 5: 4})
    lengths = []
    for _ in range(6):
        async with relay.db.write() as c:
            drawn = await nameplates.draw(
                c, relay, device="d-x", guest=False, session="s-" + "a" * 16, valid_s=600,
                random=relay.random,
            )  # fmt: skip
        lengths.append(len(drawn))
    assert lengths == [4, 4, 5, 5, 6, 6]
    async with relay.db.write() as c:
        await nameplates.forget(c, relay, rest_s=-1)
        assert await nameplates.claim(c, relay, drawn) is None


async def test_a_session_by_code_becomes_active(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    _, session = await active_by_code(node, web, who, device)
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert shown["state"] == "active"
    assert shown["scopes"] == ["view", "terminal"]


@pytest.mark.parametrize("says", ["reply", "reply and report", "report", "report elsewhere"])
@pytest.mark.parametrize("handled", ["before", "after"])
async def test_a_wrong_code_is_said_whatever_else_the_device_does(
    node: Node,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    says: str,
    handled: str,
) -> None:
    """The device answers, reports and hangs up at once; the worker comes before or after that."""
    who = await sign_in("technician")
    resident = await device.present(node)
    link, nameplate = await show_code(node, device)
    session = (await claim(web, who, nameplate)).json()["session"]
    await link.receive(messages.MailboxOpen)
    await exchange(web, who, link, session, "pake")
    [near] = [one for one in node.gateway.links._all if one.role == "session"]
    lost, goes_on = asyncio.Event(), asyncio.Event()
    handle = node.gateway.links.dispatcher._handle

    def is_lost(self: Link, code: int, reason: str) -> None:
        original_lost(self, code, reason)
        if self is near:
            lost.set()

    async def handle_late(one: Link, data: bytes) -> None:
        if one is near and handled == "after":
            await goes_on.wait()
        await handle(one, data)

    original_lost = type(near).on_lost
    monkeypatch.setattr(Link, "on_lost", is_lost)
    monkeypatch.setattr(node.gateway.links.dispatcher, "_handle", handle_late)

    async def fail() -> None:
        await link.receive(messages.MailboxBlob)
        refused = messages.SessionReport(
            seq=2, session=session, state="refused", reason="code-wrong"
        )
        if says.startswith("reply"):
            await link.send(
                messages.MailboxReply(session=session, phase="confirm", error="code-wrong")
            )
        if says == "report elsewhere":
            await resident.send(refused)
            await resident.receive(messages.Ack)
        elif says != "reply":
            await link.send(refused)
        await link.close()
        await lost.wait()
        goes_on.set()

    answer, _ = await asyncio.gather(blob_in(web, who, session, "confirm"), fail())
    assert answer.json()["code"] == "code-wrong", answer.text
    assert "the code was wrong" in answer.text
    shown = (await web.get(f"/api/v1/sessions/{session}", headers=who)).json()
    assert (shown["state"], shown["reason"]) == ("refused", "code-wrong")
    # The place is left all the same.
    await settle(node.relay)
    assert near not in node.gateway.links._all
    assert near.session not in node.gateway.links._control
