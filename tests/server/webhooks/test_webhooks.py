"""Webhooks: what is told to whom, signed, once; and that secrets stay where they are."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.desk.tickets import Intake, create_ticket
from farhand_server.heeders import heed_now
from farhand_server.outbox.items import list_items
from farhand_server.outbox.sending import send_due
from farhand_server.relay import Relay
from farhand_server.senders import SENDERS
from farhand_server.webhooks.signing import TOLERANCE_S, is_signed, sign
from tests.server.outbox.listening import Listener, Told, listening
from tests.server.relays import ManualClock, SignIn

API = "/api/v1/webhooks"
SECRET = "a secret of twenty letters"


async def _add(
    web: httpx.AsyncClient, admin: dict[str, str], listener: Listener, **fields: Any
) -> Any:
    body = {"name": "chat", "url": listener.url + "/hook", "secret": SECRET, **fields}
    answer = await web.post(API, headers=admin, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _ticket(relay: Relay, **intake: Any) -> str:
    async with relay.db.write() as c:
        made = await create_ticket(
            c, relay, title="Slow", actor="ann", body="secret words", intake=Intake(**intake)
        )
    return made.number


async def test_an_event_is_told_once_and_signed(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    admin = await sign_in("admin")
    async with listening() as listener:
        added = await _add(web, admin, listener, events=["ticket.created"])
        assert (added["secret"], added["enabled"]) == (None, True), "it was typed, not drawn"
        number = await _ticket(relay)
        await _ticket(relay, security=True)
        await heed_now(relay)
        await heed_now(relay)
        listener.answer = lambda asked: Told(500)
        assert await send_due(relay, SENDERS) == 1
        clock.advance(60)
        listener.answer = lambda asked: Told(204, b"")
        assert await send_due(relay, SENDERS) == 1
        first, second = listener.asked
        assert first.json["ticket"]["number"] == number
        assert (first.json["event"], first.headers["x-farhand-event"]) == ("ticket.created",) * 2
        assert b"secret words" not in first.body
        assert first.headers["x-farhand-delivery"] == second.headers["x-farhand-delivery"]
        uuid.UUID(first.headers["x-farhand-delivery"])
        at = int(clock.now().timestamp())
        digest = hmac.new(SECRET.encode(), f"{at}.".encode() + second.body, hashlib.sha256)
        assert second.headers["x-farhand-signature-256"] == f"t={at},sha256={digest.hexdigest()}"
        (shown,) = (await web.get(API, headers=admin)).json()["items"]
        assert (shown["last_status"], shown["secret"]) == ("204", None)
    assert SECRET not in (await web.get(API, headers=admin)).text


async def test_gone_switched_off_and_removed_are_given_up(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin = await sign_in("admin")
    reasons = []
    async with listening() as listener:
        await _add(web, admin, listener)
        listener.answer = lambda asked: Told(410)
        for path, body in (("", {}), ("/enabled", {"enabled": False}), ("/remove", {})):
            await _ticket(relay)
            await heed_now(relay)
            if path:
                done = await web.post(f"{API}/chat{path}", headers=admin, json=body)
                assert done.status_code == 200
            await send_due(relay, SENDERS)
            async with relay.db.read() as c:
                dead = await list_items(c, relay.tenant, kind="webhook", state="dead")
            reasons.append([one.last_error for one in dead])
            if path == "/enabled":
                await web.post(f"{API}/chat/enabled", headers=admin, json={"enabled": True})
        assert len(listener.asked) == 1
    assert [len(one) for one in reasons] == [1, 2, 3]
    assert {one for some in reasons for one in some} == {
        "its server says that it is gone (410)",
        "the webhook is switched off",
        "the webhook was removed",
    }


async def test_a_test_says_what_came_of_it(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin, tech = await sign_in("admin"), await sign_in("technician")
    async with listening() as listener:
        drawn = await _add(web, admin, listener, secret="")
        assert len(drawn["secret"]) >= 40
        answer = await web.post(f"{API}/chat/test", headers=admin)
        assert answer.json() == {"status": 200, "words": "taken"}
        secret, body = drawn["secret"].encode(), listener.asked[0].body
        now = int(relay.now().timestamp())
        assert is_signed(
            secret, body, listener.asked[0].headers["x-farhand-signature-256"], now=now
        )
        listener.answer = lambda asked: Told(404)
        answer = await web.post(f"{API}/chat/test", headers=admin)
        assert answer.json() == {"status": 404, "words": "not taken"}
        assert (await web.post(f"{API}/chat/test", headers=tech)).status_code == 403
    answer = await web.post(f"{API}/chat/test", headers=admin)
    assert answer.json()["status"] == 0
    assert answer.json()["words"].startswith("call-failed")


async def test_what_cannot_be_a_webhook(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    admin = await sign_in("admin")
    good = {"name": "a", "url": "https://example.org/x", "events": ["ticket.created"]}
    for wrong, code in (
        ({"url": "http://example.org/x"}, "url-insecure"),
        ({"url": "gopher://example.org"}, "url-malformed"),
        ({"events": ["ticket.exploded"]}, "event-unknown"),
        ({"events": []}, "event-unknown"),
        ({"name": "A b"}, "invalid"),
        ({"secret": "short"}, "invalid"),
    ):
        answer = await web.post(API, headers=admin, json={**good, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert (await web.post(API, headers=admin, json=good)).status_code == 201
    assert (await web.post(API, headers=admin, json=good)).json()["code"] == "webhook-exists"


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=60), st.integers(0, 10**11))
def test_a_signature_is_of_its_body_its_secret_and_its_time(
    body: bytes, secret: bytes, at: int
) -> None:
    signature = sign(secret, body, at=at)
    assert is_signed(secret, body, signature, now=at)
    assert is_signed(secret, body, signature, now=at + TOLERANCE_S)
    assert not is_signed(secret, body, signature, now=at + TOLERANCE_S + 1)
    assert not is_signed(secret, body + b"x", signature, now=at)
    assert not is_signed(secret + b"x", body, signature, now=at)
    assert not is_signed(secret, body, signature.replace(f"t={at}", f"t={at + 1}"), now=at)


@given(st.text(max_size=120))
def test_no_other_text_is_a_signature(text: str) -> None:
    assert not is_signed(b"secret", b"body", text, now=0)


@pytest.mark.parametrize("signature", ["", "t=0", "sha256=" + "0" * 64, "t=0,sha256=\xe9"])
def test_near_signatures(signature: str) -> None:
    assert not is_signed(b"secret", b"body", signature, now=0)
