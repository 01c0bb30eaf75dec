"""A relay on whose pages everything stands that may stand there, all of it hostile.

`furnish` fills an empty one: a person signed in, her requests with files and a mail in HTML, a
chat, a guest's chat, links, articles, questions, notices, contract, device, downloads.
"""

from __future__ import annotations

import base64
from typing import Final, NamedTuple

import httpx
from sqlalchemy import select

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.care.notices import NewNotice, create_notice, publish_notice
from farhand_server.channels.chats import begin_chat
from farhand_server.contracts.contracts import set_contract
from farhand_server.contracts.terms import Terms
from farhand_server.desk.moves import add_message, resolve
from farhand_server.desk.tickets import create_ticket
from farhand_server.fleet.agentless import NewAgentless, add_agentless
from farhand_server.fleet.holders import set_holder
from farhand_server.knowledge.questions import (
    QUESTIONS_OPEN,
    Writer,
    answer_question,
    ask_question,
    decide_question,
)
from farhand_server.mail.intake import make_intake
from farhand_server.mail.keeping import Arrival, keep_mail, marks_of
from farhand_server.mail.mailboxes import MailboxTerms, set_mailbox
from farhand_server.mail.outgoing import queue_mail
from farhand_server.mail.ticket_links import make_link
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.people.organisations import OrganisationTerms, create_organisation
from farhand_server.people.settings import set_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts
from farhand_server.store.schema.mail import mails
from tests.server.pages.browsing import EVIL, make_mia

__all__ = ["HOSTILE", "House", "furnish"]

LONG: Final = "W" * 10_000
HOSTILE: Final = (
    f"{EVIL} </p></section></main><style>*{{display:none}}</style> {{{{ 7*7 }}}} "
    f"\u202eright to left\u202c \u2066\u0645\u0631\u062d\u0628\u0627 javascript:alert(3) "
    f"https://evil.example/x.png ![x](https://evil.example/y.png) \U0001f525 {LONG}"
)
# As hostile as one line may be.
LINE: Final = f"{EVIL} {'M' * 130}"
_PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


class House(NamedTuple):
    """What was furnished.

    Attributes:
        cookie: the sign-in of the person, as her browser keeps it.
        public: paths that anybody may open.
        hers: paths that need the cookie.
        links: paths with a token in them.
        mail: the address of a mail's own HTML, beneath one of hers.
    """

    cookie: str
    public: list[str]
    hers: list[str]
    links: list[str]
    mail: str


async def furnish(relay: Relay, api: httpx.AsyncClient) -> House:
    """Fill an empty relay; `api` is a client of its API."""
    directory, tokens = relay.service(make_directory), relay.service(make_tokens)
    async with relay.db.write() as c:
        org = await create_organisation(
            c, relay, name="ours", terms=OrganisationTerms(title=LINE[:100]), actor="root"
        )
        admin = await directory.add(c, name="root", role="admin", actor="test")
        staff = (await tokens.issue(c, admin.id)).text
        account = await directory.add(c, name="mia@example.org", role="requester", actor="test")
    person = await make_mia(relay, org.id)
    async with relay.db.write() as c:
        await c.execute(accounts.update().where(accounts.c.id == account.id).values(person=person))
        cookie = (await tokens.issue(c, account.id)).text
    numbers = await _tickets(relay, person, org.id)
    mail = await _mailed(relay, numbers[0])
    await _public(relay, api, {"Authorization": f"Bearer {staff}"})
    await _account(relay, person, org.id)
    folder = relay.settings.path("downloads")
    folder.mkdir()
    for ending in ("pyz", "deb"):
        (folder / f"farhand-agent-0.1.0.{ending}").write_bytes(b"agent" * 400_000)
    plain, chat, _ = (f"FH-{number}" for number in numbers)
    base = relay.settings.url
    async with relay.db.write() as c:
        row = await queue_mail(
            c, relay, to=["mia@example.org"], subject="x", text="y", ticket=numbers[0]
        )
    link = make_link(relay, ticket=numbers[0], mail=int(row or 0)).removeprefix(base)
    guest = make_link(relay, ticket=numbers[2]).removeprefix(base)
    return House(
        cookie=cookie,
        public=[
            "/", "/kb", "/kb?q=printer", "/kb?collection=first", "/kb/printer", "/questions",
            "/questions/1", "/questions/ask", "/chat", "/contact", "/status", "/sign-in",
            "/sign-in/none",            "/forgot", "/reset/none", "/get-agent", "/kb/nothing-here",
        ],
        hers=[
            "/my", "/my/new", "/my/new?title=printer", f"/my/{plain}", f"/my/{plain}/mail/{mail}",
            f"/my/{chat}", f"/my/{chat}/chat", f"/my/{chat}/talk", "/my/contract", "/my/devices",
            "/my/security", "/my/data", "/my/FH-999", "/chat",
        ],
        links=[link, f"{link}/mail/{mail}", guest, f"{guest}/chat", f"{guest}/talk"],
        mail=f"/my/{plain}/mail/{mail}/own",
    )  # fmt: skip


