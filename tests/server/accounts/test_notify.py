"""Who hears of what: told once, never of one's own doing, never at night."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import httpx
import pytest
from sqlalchemy import update

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.persons import join_person
from farhand_server.app import Relay
from farhand_server.desk.calendars import Calendar
from farhand_server.desk.heed import heed_events
from farhand_server.desk.moves import add_message, assign
from farhand_server.desk.priorities import Priority
from farhand_server.desk.queues import QueueTerms, set_queue
from farhand_server.desk.service import set_calendar, set_policy, sweep_due
from farhand_server.desk.service_levels import ServicePolicy, Targets
from farhand_server.desk.tickets import Intake, Sight, create_ticket
from farhand_server.notify.digests import send_due
from farhand_server.notify.heeding import heed_notify
from farhand_server.notify.settings import NoticeKind, NotifySettings, is_quiet
from farhand_server.notify.soon import make_soon
from farhand_server.notify.wording import LANGUAGES, digest_words, line_of
from farhand_server.people.people import PersonTerms, add_address, create_person
from farhand_server.store.schema import people
from tests.server.accounts.people import Mails
from tests.server.relays import ManualClock, SignIn


async def _heed(relay: Relay) -> None:
    while await heed_events(relay, (heed_notify,)):
        pass


async def _told(web: httpx.AsyncClient, headers: dict[str, str]) -> list[tuple[str, str]]:
    answer = await web.get("/api/v1/me/notices", headers=headers)
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["ticket"]) for one in answer.json()["items"]]


async def _reachable(relay: Relay, name: str) -> None:
    async with relay.db.write() as c:
        account = await relay.service(make_directory).find(c, name)
        assert account is not None
        terms = PersonTerms(name=name, kind="staff")
        person = await create_person(c, relay, terms=terms, actor="test")
        await add_address(
            c,
            relay,
            person=person.id,
            kind="mail",
            value=f"{name}@example.org",
            actor="test",
            is_verified=True,
        )
        await join_person(c, relay, account=account.id, name=name, person=person.id, actor="test")


async def _ticket(relay: Relay, title: str, actor: str = "eva", **intake: Any) -> str:
    async with relay.db.write() as c:
        made = await create_ticket(
            c, relay, title=title, actor=actor, requester="eva", intake=Intake(**intake)
        )
    return made.id


async def test_each_hears_of_what_is_hers_and_never_of_her_own_doing(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, mails: Mails, clock: ManualClock
) -> None:
    ann = await sign_in("technician", name="ann")
    bob = await sign_in("technician", name="bob")
    eva = await sign_in("requester", name="eva")
    await _reachable(relay, "ann")
    wish = {"queues": ["desk"], "mail": ["new", "assigned", "answered"], "digest_s": 60}
    kept = await web.post("/api/v1/me/notify", headers=ann, json=wish)
    assert kept.status_code == 200, kept.text
    number = await _ticket(relay, "no {sound}")
    await _ticket(relay, "her own", actor="ann")
    secret = await _ticket(relay, "stolen", security=True)
    await _heed(relay)
    assert await _told(web, ann) == [("new", f"FH-{number}")]
    her = Sight("eva", desk=False, guarded=False)
    async with relay.db.write() as c:
        await assign(c, relay, ref=number, owner="ann", actor="bob")
        await assign(c, relay, ref=secret, owner="bob", actor="bob")
        await add_message(c, relay, ref=number, kind="reply", body="still?", actor="eva", sight=her)
        await add_message(c, relay, ref=number, kind="reply", body="yes", actor="bob")
    await _heed(relay)
    assert await _told(web, ann) == [
        ("new", f"FH-{number}"),
        ("assigned", f"FH-{number}"),
        ("answered", f"FH-{number}"),
    ]
    assert await _told(web, bob) == []
    assert await _told(web, eva) == []
    # One mail for all three, a minute after the first; not again.
    assert await send_due(relay) == 0
    clock.advance(61)
    assert await send_due(relay) == 1
    assert await send_due(relay) == 0
    sent = await mails()
    assert [mail["to"] for mail in sent] == [["ann@example.org"]]
    assert sent[0]["subject"] == "3 things on your tickets"
    assert "no {sound}" in sent[0]["text"]
    assert "stolen" not in sent[0]["text"]
    # What was seen is seen, and only hers.
    last = (await web.get("/api/v1/me/notices", headers=ann)).json()["items"][-1]["seq"]
    nobody = await web.post("/api/v1/me/notices/seen", headers=bob, json={"seq": last})
    assert nobody.json() == {"seen": 0}
    seen = await web.post("/api/v1/me/notices/seen", headers=ann, json={"seq": last})
    assert seen.json() == {"seen": 3}
    left = await web.get("/api/v1/me/notices", headers=ann, params={"unseen": "true"})
    assert left.json()["items"] == []


async def test_what_became_a_security_ticket_is_told_of_no_more(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, mails: Mails, clock: ManualClock
) -> None:
    ann = await sign_in("technician", name="ann")
    boss = await sign_in("admin", name="boss")
    await _reachable(relay, "ann")
    wish = {"queues": ["desk"], "mail": ["new"], "digest_s": 60}
    assert (await web.post("/api/v1/me/notify", headers=ann, json=wish)).status_code == 200
    assert (await web.post("/api/v1/me/notify", headers=boss, json=wish)).status_code == 200
    stays = await _ticket(relay, "no sound")
    goes = await _ticket(relay, "Bob steals")
    await _heed(relay)
    assert len(await _told(web, ann)) == 2
    path = f"/api/v1/tickets/{goes}/details"
    assert (await web.post(path, headers=boss, json={"security": True})).status_code == 200
    assert await _told(web, ann) == [("new", f"FH-{stays}")]
    assert len(await _told(web, boss)) == 2
    clock.advance(61)
    await send_due(relay)
    (mail,) = await mails()
    assert mail["to"] == ["ann@example.org"]
    assert "no sound" in mail["text"]
    assert "steals" not in mail["subject"] + mail["text"]


async def test_a_night_waits_for_the_recipients_morning(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, mails: Mails, clock: ManualClock
) -> None:
    ann = await sign_in("technician", name="ann")
    await _reachable(relay, "ann")
    # It is noon in London and 23:00 in Auckland (+13 in November).
    wish = {"quiet": [22 * 60, 7 * 60], "zone": "Pacific/Auckland", "digest_s": 0}
    assert (await web.post("/api/v1/me/notify", headers=ann, json=wish)).is_success
    clock.advance(-2 * 3600)
    number = await _ticket(relay, "at night")
    clock.advance(2 * 3600)
    async with relay.db.write() as c:
        await assign(c, relay, ref=number, owner="ann", actor="bob")
    await _heed(relay)
    assert len(await _told(web, ann)) == 1
    assert await send_due(relay) == 0
    clock.advance(6 * 3600 - 1)
    assert await send_due(relay) == 0
    clock.advance(2 * 3600)
    assert await send_due(relay) == 1
    assert len(await mails()) == 1


async def test_a_promise_is_told_of_once_before_it_is_missed_and_once_after(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    ann = await sign_in("technician", name="ann")
    await web.post(
        "/api/v1/me/notify",
        headers=ann,
        json={"queues": ["desk"], "console": ["due-soon", "missed"]},
    )
    everyone: dict[Priority, Targets] = {"normal": Targets(resolution_s=10_000)}
    async with relay.db.write() as c:
        always = Calendar(zone="UTC", week=(((0, 1440),),) * 7)
        await set_calendar(c, relay, name="all", calendar=always, actor="test")
        await set_policy(
            c,
            relay,
            name="gold",
            calendar="all",
            policy=ServicePolicy(targets=everyone),
            actor="test",
        )
        await set_queue(c, relay, name="desk", terms=QueueTerms(policy="gold"), actor="test")
    number = await _ticket(relay, "slow")
    await sweep_due(relay)
    soon = relay.service(make_soon)
    for at, told in ((0, 0), (7_900, 0), (200, 1), (500, 1)):
        clock.advance(at)
        await soon.sweep()
        await _heed(relay)
        assert len(await _told(web, ann)) == told
    # Another node, or this one after a restart, does not tell it again.
    relay._services.pop(make_soon)
    await relay.service(make_soon).sweep()
    await _heed(relay)
    clock.advance(2_000)
    await sweep_due(relay)
    await _heed(relay)
    assert await _told(web, ann) == [("due-soon", f"FH-{number}"), ("missed", f"FH-{number}")]


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_what_cannot_be_wanted(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    ann = await sign_in("technician", name="ann")
    for wish, code in (
        ({"zone": "Mars/Olympus"}, "notify-settings"),
        ({"zone": "../../etc/passwd"}, "notify-settings"),
        ({"webhook": ["new"]}, "notify-settings"),
        ({"webhook_name": "none"}, "not-found"),
        ({"queues": ["none"]}, "not-found"),
        ({"queues": ["desk"] * 51}, "notify-settings"),
        ({"mail": ["everything"]}, "invalid"),
        ({"quiet": [0, 1441]}, "invalid"),
        ({"digest_s": -1}, "invalid"),
    ):
        answer = await web.post("/api/v1/me/notify", headers=ann, json=wish)
        assert answer.json().get("code") == code, (wish, answer.text)
    assert json.loads((await web.get("/api/v1/me/notify", headers=ann)).text)["zone"] == "UTC"


@pytest.mark.parametrize(
    ("quiet", "hour", "is_so"),
    [
        (None, 3, False),
        ((0, 0), 3, False),
        ((22 * 60, 7 * 60), 23, True),
        ((22 * 60, 7 * 60), 6, True),
        ((22 * 60, 7 * 60), 7, False),
        ((12 * 60, 13 * 60), 12, True),
        ((12 * 60, 13 * 60), 13, False),
    ],
)
def test_quiet_hours(quiet: tuple[int, int] | None, hour: int, is_so: bool) -> None:
    settings = NotifySettings(quiet=quiet)
    assert is_quiet(settings, datetime(2026, 11, 22, hour, tzinfo=UTC)) is is_so


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_mail_is_in_its_readers_language_and_the_console_in_english(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, mails: Mails, clock: ManualClock
) -> None:
    headers = {name: await sign_in("technician", name=name) for name in ("ann", "bob")}
    for name in headers:
        await _reachable(relay, name)
        wish = {"queues": ["desk"], "mail": ["new"], "digest_s": 0}
        assert (await web.post("/api/v1/me/notify", headers=headers[name], json=wish)).is_success
    async with relay.db.write() as c:
        await c.execute(update(people).where(people.c.name == "ann").values(locale="de"))
    await _ticket(relay, "no {title} {actor}")
    await _heed(relay)
    clock.advance(1)
    await send_due(relay)
    by_reader = {mail["to"][0]: mail for mail in await mails()}
    german = by_reader["ann@example.org"]
    assert (german["subject"], german["language"]) == (
        "FH-1 ist neu in desk: no {title} {actor}",
        "de",
    )
    assert "bestimmen Sie: farhand notify set" in german["text"]
    assert by_reader["bob@example.org"]["subject"] == "FH-1 is new in desk: no {title} {actor}"
    told = (await web.get("/api/v1/me/notices", headers=headers["ann"])).json()["items"]
    assert told[0]["words"] == "FH-1 is new in desk: no {title} {actor}"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_every_line_is_written_in_every_language(language: str, kind: NoticeKind) -> None:
    facts = {name: f"<{name}>" for name in ("number", "queue", "title", "actor", "score")}
    line = line_of(kind, facts | {"metric": "resolution"}, language)
    assert line.startswith("<") or language == "ru"
    assert "<number>" in line
    assert "<title>" in line
    assert (line == line_of(kind, facts | {"metric": "resolution"})) is (language == "en")
    assert all(digest_words(language, count=3, more=1, org="{x}"))
