"""Chat on pages: begun with and without a sign-in, read in its frame, gone on by mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select

from farhand_server.channels.chats import desk_seen, sweep_chats
from farhand_server.desk.merging import merge_ticket
from farhand_server.desk.moves import add_message, close, resolve
from farhand_server.desk.tickets import Sight, create_ticket, get_ticket
from farhand_server.desk.timeline import list_messages
from farhand_server.desk.watching import tell_ticket
from farhand_server.heeders import heed_now
from farhand_server.mail.ticket_links import make_link
from farhand_server.pages.uploads import NewFile, keep_files
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mail_recipients
from tests.server.pages.browsing import (
    EVIL,
    HOME,
    browsing,
    looked_at,
    make_mia,
    sign_in_mia,
)
from tests.server.relays import SignIn

on_sqlite = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


async def as_guest(browser: httpx.AsyncClient, mail: str = "eve@example.com") -> str:
    """Begin a chat without a sign-in; return the path of its link."""
    words = {"name": f"Eve {EVIL}", "mail": mail, "text": f"No sound {EVIL}"}
    begun = await browser.post("/chat", data=words)
    assert begun.status_code == 303, begun.text
    path, _, last = begun.headers["location"].rpartition("/")
    assert (path[:3], last) == ("/t/", "chat")
    return path


@on_sqlite
async def test_a_guest_talks_and_is_answered_by_mail_once_gone(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    page = looked_at(await browser.get("/chat"))
    assert {one.get("name") for one in page.of("input")} == {"name", "mail"}
    base = await as_guest(browser)
    page = looked_at(await browser.get(f"{base}/chat"))
    assert [one["src"] for one in page.of("iframe")] == [f"{base}/talk"]
    shown = await browser.get(f"{base}/talk")
    looked_at(shown, script=True)
    assert "&lt;script&gt;" in shown.text
    assert "frame-ancestors 'self'" in shown.headers["content-security-policy"]
    assert "Nobody has proved" not in shown.text
    assert '<noscript><meta http-equiv="refresh"' in shown.text
    script = await browser.get("/pages/scripts/talk.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert (await browser.get("/pages/scripts/style.css")).status_code == 404
    async with relay.db.write() as c:
        notes = await list_messages(c, relay.tenant, [1], with_notes=True)
        await desk_seen(c, relay, "ann")
        await add_message(
            c, relay, ref="1", kind="chat", body="Is it plugged in?", actor="ann", channel="chat"
        )
    assert any("Nobody has proved" in one.body for one in notes)
    shown = await browser.get(f"{base}/talk")
    assert "Is it plugged in?" in shown.text
    assert "Somebody of ours is here." in shown.text
    assert (await browser.post(f"{base}/say", data={"text": "Yes"})).status_code == 303
    # She leaves; what the desk says then goes to the address that she gave.
    relay.clock.advance(120)  # type: ignore[attr-defined]
    await sweep_chats(relay)
    async with relay.db.write() as c:
        await add_message(
            c, relay, ref="1", kind="chat", body="Then it is broken.", actor="ann", channel="chat"
        )
    await heed_now(relay)
    async with relay.db.read() as c:
        assert "eve@example.com" in list(await c.scalars(select(mail_recipients.c.address)))
    assert "Then it is broken." in (await browser.get(base)).text


@on_sqlite
async def test_the_frame_waits_for_what_is_said_next(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    base = await as_guest(browser)
    page = looked_at(await browser.get(f"{base}/talk"), script=True)
    (last,) = [one["data-last"] for one in page.of("div") if "data-last" in one]
    nothing = await browser.get(f"{base}/talk", params={"after": last, "wait": 0})
    assert looked_at(nothing, script=True).of("section") == []
    assert f'data-last="{last}"' in nothing.text
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(
            browser.get(f"{base}/talk", params={"after": last, "wait": 25}, timeout=60)
        )
        async with relay.db.write() as c:
            await add_message(
                c, relay, ref="1", kind="chat", body="Hello", actor="ann", channel="chat"
            )
        await tell_ticket(relay, 1)
    said = looked_at(waiting.result(), script=True).of("section")
    assert len(said) == 1
    assert "Hello" in waiting.result().text
    refused = await browser.get(f"{base}/talk", params={"wait": 26})
    assert refused.status_code == 422


@on_sqlite
async def test_a_guest_sees_only_what_was_said_in_her_chat(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    person = await make_mia(relay)
    # Somebody calls herself Mia; nobody knows that she is not.
    base = await as_guest(browser, "mia@example.org")
    async with relay.db.write() as c:
        other = await create_ticket(
            c, relay, title="salary", actor="ann", requester="mia@example.org", person=person,
            body="What I earn",
        )  # fmt: skip
        chat = await get_ticket(c, relay.tenant, "1")
        await merge_ticket(c, relay, source=other, target=chat, actor="ann")
    assert "What I earn" not in (await browser.get(base)).text
    assert "What I earn" not in (await browser.get(f"{base}/talk")).text
    link = make_link(relay, ticket=other.row).removeprefix(HOME)
    looked_at(await browser.get(link), 410)
    assert (await browser.get("/my")).headers["location"] == "/sign-in"


@on_sqlite
async def test_a_guest_does_not_read_what_the_real_person_answers(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    person = await make_mia(relay)
    base = await as_guest(browser, "mia@example.org")
    answers = {
        "mail": "mia@example.org",  # to the desk's late answer, which went to her
        "link": "mia@example.org",  # by the link of that mail
        "chat": "mia",  # signed in, among her requests
        "": "mia",  # with a program of hers
    }
    said: list[int] = []
    async with relay.db.write() as c:
        for channel, author in answers.items():
            one = await add_message(
                c, relay, ref="1", kind="reply", body=f"That was not me ({channel})", actor=author,
                sight=Sight(author, desk=False, guarded=False, person=person), channel=channel,
                person=person,
            )  # fmt: skip
            said.append(one.seq)
            await keep_files(c, relay, one.seq, [NewFile("passport.pdf", "a/b", b"%PDF")])
        by_mail = await add_message(
            c, relay, ref="1", kind="reply", body="The desk, by mail", actor="ann", channel="mail"
        )
        await keep_files(c, relay, by_mail.seq, [NewFile("how.txt", "a/b", b"so")])
    await sweep_chats(relay)
    for path in (base, f"{base}/talk"):
        shown = (await browser.get(path)).text
        assert "No sound" in shown
        assert "The desk, by mail" in shown
        assert "That was not me" not in shown
        assert "passport" not in shown
    for seq in said:
        assert (await browser.get(f"{base}/files/{seq}/0")).status_code == 404
        assert (await browser.get(f"{base}/mail/{seq}")).status_code == 404
        assert (await browser.get(f"{base}/mail/{seq}/own")).status_code == 404
    assert (await browser.get(f"{base}/files/{by_mail.seq}/0")).content == b"so"
    # What she says with a file in her own thread stays hers to see.
    more = await browser.post(f"{base}/reply", data={"body": "Still no sound"})
    assert more.status_code == 303
    assert "Still no sound" in (await browser.get(base)).text


@on_sqlite
async def test_chats_of_guests_are_bounded_and_can_be_closed(
    browser: httpx.AsyncClient, relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    for wrong in ({"text": ""}, {"mail": "no address"}):
        words = {"name": "Eve", "mail": "eve@example.com", "text": "x"} | wrong
        looked_at(await browser.post("/chat", data=words), 422)
    evil = {"Origin": "https://evil.example"}
    words = {"name": "E", "mail": "eve@example.com", "text": "x"}
    looked_at(await browser.post("/chat", data=words, headers=evil), 403)
    answers = [await browser.post("/chat", data=words) for _ in range(11)]
    assert {one.status_code for one in answers} == {303, 429}
    admin = await sign_in("admin")
    closed = await web.post("/api/v1/looks", headers=admin, json={"guests": False})
    assert closed.json()["guests"] is False
    assert looked_at(await browser.get("/chat")).of("textarea") == []
    assert (await browser.post("/chat", data=words)).headers["location"] == "/sign-in"


@on_sqlite
async def test_who_is_signed_in_has_her_chat_among_her_requests(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    await make_mia(relay)
    await sign_in_mia(browser, relay)
    page = looked_at(await browser.get("/chat"))
    assert page.of("input") == []
    begun = await browser.post("/chat", data={"text": "Where is my mail?"})
    path = begun.headers["location"]
    assert path == "/my/FH-1/chat"
    looked_at(await browser.get(path))
    looked_at(await browser.get("/my/FH-1/talk"), script=True)
    assert "/my/FH-1/chat" in (await browser.get("/my/FH-1")).text
    assert (await browser.post("/my/FH-1/say", data={"text": "?"})).headers["location"] == path
    looked_at(await browser.post("/my/FH-1/say", data={"text": " "}), 422)
    async with relay.db.write() as c:
        plain = await create_ticket(
            c, relay, title="x", actor="ann", requester="mia@example.org", body="y"
        )
        eves = await create_ticket(c, relay, title="x", actor="eve", requester="eve", body="y")
        await resolve(c, relay, ref="1", note="done", actor="ann")
        await close(c, relay, ref="1", actor="ann")
    for ticket in (plain, eves):
        looked_at(await browser.get(f"/my/{ticket.number}/chat"), 404)
        looked_at(await browser.post(f"/my/{ticket.number}/say", data={"text": "x"}), 404)
    # What is said on one that is over begins another.
    late = await browser.post("/my/FH-1/say", data={"text": "again"})
    assert late.headers["location"] == "/my/FH-4"
