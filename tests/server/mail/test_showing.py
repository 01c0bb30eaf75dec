"""Mails as the desk shows them: quoted words as ranges, HTML that does nothing, its pictures."""

from __future__ import annotations

import base64

import httpx
import pytest

from farhand_server.desk.timeline import Message
from farhand_server.mail import showing
from farhand_server.mail.rendering import CSP_WITH_PICTURES
from farhand_server.mail.showing import split_folded
from farhand_server.relay import Relay
from tests.server.mail.desk_mail import DESK, EVE, answer, arrive, letter, open_mailbox
from tests.server.relays import SignIn

QUOTE = "On Mon, 16 Nov 2026 at 10:00, Help <desk@example.com> wrote:\r\n> Water it.\r\n> Please."
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
ROWS = {
    "From": EVE,
    "To": DESK,
    "Subject": "<b>Look</b>",
    "Date": "Sun, 22 Nov 2026 12:00:00 +0000",
    "Message-ID": "<html@customer.example>",
    "MIME-Version": "1.0",
}


def with_html(markup: str) -> bytes:
    """Return a mail with HTML, a picture in it, and a page that calls itself a picture of it."""
    parts = [
        ("text/html; charset=utf-8", "", markup.encode()),
        ("image/png", "logo@x", PNG),
        ("image/svg+xml", "evil@x", b"<svg onload=alert(1)>"),
    ]
    lines = [f"{name}: {value}" for name, value in ROWS.items()]
    lines += ['Content-Type: multipart/related; boundary="cut"', ""]
    for kind, cid, content in parts:
        lines += ["--cut", f"Content-Type: {kind}", "Content-Transfer-Encoding: base64"]
        if cid:
            lines += [f"Content-ID: <{cid}>", "Content-Disposition: inline"]
        lines += ["", base64.b64encode(content).decode()]
    return "\r\n".join([*lines, "--cut--", ""]).encode()


async def test_what_a_mail_quotes_is_handed_out_as_ranges(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_mailbox(relay)
    ann = await sign_in("technician", name="ann")
    await arrive(relay, letter())
    await answer(relay, 1, "You wrote:\n\n> fire\n> fire")
    text = f"It is wet \u2014 \U0001f525.\r\n\r\n{QUOTE}"
    heads = ["In-Reply-To: <one@customer.example>"]
    await arrive(relay, letter(text, message_id="<two@customer.example>", headers=heads))
    for path in ("/tickets/FH-1/messages", "/tickets/FH-1", "/chats/FH-1/messages"):
        got = (await web.get(f"/api/v1{path}", headers=ann)).json()
        first, ours, last = got.get("items") or got["messages"]
        assert (first["folded"], ours["folded"]) == ([], []), "what the desk wrote is as it is"
        ((start, end),) = last["folded"]
        assert last["body"][:start].strip() == "It is wet \u2014 \U0001f525."
        assert last["body"][start:end].startswith("On Mon, 16 Nov")
        assert last["body"][end:] == ""
    monkeypatch.setattr(showing, "MAX_FOLDED_CHARS", 40)
    got = (await web.get("/api/v1/tickets/FH-1/messages", headers=ann)).json()
    assert [one["folded"] for one in got["items"]] == [[], [], []], "work is bounded"


async def test_what_is_forwarded_is_the_matter(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await open_mailbox(relay)
    ann = await sign_in("technician", name="ann")
    block = "From: Joe <joe@x.example>\r\nSent: Monday\r\nTo: Eve\r\nSubject: Fire"
    text = f"See below.\r\n\r\n{block}\r\n\r\nIt burns."
    for number, subject in enumerate(("Re: Fire", "Fwd: Fire"), 1):
        await arrive(relay, letter(text, subject=subject, message_id=f"<{number}@x.example>"))
    folded = []
    for number in (1, 2):
        got = (await web.get(f"/api/v1/tickets/FH-{number}/messages", headers=ann)).json()
        folded.append(len(got["items"][0]["folded"]))
    assert folded == [1, 0]


def test_pieces_are_the_body_without_empty_ones() -> None:
    body = "a\n\n> b\n\n> c\n"
    message = Message(
        seq=1, ticket="FH-1", kind="reply", author="a", body=body, at="", folded=[(3, 7), (8, 12)]
    )
    assert split_folded(message) == [(False, "a"), (True, "> b"), (True, "> c")]


async def test_a_mails_html_does_nothing_and_shows_its_pictures(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await open_mailbox(relay)
    ann, eve = await sign_in("technician", name="ann"), await sign_in("requester", name="eve")
    markup = (
        "<p onclick=alert(1)>Hello</p><script>alert(2)</script><img src=cid:logo@x>"
        "<img src=cid:evil@x><img src=https://spy.example/x.png><form action=/api></form>"
    )
    mail = await arrive(relay, with_html(markup))
    path = f"/api/v1/mail/mails/{mail}"
    shown = await web.get(f"{path}/html", headers=ann)
    assert shown.status_code == 200, shown.text
    assert shown.headers["content-type"].startswith("text/html")
    assert shown.headers["content-security-policy"] == CSP_WITH_PICTURES
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["cache-control"] == "no-store"
    assert "<title>&lt;b&gt;Look&lt;/b&gt;</title>" in shown.text
    assert "Hello" in shown.text
    for word in ("script", "onclick", "spy.example", "<form", "cid:"):
        assert word not in shown.text, word
    assert shown.text.count("src=") == 1
    where = shown.text.partition('src="')[2].partition('"')[0]
    picture = await web.get(where, headers=ann)
    assert (picture.content, picture.headers["content-type"]) == (PNG, "image/png")
    assert picture.headers["cache-control"] == "no-store"
    assert "sandbox" in picture.headers["content-security-policy"]
    # What calls itself something else than a picture is none.
    statuses = [
        (await web.get(f"{path}/pictures/{place}", headers=ann)).status_code for place in range(3)
    ]
    assert sorted(statuses) == [200, 404, 404]
    # Whoever does not see the ticket sees neither; a requester never does.
    for one in (f"{path}/html", where):
        assert (await web.get(one, headers=eve)).status_code == 403
        assert (await web.get(one)).status_code == 401
    made = await web.post("/api/v1/tickets/FH-1/details", headers=ann, json={"security": True})
    assert made.status_code == 200, made.text
    bob = await sign_in("technician", name="bob")
    for one in (f"{path}/html", where):
        assert (await web.get(one, headers=bob)).status_code == 404
    plain = await arrive(relay, letter())
    answered = await web.get(f"/api/v1/mail/mails/{plain}/html", headers=ann)
    assert (answered.status_code, answered.json()["code"]) == (404, "not-found")
