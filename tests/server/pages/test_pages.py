"""The pages in a browser that runs no script: what they show, take and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.care.card import CardTerms, set_card
from farhand_server.care.notices import NewNotice, create_notice, publish_notice
from farhand_server.desk.calendars import Calendar, SpecialDay
from farhand_server.desk.moves import add_message, resolve
from farhand_server.desk.participants import Participant, add_participant
from farhand_server.desk.service import set_calendar
from farhand_server.desk.tickets import create_ticket
from farhand_server.knowledge.questions import QUESTIONS_OPEN
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.people.modules import make_modules
from farhand_server.people.proofs import ask_proof
from farhand_server.people.settings import set_setting
from farhand_server.relay import Relay
from tests.server.pages.browsing import EVIL, browsing, links, looked_at, make_mia
from tests.server.relays import SignIn


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


async def signed_in(browser: httpx.AsyncClient, relay: Relay) -> None:
    await make_mia(relay)
    looked_at(await browser.post("/sign-in", data={"mail": "mia@example.org"}))
    (link,) = await links(relay, "sign-in")
    page = looked_at(await browser.get(link))
    (token,) = [one["value"] for one in page.of("input") if one.get("name") == "token"]
    looked_at(await browser.get(link))  # a scanner opens it as well
    used = await browser.post("/sign-in/use", data={"token": token})
    assert (used.status_code, used.headers["location"]) == (303, "/my")
    cookie = used.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie.replace("Lax", "lax")
    again = await browser.post("/sign-in/use", data={"token": token})
    looked_at(again, 410)


@pytest.mark.parametrize("path", ["/", "/help", "/kb", "/contact", "/status", "/sign-in"])
async def test_pages_for_anybody_speak_five_languages(
    browser: httpx.AsyncClient, path: str
) -> None:
    seen = set()
    for language in ("en", "pt", "de", "ro", "ru"):
        answer = await browser.get(path, headers={"Accept-Language": language})
        assert looked_at(answer).of("html")[0]["lang"] == language
        seen.add(answer.text)
    assert len(seen) == 5


async def test_articles_are_read_in_the_order_of_a_collection(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    async with relay.db.write() as c:
        root = await relay.service(make_directory).add(c, name="root", role="admin", actor="cli")
        token = (await relay.service(make_tokens).issue(c, root.id)).text
    at, staff = "/api/v1/knowledge", {"Authorization": f"Bearer {token}"}

    async def done(path: str, body: Mapping[str, object]) -> None:
        answer = await browser.post(f"{at}/{path}", headers=staff, json=body)
        assert answer.is_success, answer.text

    for slug, seen_by in (("b", "public"), ("a", "public"), ("c", "internal")):
        new = {"slug": slug, "title": f"Title of {slug}", "body": "x", "visibility": seen_by}
        await done("articles", new)
        await done(f"articles/{slug}/step", {"step": "publish"})
    await done("collections/days", {"title": "First", "articles": ["b", "c", "a"]})
    assert '"/kb?collection=days"' in (await browser.get("/kb")).text
    page = await browser.get("/kb", params={"collection": "days"})
    listed = [one["href"] for one in looked_at(page).of("a") if "/kb/" in str(one.get("href"))]
    assert listed == ["/kb/b", "/kb/a"]
    looked_at(await browser.get("/kb", params={"collection": "none"}), 404)


async def test_a_person_asks_answers_and_calls_it_solved(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    assert (await browser.get("/my")).headers["location"] == "/sign-in"
    await signed_in(browser, relay)
    looked_at(await browser.get("/my"))
    looked_at(await browser.get("/my/new"))
    form = {"title": f"no sound {EVIL}", "body": EVIL, "kind": "incident", "steps_tried": ""}
    found = looked_at(await browser.get("/my/new", params={"title": form["title"]}))
    assert "multipart/form-data" in [one.get("enctype") for one in found.of("form")]
    made = await browser.post("/my/new", data=form)
    assert made.status_code == 303, made.text
    path = made.headers["location"]
    number = path.rpartition("/")[2]
    async with relay.db.write() as c:
        said = await add_message(c, relay, ref=number, kind="reply", body=EVIL, actor="ann")
        await add_message(c, relay, ref=number, kind="note", body="secret note", actor="ann")
        kept = await keep_blob(c, relay, b"<svg onload=alert(1)>", "image/svg+xml")
        await attach(c, relay.tenant, said.seq, 0, kept, 'pic"\r\nX: y.svg')
    shown = await browser.get(path)
    looked_at(shown)
    assert "&lt;script&gt;" in shown.text
    assert "secret note" not in shown.text
    file = await browser.get(f"{path}/files/{said.seq}/0")
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert "x" not in file.headers  # the name made no header
    replied = await browser.post(f"{path}/reply", data={"body": "still"})
    assert replied.status_code == 303
    async with relay.db.write() as c:
        await resolve(c, relay, ref=number, note="done", actor="ann")
    page = looked_at(await browser.get(path))
    assert f"/my/{number}/solved" in [one.get("action") for one in page.of("form")]
    no = await browser.post(f"{path}/solved", data={"solved": "no", "body": "it is back"})
    assert no.status_code == 303
    async with relay.db.write() as c:
        await resolve(c, relay, ref=number, note="done", actor="ann")
    await browser.post(f"{path}/solved", data={"solved": "yes"})
    assert "Over" in (await browser.get(path)).text
    late = await browser.post(f"{path}/solved", data={"solved": "no", "body": "again"})
    looked_at(late, 409)
    looked_at(await browser.get("/my/FH-999"), 404)
    gone = await browser.post("/sign-out", data={})
    assert gone.headers["location"] == "/"
    assert (await browser.get("/my")).headers["location"] == "/sign-in"


async def test_what_her_mail_quotes_is_folded(browser: httpx.AsyncClient, relay: Relay) -> None:
    await signed_in(browser, relay)
    made = await browser.post("/my/new", data={"title": "a", "body": "b", "kind": "incident"})
    path = made.headers["location"]
    quote = f"On Mon, 16 Nov 2026 at 10:00, Ann <ann@desk.example> wrote:\n> {EVIL}\n> Thanks"
    async with relay.db.write() as c:
        await add_message(
            c, relay, ref=path.rpartition("/")[2], kind="reply", body=f"Yes.\n\n{quote}",
            actor="mia@example.org", channel="mail",
        )  # fmt: skip
    shown = await browser.get(path)
    assert len(looked_at(shown).of("details")) == 1
    folded = shown.text.partition("<details>")[2].partition("</details>")[0]
    assert "<summary>Quoted words</summary>" in folded
    assert "&lt;script&gt;" in folded
    assert "Yes." not in folded


async def test_nobody_reads_what_is_anothers(
    browser: httpx.AsyncClient, relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    eve = await sign_in("requester", name="eve")
    made = await web.post("/api/v1/tickets", headers=eve, json={"title": "hers", "body": "x"})
    number = made.json()["number"]
    await signed_in(browser, relay)
    looked_at(await browser.get(f"/my/{number}"), 404)
    looked_at(await browser.get(f"/my/{number}/files/1/0"), 404)
    for step in ("reply", "solved"):
        looked_at(await browser.post(f"/my/{number}/{step}", data={"body": "x"}), 404)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_another_sites_forms_do_nothing(
    browser: httpx.AsyncClient, relay: Relay, origin: str
) -> None:
    await signed_in(browser, relay)
    headers: dict[str, Any] = {"Origin": origin}
    form = {"title": "a", "body": "b"}
    looked_at(await browser.post("/my/new", data=form, headers=headers), 403)
    del browser.headers["Origin"]
    looked_at(await browser.post("/my/new", data=form), 403)
    # Nor does the cookie open the API.
    assert (await browser.get("/api/v1/tickets")).status_code == 401


async def test_an_address_is_proved_by_its_button(
    browser: httpx.AsyncClient, relay: Relay, sign_in: SignIn
) -> None:
    from farhand_server.people.people import get_person

    person = await make_mia(relay)
    # She has an address that is verified: only an admin adds another.
    await sign_in("admin", name="root")
    async with relay.db.write() as c:
        her = await get_person(c, relay.tenant, person)
        await ask_proof(c, relay, person=her, address="mia@work.example", actor="root")
    (link,) = await links(relay, "verify")
    for _ in range(2):
        page = looked_at(await browser.get(link))
    (token,) = [one["value"] for one in page.of("input") if one.get("name") == "token"]
    looked_at(await browser.post("/verify", data={"token": token}))
    looked_at(await browser.post("/verify", data={"token": token}), 410)
    looked_at(await browser.get("/csat/none"), 404)
    looked_at(await browser.post("/csat", data={"token": "none", "score": "5"}), 404)
    looked_at(await browser.post("/csat", data={"token": "none", "score": "6"}), 422)
    looked_at(await browser.get("/reset/none"))
    looked_at(await browser.post("/reset", data={"token": "none", "password": "x"}), 410)


async def test_looks_and_notices(
    browser: httpx.AsyncClient, relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    admin = await sign_in("admin")
    png = "iVBORw0KGgo="
    looks = {"name": "Hilfe & Co", "colour": "#123456", "logo": png}
    assert (await web.post("/api/v1/looks", headers=admin, json=looks)).status_code == 200
    for wrong in (
        {"colour": "red;}"},
        {"colour": "#ffcc00"},
        {"logo": "PHN2Zz4="},
        {"name": "a\nb"},
    ):
        answer = await web.post("/api/v1/looks", headers=admin, json=looks | wrong)
        assert answer.status_code == 422, wrong
    # What is left out stays: a new colour neither lets guests in nor takes the logo away.
    closed = await web.post("/api/v1/looks", headers=admin, json=looks | {"guests": False})
    kept = await web.post("/api/v1/looks", headers=admin, json={"name": looks["name"]})
    assert kept.json() == closed.json() | {"colour": "#1f5f8b"}
    assert (kept.json()["guests"], kept.json()["logo"] != "") == (False, True)
    gone = await web.post("/api/v1/looks", headers=admin, json=looks | {"logo": ""})
    assert (gone.json()["guests"], gone.json()["logo"]) == (False, "")
    assert (await web.post("/api/v1/looks", headers=admin, json=looks)).status_code == 200
    async with relay.db.write() as c:
        notice = await create_notice(
            c, relay, new=NewNotice(title=EVIL[:60], body=EVIL), actor="root"
        )
        await publish_notice(c, relay, notice=notice.id, actor="root")
    first = await browser.get("/")
    looked_at(first)
    assert "Hilfe &amp; Co" in first.text
    assert "&lt;script&gt;" in first.text
    assert "#123456" in (await browser.get("/pages/style.css")).text
    logo = await browser.get("/pages/logo")
    assert (logo.status_code, logo.headers["content-type"]) == (200, "image/png")
    for elsewhere in ("//evil.example", "/\t/evil.example", "/\\evil", "/\r\nX: y", "/€", "x"):
        spoken = await browser.get("/language/de", params={"to": elsewhere})
        assert spoken.headers["location"] == "/", elsewhere
    spoken = await browser.get("/language/de", params={"to": "/my/FH-1"})
    assert spoken.headers["location"] == "/my/FH-1"
    assert (await browser.get("/language/xx")).status_code == 404
    assert looked_at(await browser.get("/")).of("html")[0]["lang"] == "de"


async def test_whoever_only_takes_part_does_not_call_it_solved(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    await signed_in(browser, relay)
    async with relay.db.write() as c:
        ticket = await create_ticket(c, relay, title="Bob's", actor="ann", requester="bob")
        who = Participant(name="mia@example.org", part="follower", can_post=False)
        await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
        await resolve(c, relay, ref=ticket.id, note="done", actor="ann")
    path = f"/my/{ticket.number}"
    looked_at(await browser.get(path))
    for answer in ({"solved": "yes"}, {"solved": "no", "body": "mine"}):
        looked_at(await browser.post(f"{path}/solved", data=answer), 403)
    async with relay.db.write() as c:
        who = Participant(name="mia@example.org", part="cc", can_post=True)
        await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
    looked_at(await browser.post(f"{path}/solved", data={"solved": "yes"}), 403)
    again = await browser.post(f"{path}/solved", data={"solved": "no", "body": "still there"})
    assert again.status_code == 303


async def test_no_page_leads_to_what_is_switched_off(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    off = {"/kb": "knowledge", "/chat": "chat", "/questions": "questions"}
    async with relay.db.write() as c:
        await set_setting(c, relay, QUESTIONS_OPEN, True, "root")
    await signed_in(browser, relay)

    async def shown() -> set[str | None]:
        pages = [looked_at(await browser.get(path)) for path in ("/", "/my", "/my/new")]
        return {
            one.get("href") or one.get("action")
            for page in pages
            for tag in ("a", "form")
            for one in page.of(tag)
        }

    assert {*off, "/my/contract"} <= await shown()
    modules = relay.service(make_modules)
    await modules.switch(profile=None, on=[], off=[*off.values(), "contracts"], actor="root")
    assert not {*off, "/my/contract"} & await shown()
    for path in (*off, "/my/contract"):
        page = looked_at(await browser.get(path), 404)
        assert not {one.get("href") for one in page.of("a")} & set(off)
    looked_at(await browser.get("/my/new", params={"title": "printer"}))
    async with relay.db.write() as c:
        notice = await create_notice(c, relay, new=NewNotice(title="Tonight", body="b"), actor="r")
        await publish_notice(c, relay, notice=notice.id, actor="root")
    for path in ("/", "/status"):
        assert "Tonight" in (await browser.get(path)).text
    await modules.switch(profile=None, on=[], off=["notices"], actor="root")
    for path in ("/", "/status"):
        assert "Tonight" not in (await browser.get(path)).text


async def test_the_week_stands_on_the_card_in_the_desks_own_time(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    assert "<table" not in (await browser.get("/contact")).text  # always open has no week
    office = Calendar(
        zone="Europe/Lisbon",
        week=(*(((9 * 60, 12 * 60 + 30), (14 * 60, 24 * 60)),) * 5, (), ()),
        days=(
            SpecialDay(day="2026-12-08", name="Imaculada <b>"),
            SpecialDay(day="2027-12-08", name="too far"),
        ),
    )
    async with relay.db.write() as c:
        await set_calendar(c, relay, name="office", calendar=office, actor="root")
        await set_card(
            c, relay, organisation=None, terms=CardTerms(calendar="office"), actor="root"
        )
    # 2026-11-22, a Sunday, 12:00 in Lisbon: it opens on Monday at nine.
    shown = await browser.get("/contact", headers={"Accept-Language": "pt"})
    looked_at(shown)
    for words in (
        "23/11/2026, 09:00", "(Europe/Lisbon)", "Segunda-feira",
        "09:00\u201312:30, 14:00\u201324:00", "fechado", "08/12/2026", "Imaculada &lt;b&gt;",
    ):  # fmt: skip
        assert words in shown.text, words
    assert "too far" not in shown.text
