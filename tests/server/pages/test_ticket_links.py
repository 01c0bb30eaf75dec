"""Links that open one ticket without an account: what they show, take, and never do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select, update

from farhand_server.desk.moves import add_message, resolve
from farhand_server.desk.participants import Participant, add_participant
from farhand_server.desk.tickets import Ticket, create_ticket, get_ticket
from farhand_server.desk.timeline import list_messages
from farhand_server.heeders import heed_now
from farhand_server.mail.composing import compose
from farhand_server.mail.drafting import draft_of
from farhand_server.mail.outgoing import queue_mail
from farhand_server.mail.ticket_links import LINK_DAYS, make_link, without_links
from farhand_server.measures.surveys import sweep_surveys
from farhand_server.people.blobs import attachments_of
from farhand_server.relay import Relay
from farhand_server.store.schema import csat, people
from farhand_server.store.schema.mail import mails
from tests.server.pages.browsing import EVIL, HOME, browsing, looked_at, make_mia

on_sqlite = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


async def hers(relay: Relay, **more: object) -> Ticket:
    person = await make_mia(relay)
    async with relay.db.write() as c:
        return await create_ticket(
            c, relay, title=f"no sound {EVIL}", actor="ann", requester="mia@example.org",
            person=person, body="It is silent.",
        )  # fmt: skip


async def link_to(relay: Relay, ticket: Ticket, *to: str, key: str = "") -> str:
    """Send a mail of a ticket; return the link in it, and empty where there is none."""
    async with relay.db.write() as c:
        mail = await queue_mail(
            c, relay, to=to, subject="x", text="We ask.", ticket=ticket.row, language="de", key=key
        )
    async with relay.db.read() as c:
        row = (await c.execute(select(mails).where(mails.c.id == mail))).mappings().one()
        draft = await draft_of(c, relay, row)
    raw = compose(draft)
    assert (b"/t/" in without_links(raw)) == bool(draft.link)
    if not draft.link:
        assert b"/t/" not in raw
        return ""
    assert "ohne Konto" in draft.link
    link = draft.link.rpartition(" ")[2]
    assert link.rpartition("/")[2].encode() not in without_links(raw)
    return link.removeprefix(HOME)


@on_sqlite
async def test_her_mail_lets_her_read_answer_and_call_it_solved(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    ticket = await hers(relay)
    async with relay.db.write() as c:
        await add_message(c, relay, ref=ticket.id, kind="note", body="secret note", actor="ann")
    link = await link_to(relay, ticket, "mia@example.org")
    page = await browser.get(link)
    looked_at(page)
    assert "It is silent." in page.text
    assert "&lt;script&gt;" in page.text
    assert "secret note" not in page.text
    assert "session" not in page.headers.get("set-cookie", "")
    files = [
        ("files", ("../..\\sh\u202egnp.exe", b"MZ", "image/png")),
        ("files", ("b.txt", b"b" * 2000, "text/html")),
    ]
    said = await browser.post(f"{link}/reply", data={"body": f"still {EVIL}"}, files=files)
    assert (said.status_code, said.headers["location"]) == (303, link)
    async with relay.db.read() as c:
        messages = await list_messages(c, relay.tenant, [ticket.row], with_notes=True)
        kept = await attachments_of(c, relay.tenant, [messages[-1].seq])
    assert (messages[-1].author, messages[-1].channel) == ("mia@example.org", "link")
    assert messages[-1].person == ticket.person
    assert [one.name for one in kept] == ["shgnp.exe", "b.txt"]
    shown = await browser.get(link)
    looked_at(shown)
    assert "2\u00a0KiB" in shown.text
    got = await browser.get(f"{link}/files/{messages[-1].seq}/0")
    assert got.content == b"MZ"
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["x-content-type-options"] == "nosniff"
    looked_at(await browser.get(f"{link}/files/{messages[1].seq}/0"), 404)
    async with relay.db.write() as c:
        await resolve(c, relay, ref=ticket.id, note="done", actor="ann")
    await browser.post(f"{link}/solved", data={"solved": "no", "body": "no"})
    async with relay.db.write() as c:
        assert (await get_ticket(c, relay.tenant, ticket.id)).state == "open"
        await resolve(c, relay, ref=ticket.id, note="done", actor="ann")
    assert (await browser.post(f"{link}/solved", data={"solved": "yes"})).status_code == 303
    assert "Over" in (await browser.get(link)).text
    # It is no sign-in: neither pages nor the API know who she is.
    assert (await browser.get("/my")).headers["location"] == "/sign-in"
    token = link.rpartition("/")[2]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await browser.get("/api/v1/tickets", headers=bearer)).status_code == 401


@on_sqlite
async def test_what_is_no_link_opens_nothing(browser: httpx.AsyncClient, relay: Relay) -> None:
    ticket = await hers(relay)
    link = await link_to(relay, ticket, "mia@example.org")
    token = link.rpartition("/")[2]
    turned = token[:-1] + ("A" if token[-1] != "A" else "B")
    other = make_link(relay, ticket=ticket.row + 1, mail=1).rpartition("/")[2]
    no_chat = make_link(relay, ticket=ticket.row).rpartition("/")[2]
    for wrong in (turned, other, no_chat, token + "A", "x", "%00" * 40, "é" * 40):
        looked_at(await browser.get(f"/t/{wrong}"), 410)
        looked_at(await browser.post(f"/t/{wrong}/reply", data={"body": "x"}), 410)
        looked_at(await browser.post(f"/t/{wrong}/solved", data={"solved": "yes"}), 410)
    looked_at(
        await browser.post(
            f"{link}/reply", data={"body": "x"}, headers={"Origin": "https://evil.example"}
        ),
        403,
    )


@on_sqlite
async def test_a_link_ends(browser: httpx.AsyncClient, relay: Relay) -> None:
    ticket = await hers(relay)
    link = await link_to(relay, ticket, "mia@example.org")
    async with relay.db.write() as c:
        await c.execute(update(mails).values(secret=True))
    looked_at(await browser.get(link), 410)
    async with relay.db.write() as c:
        await c.execute(update(mails).values(secret=False))
    looked_at(await browser.get(link))
    async with relay.db.write() as c:
        await c.execute(update(people).values(active=False))
    looked_at(await browser.get(link), 410)
    async with relay.db.write() as c:
        await c.execute(update(people).values(active=True))
    looked_at(await browser.get(link))
    relay.clock.advance(LINK_DAYS * 86_400 + 1)  # type: ignore[attr-defined]
    looked_at(await browser.get(link), 410)


@on_sqlite
async def test_only_who_takes_part_gets_a_link(browser: httpx.AsyncClient, relay: Relay) -> None:
    ticket = await hers(relay)
    assert await link_to(relay, ticket, "vendor@example.com", key="a") == ""
    async with relay.db.write() as c:
        for name, can_post in (("cc@example.com", True), ("reader@example.com", False)):
            who = Participant(name=name, part="cc", can_post=can_post)
            await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
    alone = await link_to(relay, ticket, "reader@example.com", key="b")
    looked_at(await browser.get(alone))
    looked_at(await browser.post(f"{alone}/reply", data={"body": "x"}), 403)
    looked_at(await browser.post(f"{alone}/solved", data={"solved": "yes"}), 403)
    shared = await link_to(relay, ticket, "mia@example.org", "cc@example.com", key="c")
    page = looked_at(await browser.get(shared))
    assert len(page.of("select")) == 1
    # Nobody knows which of them it is: she says so, and decides nothing.
    looked_at(await browser.post(f"{shared}/reply", data={"body": "x"}), 422)
    wrong = {"body": "x", "writer": "vendor@example.com"}
    looked_at(await browser.post(f"{shared}/reply", data=wrong), 422)
    right = {"body": "I see it too", "writer": "cc@example.com"}
    assert (await browser.post(f"{shared}/reply", data=right)).status_code == 303
    looked_at(await browser.post(f"{shared}/solved", data={"solved": "yes"}), 403)
    async with relay.db.read() as c:
        last = (await list_messages(c, relay.tenant, [ticket.row], with_notes=True))[-1]
    assert (last.author, last.body) == ("cc@example.com", "I see it too")


@on_sqlite
async def test_she_says_how_content_she_is_where_she_was_asked(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    ticket = await hers(relay)
    link = await link_to(relay, ticket, "mia@example.org")
    looked_at(await browser.post(f"{link}/content", data={"score": "5"}), 409)
    async with relay.db.write() as c:
        await resolve(c, relay, ref=ticket.id, note="done", actor="ann")
    await heed_now(relay)
    relay.clock.advance(86_400)  # type: ignore[attr-defined]
    await sweep_surveys(relay)
    page = looked_at(await browser.get(link))
    assert f"{link}/content" in [one.get("action") for one in page.of("form")]
    looked_at(await browser.post(f"{link}/content", data={"score": "6"}), 422)
    given = {"score": "4", "comment": "quick"}
    assert (await browser.post(f"{link}/content", data=given)).status_code == 303
    looked_at(await browser.post(f"{link}/content", data=given), 409)
    async with relay.db.read() as c:
        (row,) = (await c.execute(select(csat.c.score, csat.c.comment))).all()
    assert tuple(row) == (4, "quick")
    page = looked_at(await browser.get(link))
    assert f"{link}/content" not in [one.get("action") for one in page.of("form")]


def test_quoted_links_are_cut_out() -> None:
    token = "A" * 40
    mail = f"> see http://x/t/{token}\r\nhttp://x=\r\n/=\r\nt/{token[:20]}=\r\n{token[20:]} end"
    cut = without_links(mail.encode())
    assert token[:20].encode() not in cut
    assert cut.endswith(b" end")
    assert without_links(b"/t/short /tt/" + token.encode()) == b"/t/short /tt/" + token.encode()
