"""A session process and a console as the relay sees them: blobs, grants and reports."""

from __future__ import annotations

import asyncio
import base64
import os
from datetime import timedelta
from typing import Any

import httpx

from farhand_protocol import messages
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.grants import Grant
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from tests.server.gateway.nodes import Device, LinkEnd, Node
from tests.server.relays import TENANT

Headers = dict[str, str]


async def show_code(node: Node, device: Device, *, guest: bool = False) -> tuple[LinkEnd, str]:
    """Have a session process ask for a nameplate."""
    link = await device.present(node, "session", "" if guest else TENANT)
    await link.send(messages.AllocateNameplate(seq=1))
    return link, (await link.receive(messages.Nameplate)).nameplate


async def claim(web: httpx.AsyncClient, who: Headers, nameplate: str, **more: Any) -> Any:
    return await web.post("/api/v1/pairings", json={"nameplate": nameplate, **more}, headers=who)


async def exchange(
    web: httpx.AsyncClient,
    who: Headers,
    link: LinkEnd,
    session: str,
    phase: str,
    *,
    error: str = "",
) -> httpx.Response:
    """Send one blob as the console and answer it as the device."""
    body = f"console {phase}".encode()

    async def answer() -> None:
        blob = await link.receive(messages.MailboxBlob)
        assert (blob.session, blob.phase, blob.body) == (session, phase, body)
        reply = messages.MailboxReply(
            session=session, phase=phase, body=b"device " + phase.encode(), error=error
        )
        await link.send(reply)

    response, _ = await asyncio.gather(blob_in(web, who, session, phase, body), answer())
    return response


async def blob_in(
    web: httpx.AsyncClient, who: Headers, session: str, phase: str, body: bytes = b"x"
) -> httpx.Response:
    return await web.post(
        f"/api/v1/sessions/{session}/mailbox",
        json={"phase": phase, "body": base64.b64encode(body).decode()},
        headers=who,
    )


async def report(node: Node, link: LinkEnd, session: str, state: Any, **more: Any) -> Any:
    """Report on a session; return the relay's answer."""
    if state == "active":
        until = node.relay.now() + timedelta(minutes=30)
        more = {"scopes": ["view", "terminal"], "expires": format_instant(until), **more}
    await link.send(messages.SessionReport(seq=9, session=session, state=state, **more))
    return await link.receive(messages.Ack)


async def active_by_code(
    node: Node, web: httpx.AsyncClient, who: Headers, device: Device, **more: Any
) -> tuple[LinkEnd, str]:
    """Bring a session by code to its active state."""
    link, nameplate = await show_code(node, device)
    claimed = (await claim(web, who, nameplate, **more)).json()
    session = claimed["session"]
    await link.receive(messages.MailboxOpen)
    for phase in ("pake", "confirm", "request"):
        assert (await exchange(web, who, link, session, phase)).status_code == 200
    await report(node, link, session, "active")
    return link, session


def grant_for(node: Node, to: Device, *, operator: str = "technician", **more: Any) -> Any:
    """Return the body of POST /sessions with a signed grant."""
    signer = SeedSigner(b"\x21" * 32)
    now = node.relay.now()
    session = make_id("s", os.urandom(10))
    values: dict[str, Any] = {
        "tenant": TENANT,
        "id": session,
        "device": to.id,
        "host_name": "box",
        "group": "default",
        "operator": operator,
        "operator_key": signer.public_key,
        "organisation": "Example Ltd",
        "ticket": "FH-1",
        "reason": "looking",
        "scopes": ["view", "terminal"],
        "forward": [],
        "minutes": 30,
        "console_key": b"\x05" * 32,
        "transcript": None,
        "targets_version": 1,
        "issued_at": format_instant(now),
        "not_before": format_instant(now),
        "expires": format_instant(now + timedelta(minutes=30)),
    }
    envelope = encode_envelope(seal(Grant(**{**values, **more}), signer))
    return {
        "session": session,
        "device": to.id,
        "envelope": base64.b64encode(envelope).decode(),
        "reason": "looking",
    }
