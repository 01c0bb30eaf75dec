"""Mail over HTTP: passwords never come out, technicians see what they may, quarantine."""

from __future__ import annotations

import httpx

from farhand_server.app import Relay
from farhand_server.mail.mailboxes import imap_name, server_of
from tests.server.mail.desk_mail import all_mails, answer, arrive, letter, open_mailbox
from tests.server.relays import SignIn

IMAP = {"host": "imap.example.com", "port": 993, "user": "desk", "password": "hunter2"}


async def test_a_password_goes_in_and_never_out_nor_to_another_place(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin = await sign_in("admin")
    body = {"address": "Desk@Example.com", "imap": IMAP}
    made = await web.post("/api/v1/mailboxes/desk", json=body, headers=admin)
    assert made.status_code == 200, made.text
    assert (made.json()["address"], made.json()["imap"]["has_password"]) == (
        "desk@example.com",
        True,
    )
    for path in ("/mailboxes", "/mailboxes/desk", "/mail/status", "/mail/mails"):
        assert "hunter2" not in (await web.get(f"/api/v1{path}", headers=admin)).text
    moved = {**IMAP, "host": "imap.thief.example"}
    del moved["password"]
    body = {"address": "desk@example.com", "imap": moved}
    refused = await web.post("/api/v1/mailboxes/desk", json=body, headers=admin)
    assert refused.json()["code"] == "mail-password-needed"
    async with relay.db.read() as c:
        found = await server_of(c, relay, imap_name("desk"))
        assert found is not None
        assert (found[0].host, found[1]) == ("imap.example.com", "hunter2")
    plain = {"address": "x@example.com", "imap": {**IMAP, "security": "plain"}}
    refused = await web.post("/api/v1/mailboxes/other", json=plain, headers=admin)
    assert refused.json()["code"] == "mail-server"
    twice = await web.post(
        "/api/v1/mailboxes/other", json={"address": "desk@example.com"}, headers=admin
    )
    assert twice.json()["code"] == "mailbox-address"
    gone = await web.post("/api/v1/mailboxes/desk/remove", headers=admin)
    assert gone.status_code == 200
    async with relay.db.read() as c:
        assert await server_of(c, relay, imap_name("desk")) is None


async def test_quarantine_is_listed_read_anew_and_dropped(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await open_mailbox(relay)
    admin, ann = await sign_in("admin"), await sign_in("technician", name="ann")
    bad = await arrive(relay, b"nothing that is a mail", path="")
    listed = (await web.get("/api/v1/mail/mails?state=quarantined", headers=admin)).json()
    assert [(one["id"], one["reason"]) for one in listed["items"]] == [(bad, "no-headers")]
    shown = (await web.get(f"/api/v1/mail/mails/{bad}", headers=admin)).json()
    assert shown["beginning"] == "nothing that is a mail"
    raw = await web.get(f"/api/v1/mail/mails/{bad}/raw", headers=admin)
    assert raw.content == b"nothing that is a mail"
    assert raw.headers["content-disposition"].startswith("attachment")
    assert (await web.get(f"/api/v1/mail/mails/{bad}", headers=ann)).status_code == 404
    assert (await web.get("/api/v1/mail/mails", headers=ann)).json()["code"] == "invalid"
    again = await web.post(f"/api/v1/mail/mails/{bad}/release", headers=admin)
    assert again.json()["state"] == "kept"
    twice = await web.post(f"/api/v1/mail/mails/{bad}/release", headers=admin)
    assert (twice.status_code, twice.json()["code"]) == (409, "mail-state")


async def test_a_technician_holds_her_reply(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await open_mailbox(relay)
    ann = await sign_in("technician", name="ann")
    await arrive(relay, letter())
    await answer(relay, 1)
    listed = (await web.get("/api/v1/mail/mails?ticket=FH-1&direction=out", headers=ann)).json()
    reply = listed["items"][0]
    assert reply["state"] == "queued"
    assert reply["id"] == (await all_mails(relay, "out"))[1]["id"]
    held = await web.post(f"/api/v1/mail/mails/{reply['id']}/hold", headers=ann)
    assert held.json()["state"] == "held"
    let_go = await web.post(f"/api/v1/mail/mails/{reply['id']}/send", headers=ann)
    assert let_go.json()["state"] == "queued"
    status = (await web.get("/api/v1/mail/status", headers=ann)).json()
    assert (status["waiting_out"], status["smtp"]) == (2, None)
