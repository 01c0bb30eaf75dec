"""Grants that wait for other operators: posted, listed, approved, offered, swept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import Any

import httpx
import pytest

from farhand_protocol import messages
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.grants import GrantApproval
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_server.relay import Relay
from farhand_server.sessions import approvals as approvals_module
from farhand_server.sessions.service import make_sessions
from tests.server.gateway.nodes import Device, Node
from tests.server.relays import TENANT, ManualClock, SignIn
from tests.server.sessions.meeting import grant_for

BOB = SeedSigner(b"\x31" * 32)


def approval(node: Node, body: dict[str, Any], signer: SeedSigner = BOB, **changes: Any) -> Any:
    """Return the body of POST approvals, by bob unless told otherwise."""
    now = node.relay.now()
    fields: dict[str, Any] = {
        "tenant": TENANT,
        "id": body["session"],
        "grant_sha256": hashlib.sha256(base64.b64decode(body["envelope"])).hexdigest(),
        "approver": "bob",
        "approver_key": signer.public_key,
        "at": format_instant(now),
        "expires": format_instant(now + timedelta(hours=1)),
    }
    envelope = encode_envelope(seal(GrantApproval(**{**fields, **changes}), signer))
    return {"envelope": base64.b64encode(envelope).decode()}


async def post(
    node: Node, web: httpx.AsyncClient, who: dict[str, str], device: Device, needed: int = 1
) -> dict[str, Any]:
    body: dict[str, Any] = grant_for(node, device) | {"approvals_needed": needed}
    answer = await web.post("/api/v1/sessions", json=body, headers=who)
    assert (answer.status_code, answer.json()["state"]) == (201, "waiting")
    return body


def place(body: dict[str, Any], what: str) -> str:
    return f"/api/v1/sessions/{body['session']}/{what}"


async def test_it_waits_is_approved_and_then_offered_with_the_approval(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    link = await device.present(node)
    body = await post(node, web, who, device)
    listed = (await web.get("/api/v1/sessions/waiting", headers=bob)).json()["items"]
    assert [(one["session"], one["needed"], one["approvers"]) for one in listed] == [
        (body["session"], 1, [])
    ]
    assert listed[0]["envelope"] == body["envelope"]
    sealed = approval(node, body)
    shown = await web.post(place(body, "approvals"), json=sealed, headers=bob)
    assert (shown.status_code, shown.json()["approvers"]) == (201, ["bob"])
    again = await web.post(place(body, "approvals"), json=sealed, headers=bob)
    assert (again.status_code, again.json()["code"]) == (409, "approval-twice")

    async with asyncio.TaskGroup() as group:
        opening = group.create_task(web.post(place(body, "offer"), headers=who))
        offer = await link.receive(messages.OfferGrant)
        assert offer.envelope == base64.b64decode(body["envelope"])
        assert offer.approvals == [base64.b64decode(sealed["envelope"])]
        await node.relay.service(make_sessions).refuse(body["session"], "policy-refused")
    assert opening.result().json()["state"] == "refused"
    assert (await web.get("/api/v1/sessions/waiting", headers=bob)).json()["items"] == []


async def test_without_enough_approvals_it_is_not_offered(
    node: Node,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(approvals_module, "_PATIENCE_S", 0.0)
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    body = await post(node, web, who, device, needed=2)
    await web.post(place(body, "approvals"), json=approval(node, body), headers=bob)
    answer = await web.post(place(body, "offer"), headers=who)
    assert (answer.status_code, answer.json()["code"]) == (409, "session-waiting")


async def test_only_the_opener_offers_and_somebody_else_approves(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    body = await post(node, web, who, device)
    answer = await web.post(place(body, "offer"), headers=bob)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")
    own = approval(node, body, approver="technician")
    answer = await web.post(place(body, "approvals"), json=own, headers=who)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")


@pytest.mark.parametrize(
    "change",
    [
        {"approver": "carol"},
        {"grant_sha256": "0" * 64},
        {"id": "s-bbbbbbbbbbbbbbbb"},
        {"tenant": "t-other"},
        {"approver_key": b"\x05" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.either_store
async def test_an_approval_of_something_else_is_not_taken(
    node: Node,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
    change: dict[str, Any],
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    body = await post(node, web, who, device)
    sealed = approval(node, body, **change)
    answer = await web.post(place(body, "approvals"), json=sealed, headers=bob)
    assert (answer.status_code, answer.json()["code"]) == (422, "approval-mismatch")


async def test_an_opener_withdraws(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    body = await post(node, web, who, device)
    assert (await web.post(place(body, "end"), json={}, headers=who)).status_code == 200
    for answer in (
        await web.post(place(body, "approvals"), json=approval(node, body), headers=bob),
        await web.post(place(body, "offer"), headers=who),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "session-state")


async def test_a_grant_that_nobody_approved_expires(
    node: Node,
    web: httpx.AsyncClient,
    sign_in: SignIn,
    device: Device,
    relay: Relay,
    clock: ManualClock,
) -> None:
    who = await sign_in("technician")
    body = await post(node, web, who, device)
    clock.advance(20 * 60)
    sessions = relay.service(make_sessions)
    await sessions.sweep()
    assert (await sessions.get(body["session"])).state == "waiting"
    clock.advance(30 * 60)
    await sessions.sweep()
    assert (await sessions.get(body["session"])).state == "refused"
