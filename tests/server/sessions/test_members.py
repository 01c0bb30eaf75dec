"""Operators who join somebody else's session, as the relay carries and writes it down."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx

from farhand_protocol import messages
from tests.server.gateway.nodes import Device, LinkEnd, Node
from tests.server.relays import SignIn
from tests.server.sessions.meeting import active_by_code, grant_for, report

Headers = dict[str, str]


def wish(node: Node, device: Device, session: str, **changes: Any) -> dict[str, Any]:
    """Return the body of POST join, by bob unless told otherwise; and the id of his grant."""
    fields = {"id": "j-1", "joins": session, "mode": "observer", "scopes": ["view"], **changes}
    operator = fields.pop("operator", "bob")
    made = grant_for(node, device, operator=operator, **fields)
    return {"envelope": made["envelope"]}


async def join(
    web: httpx.AsyncClient,
    who: Headers,
    link: LinkEnd,
    session: str,
    body: dict[str, Any],
    state: Any,
    **more: Any,
) -> httpx.Response:
    """Post a wish, and answer it as the device."""
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(
            web.post(f"/api/v1/sessions/{session}/join", json=body, headers=who)
        )
        offer = await link.receive(messages.OfferGrant)
        assert (offer.session, offer.envelope) == (session, base64.b64decode(body["envelope"]))
        await tell(link, session, state, **more)
    return asking.result()


async def tell(link: LinkEnd, session: str, state: Any, **more: Any) -> None:
    said = messages.JoinReport(seq=5, session=session, join=more.pop("join", "j-1"), state=state)
    await link.send(messages.JoinReport(**{**_fields(said), **more}))
    await link.receive(messages.Ack)


def _fields(report: messages.JoinReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__struct_fields__}


async def pipe(web: httpx.AsyncClient, who: Headers, session: str, number: str = "") -> Any:
    return await web.post(f"/api/v1/sessions/{session}/pipes{number}", headers=who)


async def test_who_is_let_in_gets_pipes_of_her_own_until_she_leaves(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    link, session = await active_by_code(node, web, who, device)
    assert (await pipe(web, bob, session)).status_code == 403
    own = await pipe(web, who, session, "/0")
    assert (own.status_code, own.json()["number"]) == (201, 0)
    await link.receive(messages.AttachPipe)

    made = await join(web, bob, link, session, wish(node, device, session), "in")
    assert (made.status_code, made.json()["state"], made.json()["mode"]) == (201, "in", "observer")
    for name, count in (("bob", 1), ("carl", 0)):
        told = await web.get(f"/api/v1/sessions?state=active&operator={name}", headers=bob)
        assert [one["session"] for one in told.json()["items"]] == [session] * count
    hers = await pipe(web, bob, session)
    assert (hers.status_code, hers.json()["number"]) == (201, 7)
    assert (await link.receive(messages.AttachPipe)).number == 7
    twice = await web.post(
        f"/api/v1/sessions/{session}/join", json=wish(node, device, session, id="j-2"), headers=bob
    )
    assert twice.json()["code"] == "join-own"

    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(web.post(f"/api/v1/sessions/{session}/leave", headers=bob))
        assert (await link.receive(messages.EndSession)).session == "j-1"
    assert leaving.result().json()["state"] == "left"
    assert (await pipe(web, bob, session)).status_code == 403
    again = await web.post(f"/api/v1/sessions/{session}/leave", headers=bob)
    assert (again.status_code, again.json()["code"]) == (409, "join-none")
    # The device that did not hear of it says that she is in, and is told again.
    await tell(link, session, "in")
    assert (await link.receive(messages.EndSession)).session == "j-1"
    listed = (await web.get(f"/api/v1/sessions/{session}/members", headers=who)).json()
    assert [(one["operator"], one["state"]) for one in listed] == [("bob", "left")]


async def test_what_the_device_refuses_opens_nothing(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    link, session = await active_by_code(node, web, who, device)
    body = wish(node, device, session)
    made = await join(web, bob, link, session, body, "refused", reason="consent-refused")
    assert (made.json()["state"], made.json()["reason"]) == ("refused", "consent-refused")
    await tell(link, session, "left")  # a word that comes late changes nothing
    assert (await pipe(web, bob, session)).status_code == 403
    same = await web.post(f"/api/v1/sessions/{session}/join", json=body, headers=bob)
    assert (same.status_code, same.json()["code"]) == (409, "session-exists")


async def test_a_grant_for_something_else_goes_nowhere(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    link, session = await active_by_code(node, web, who, device)
    cases: list[tuple[dict[str, str], dict[str, Any], str]] = [
        (who, {"operator": "technician"}, "join-own"),
        (bob, {"operator": "technician"}, "not-permitted"),
        (bob, {"joins": "s-other"}, "grant-mismatch"),
        (bob, {"mode": ""}, "grant-mismatch"),
        (bob, {"tenant": "t-other"}, "grant-mismatch"),
        (bob, {"operator_key": b"\x01" * 32}, "grant-mismatch"),
    ]
    for caller, changes, code in cases:
        body = wish(node, device, session, **changes)
        answer = await web.post(f"/api/v1/sessions/{session}/join", json=body, headers=caller)
        assert answer.json()["code"] == code, changes
    await report(node, link, session, "ended")
    late = await web.post(
        f"/api/v1/sessions/{session}/join", json=wish(node, device, session), headers=bob
    )
    assert late.json()["code"] == "session-state"


async def test_the_end_of_the_session_lets_everybody_out_and_strangers_say_nothing(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    link, session = await active_by_code(node, web, who, device)
    await join(web, bob, link, session, wish(node, device, session, mode="peer"), "in")
    await link.send(messages.JoinReport(seq=6, session=session, join="j-9", state="in"))
    assert (await link.receive(messages.Nack)).code == "session-unknown"
    await report(node, link, session, "ended")
    listed = (await web.get(f"/api/v1/sessions/{session}/members", headers=who)).json()
    assert [(one["state"], one["reason"]) for one in listed] == [("left", "ended")]
