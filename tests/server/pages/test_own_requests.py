"""Her own requests: what she wrote is not lost, she is offered what she may do, times say where."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.care.card import CardTerms, set_card
from farhand_server.desk.calendars import Calendar
from farhand_server.desk.moves import add_message, resolve
from farhand_server.desk.participants import Participant, add_participant
from farhand_server.desk.queues import DEFAULT_QUEUE, QueueTerms, set_queue
from farhand_server.desk.service import set_calendar, set_policy
from farhand_server.desk.service_levels import ServicePolicy, Targets
from farhand_server.desk.ticket_fields import Field, Form, set_form
from farhand_server.desk.tickets import create_ticket, get_ticket
from farhand_server.mail.outgoing import queue_mail
from farhand_server.mail.ticket_links import make_link
from farhand_server.pages.visitor import SESSION_COOKIE
from farhand_server.people.organisations import OrganisationTerms, create_organisation
from farhand_server.people.people import PersonTerms, create_person
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts
from tests.server.pages.browsing import EVIL, browsing, looked_at

ZONE = "Europe/Bucharest"
_FIELDS = ("input", "select", "textarea")


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


async def as_mia(browser: httpx.AsyncClient, relay: Relay, *, zone: str = "") -> str:
    """Sign a person in whose organisation is in another zone; returns the organisation."""
    async with relay.db.write() as c:
        org = await create_organisation(
            c, relay, name="ours", terms=OrganisationTerms(zone=ZONE), actor="root"
        )
        terms = PersonTerms(name="Mia", locale="en", zone=zone, organisation=org.id)
        person = await create_person(c, relay, terms=terms, actor="root")
        made = await relay.service(make_directory).add(
            c, name="mia@example.org", role="requester", actor="root"
        )
        await c.execute(accounts.update().where(accounts.c.id == made.id).values(person=person.id))
        token = (await relay.service(make_tokens).issue(c, made.id)).text
    browser.cookies = httpx.Cookies({SESSION_COOKIE: token})
    return org.id


async def test_words_outlive_the_sign_in(browser: httpx.AsyncClient, relay: Relay) -> None:
    await as_mia(browser, relay)
    form = {"title": "no sound", "body": "b", "kind": "question", "sure": "yes"}
    made = await browser.post("/my/new", data=form)
    assert made.status_code == 303, made.text
    path = made.headers["location"]
    kept = browser.cookies
    browser.cookies = httpx.Cookies()
    lost = await browser.post(f"{path}/reply", data={"body": f"\nstill {EVIL}", "foreign": "x"})
    page = looked_at(lost, 409)
    assert [one["action"] for one in page.of("form")] == [f"{path}/reply"]
    assert "&lt;script&gt;" in lost.text
    assert "still" in lost.text
    assert 'name="foreign"' not in lost.text
    assert "/sign-in" in [one.get("href") for one in page.of("a")]
    assert not [one for one in page.of("input") if one.get("type") == "file"]
    again = await browser.post("/my/new", data=form, files={"files": ("a.txt", b"x", "text/plain")})
    page = looked_at(again, 409)
    named = {one["name"]: one.get("value") for one in page.of("input")}
    assert named == {"title": "no sound", "kind": "question", "files": None}
    no = await browser.post(f"{path}/solved", data={"solved": "no", "body": "it is back"})
    assert {one["name"]: one["value"] for one in looked_at(no, 409).of("input")} == {"solved": "no"}
    for where in ("/chat", f"{path}/say"):
        said = await browser.post(where, data={"text": "hello there"})
        looked_at(said, 409)
        assert "hello there</textarea>" in said.text
    empty = await browser.post(f"{path}/solved", data={"solved": "yes", "body": ""})
    assert empty.headers["location"] == "/sign-in"
    foreign = {"Origin": "https://evil.example"}
    looked_at(await browser.post(f"{path}/reply", data={"body": "x"}, headers=foreign), 403)
    # Signed in again, she sends what stands there.
    browser.cookies = kept
    sent = await browser.post(f"{path}/reply", data={"body": f"\r\nstill {EVIL}"})
    assert sent.status_code == 303
    assert "still &lt;script&gt;" in (await browser.get(path)).text


async def test_a_follower_is_not_offered_what_is_not_hers_to_say(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    await as_mia(browser, relay)
    async with relay.db.write() as c:
        ticket = await create_ticket(c, relay, title="Bob's", actor="ann", requester="bob")
        who = Participant(name="mia@example.org", part="follower", can_post=False)
        await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
        await resolve(c, relay, ref=ticket.id, note="done", actor="ann")
    path = f"/my/{ticket.number}"
    forms = [one["action"] for one in looked_at(await browser.get(path)).of("form")]
    assert not [one for one in forms if str(one).startswith(path)]
    async with relay.db.write() as c:
        who = Participant(name="mia@example.org", part="cc", can_post=True)
        await add_participant(c, relay, ticket=ticket, who=who, actor="ann")
    forms = [one["action"] for one in looked_at(await browser.get(path)).of("form")]
    assert f"{path}/reply" in forms
    assert f"{path}/solved" not in forms
    looked_at(await browser.post(f"{path}/content", data={"score": "5"}), 403)


async def test_times_say_where(browser: httpx.AsyncClient, relay: Relay) -> None:
    org = await as_mia(browser, relay)
    await browser.post("/my/new", data={"title": "a", "body": "b", "kind": "question"})
    async with relay.db.write() as c:
        office = Calendar(zone="Europe/Lisbon", week=(((540, 1080),),) * 7)
        await set_calendar(c, relay, name="office", calendar=office, actor="root")
        await set_card(
            c, relay, organisation=None, terms=CardTerms(calendar="office"), actor="root"
        )
        links = []
        for of in (None, org):
            ticket = await create_ticket(
                c, relay, title="t", actor="ann", requester="bob@example.org", organisation=of
            )
            mail = await queue_mail(
                c, relay, to=["bob@example.org"], subject="x", text="y", ticket=ticket.row
            )
            link = make_link(relay, ticket=ticket.row, mail=int(mail or 0))
            links.append(link.removeprefix(relay.settings.url))
    # Nobody chose a zone for her: her organisation's, and the desk's without one.
    for path in ("/my", "/my/FH-1"):
        assert f"Times of {ZONE}." in (await browser.get(path)).text, path
    browser.cookies = httpx.Cookies()
    for path, zone in zip(links, ("Europe/Lisbon", ZONE), strict=True):
        assert f"Times of {zone}." in (await browser.get(path)).text, path


async def test_her_own_zone_goes_first(browser: httpx.AsyncClient, relay: Relay) -> None:
    await as_mia(browser, relay, zone="Asia/Tokyo")
    await browser.post("/my/new", data={"title": "a", "body": "b", "kind": "question"})
    shown = await browser.get("/my/FH-1")
    assert "Times of Asia/Tokyo." in shown.text
    assert "21:00" in shown.text  # noon in UTC


async def test_since_when_is_asked_and_kept(browser: httpx.AsyncClient, relay: Relay) -> None:
    await as_mia(browser, relay)
    asked = looked_at(await browser.get("/my/new", params={"title": "no sound"}))
    assert [one["maxlength"] for one in asked.of("input") if one.get("id") == "since"] == ["200"]
    for kind, is_field in (("incident", True), ("question", False)):
        form = {"title": "t", "body": "b", "kind": kind, "sure": "yes", "since": f"noon {EVIL}"}
        made = await browser.post("/my/new", data=form)
        assert made.status_code == 303, made.text
        path = made.headers["location"]
        shown = await browser.get(path)
        assert ("Since when? noon &lt;script&gt;" in shown.text) is not is_field
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, path.rpartition("/")[2])
        assert found.fields == ({"since": f"noon {EVIL}"} if is_field else {})


async def test_what_a_kind_asks_is_asked_and_kept(browser: httpx.AsyncClient, relay: Relay) -> None:
    await as_mia(browser, relay)
    properties = {
        "room": Field(type="string", title="Room <b>", description="On the door"),
        "floor": Field(type="integer", minimum=0, maximum=9),
        "wing": Field(type="string", enum=["north", "so&uth"]),
        "day": Field(type="string", format="date"),
        "alone": Field(type="boolean"),
        "since": Field(type="string", max_length=50),
    }
    async with relay.db.write() as c:
        wanted = Form(properties=properties, required=["wing", "room"])
        await set_form(c, relay, kind="request", form=wanted, actor="root")
    about = {"title": "a new desk", "kind": "request"}
    page = looked_at(await browser.get("/my/new", params=about))
    fields = {str(one.get("name")): one for tag in _FIELDS for one in page.of(tag)}
    assert {"required" in fields[f"field_{name}"] for name in ("room", "wing")} == {True}
    assert (fields["field_floor"]["type"], fields["field_floor"]["max"]) == ("number", "9.0")
    assert fields["field_day"]["type"] == "date"
    # An incident asks nothing of that; whoever chooses another kind on its page is asked then.
    other = await browser.get("/my/new", params={"title": "a new desk"})
    assert "field_" not in other.text
    form = {**about, "body": f"please {EVIL}", "sure": "yes", "since": "monday"}
    file = {"files": ("a.txt", b"x", "text/plain")}
    again = await browser.post("/my/new", data=form, files=file)
    looked_at(again, 422)
    assert "missing" in again.text
    assert "Choose your files again" in again.text
    assert "please &lt;script&gt;" in again.text
    form |= {"field_room": "12", "field_wing": "so&uth", "field_floor": "3", "field_alone": "no"}
    for name, wrong in (("field_floor", "three"), ("field_wing", "west"), ("field_day", "1.2.")):
        again = await browser.post("/my/new", data=form | {name: wrong})
        looked_at(again, 422)
        assert "monday" in again.text
    made = await browser.post("/my/new", data=form | {"field_unknown": "x"})
    assert made.status_code == 303, made.text
    async with relay.db.read() as c:
        found = await get_ticket(c, relay.tenant, made.headers["location"].rpartition("/")[2])
    assert found.fields == {
        "room": "12", "wing": "so&uth", "floor": 3, "alone": False, "since": "monday",
    }  # fmt: skip
    # What was typed outlives the end of a sign-in.
    browser.cookies = httpx.Cookies()
    kept = await browser.post("/my/new", data=form)
    looked_at(kept, 409)
    assert 'name="field_wing" value="so&amp;uth"' in kept.text


async def test_a_browser_astray_gets_a_page(browser: httpx.AsyncClient, relay: Relay) -> None:
    html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "de"}
    for path in ("/nothing", "/nothing/at/all", "/my/FH-1/reply"):
        page = looked_at(await browser.get(path, headers=html), 405 if "my" in path else 404)
        assert page.of("html")[0]["lang"] == "de"
    for path, headers in (("/nothing", {}), ("/api/v1/nothing", html)):
        answer = await browser.get(path, headers=headers)
        assert answer.status_code == 404
        assert "html" not in answer.headers["content-type"], path


async def test_her_data_is_what_she_sees(browser: httpx.AsyncClient, relay: Relay) -> None:
    await as_mia(browser, relay)
    await browser.post("/my/new", data={"title": "hers", "body": EVIL, "kind": "question"})
    async with relay.db.write() as c:
        await add_message(c, relay, ref="FH-1", kind="note", body="secret note", actor="ann")
        await create_ticket(c, relay, title="anothers", actor="ann", requester="bob", body="b")
    assert "/my/data" in (await browser.get("/my")).text
    looked_at(await browser.get("/my/data"))
    got = await browser.post("/my/data", data={})
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["content-type"] == "application/octet-stream"
    assert "secret note" not in got.text
    told = got.json()
    assert told["person"]["name"] == "Mia"
    assert [(one["number"], one["title"]) for one in told["requests"]] == [("FH-1", "hers")]
    assert [one["body"] for one in told["requests"][0]["messages"]] == [EVIL]
    assert told["older_left_out"] is False
    foreign = {"Origin": "https://evil.example"}
    looked_at(await browser.post("/my/data", data={}, headers=foreign), 403)
    browser.cookies = httpx.Cookies()
    assert (await browser.post("/my/data", data={})).headers["location"] == "/sign-in"


async def test_what_is_promised_stands_beside_the_hours(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    assert "What we promise" not in (await browser.get("/contact")).text
    async with relay.db.write() as c:
        promised = Targets(first_response_s=1800, resolution_s=14_400)
        policy = ServicePolicy(targets={"urgent": promised})
        await set_policy(c, relay, name="std", calendar="always", policy=policy, actor="root")
        terms = QueueTerms(title="Desk", policy="std")
        await set_queue(c, relay, name=DEFAULT_QUEUE, terms=terms, actor="root")
    shown = await browser.get("/contact", headers={"Accept-Language": "de"})
    looked_at(shown)
    for words in ("Was wir versprechen", "Dringend", "30\u00a0Min", "4\u00a0Std"):
        assert words in shown.text, words
    assert "Niedrig" not in shown.text