async def _tickets(relay: Relay, person: str, organisation: str) -> list[int]:
    """Make a request that is solved, a chat, a guest's chat; returns their numbers."""
    async with relay.db.write() as c:
        plain = await create_ticket(
            c, relay, title=LINE, actor="root", requester="mia@example.org", person=person,
            organisation=organisation, body=HOSTILE,
        )  # fmt: skip
        said = await add_message(c, relay, ref=plain.id, kind="reply", body=HOSTILE, actor="root")
        kept = await keep_blob(c, relay, EVIL.encode(), "text/html")
        for place, name in enumerate((f"{EVIL}.html", "x" * 200 + ".svg", "\u202egnp.exe")):
            await attach(c, relay.tenant, said.seq, place, kept, name)
        numbers = [plain.row]
        for requester in ("mia@example.org", "mia@example.org"):
            chat = await begin_chat(
                c, relay, title=LINE, actor="relay", requester=requester, person=person
            )
            for author in (requester, "root"):
                await add_message(
                    c, relay, ref=chat.id, kind="chat", body=HOSTILE, actor=author, channel="chat"
                )
            numbers.append(chat.row)
    return numbers


async def _mailed(relay: Relay, ticket: int) -> int:
    """Let a mail with HTML arrive on a ticket, then solve that; returns the message it became."""
    markup = (
        f"<h1>{EVIL}</h1><img src=cid:logo@x><img src=https://evil.example/t.png>"
        "<form action=https://evil.example><input name=password></form>"
        f'<a href="https://evil.example">a</a><style>body{{background:red}}</style>{LONG}'
    )
    rows = [
        "From: Mia <mia@example.org>", "To: desk@example.com", f"Subject: [FH-{ticket}] {EVIL}",
        "Date: Sun, 22 Nov 2026 12:00:00 +0000", "Message-ID: <html@customer.example>",
        "MIME-Version: 1.0", 'Content-Type: multipart/related; boundary="cut"', "",
        "--cut", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64", "",
        base64.b64encode(markup.encode()).decode(),
        "--cut", "Content-Type: image/png", "Content-Transfer-Encoding: base64",
        "Content-ID: <logo@x>", "Content-Disposition: inline", "",
        base64.b64encode(_PNG).decode(), "--cut--", "",
    ]  # fmt: skip
    raw = "\r\n".join(rows).encode()
    async with relay.db.write() as c:
        terms = MailboxTerms(address="desk@example.com")
        await set_mailbox(c, relay, name="desk", terms=terms, actor="root")
        arrival = Arrival("desk", "lmtp", "mia@example.org")
        made = await keep_mail(c, relay, raw=raw, marks=marks_of(raw), arrival=arrival)
    await relay.service(make_intake).work_off()
    async with relay.db.write() as c:
        message = await c.scalar(select(mails.c.message).where(mails.c.id == made))
        assert message is not None, "the mail came onto no ticket"
        await resolve(c, relay, ref=str(ticket), note="done", actor="root")
    return int(message)


async def _public(relay: Relay, api: httpx.AsyncClient, staff: dict[str, str]) -> None:
    """Publish articles, a question with an answer, a notice."""
    for slug, body in (("printer", f"# Printer\n\n1. {HOSTILE}\n\n`code`\n\n> quote"), ("b", "B")):
        new = {"slug": slug, "title": f"Printer {slug} {LINE[:100]}", "body": body}
        made = await api.post(
            "/api/v1/knowledge/articles", headers=staff, json=new | {"visibility": "public"}
        )
        assert made.status_code == 201, made.text
        step = f"/api/v1/knowledge/articles/{slug}/step"
        done = await api.post(step, headers=staff, json={"step": "publish"})
        assert done.status_code == 200, done.text
    both = {"title": LINE[:100], "description": HOSTILE[:400], "articles": ["printer", "b"]}
    made = await api.post("/api/v1/knowledge/collections/first", headers=staff, json=both)
    assert made.status_code == 200, made.text
    async with relay.db.write() as c:
        await set_setting(c, relay, QUESTIONS_OPEN, True, "root")
        one = await ask_question(
            c, relay, title=LINE, body=HOSTILE[:4000], language="en", writer=Writer("Eve <b>")
        )
        await decide_question(c, relay, number=one, decision="show", actor="root")
        await answer_question(
            c, relay, question=one, body=HOSTILE[:4000], writer=Writer("Ann", "root", True)
        )
        notice = await create_notice(
            c, relay, new=NewNotice(title=LINE, body=HOSTILE[:3000]), actor="root"
        )
        await publish_notice(c, relay, notice=notice.id, actor="root")
        await set_setting(
            c, relay, "support-card",
            {"phone": "+351 21 000 0000", "mail": "help@example.org", "words": LINE}, "root",
        )  # fmt: skip


async def _account(relay: Relay, person: str, organisation: str) -> None:
    """Give the person a device, and her organisation a contract."""
    async with relay.db.write() as c:
        device = await add_agentless(
            c, relay, new=NewAgentless(name=LINE[:64], kind="printer", address="printer.lan"),
            actor="root",
        )  # fmt: skip
        await set_holder(c, relay, device=device, person=person, actor="root")
        for name, terms in {
            "care": Terms(
                kind="block",
                organisation=organisation,
                title=LINE[:80],
                grant_s=36_000,
                rate_minor=8050,
            ),
            "offer": Terms(kind="managed", title=LINE[:80], listed=True, fee_minor=123_450),
        }.items():
            await set_contract(c, relay, name=name, terms=terms, actor="root")
