"""Bugs: many tickets and one issue; when it is fixed, notes and drafts, and nothing sent."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.bugs.following import ASKED_EVERY, ask_trackers
from farhand_server.bugs.words import draft
from farhand_server.desk.moves import resolve
from farhand_server.desk.tickets import Intake, create_ticket
from farhand_server.heeders import heed_now
from farhand_server.outbox.items import list_items
from farhand_server.relay import Relay
from farhand_server.webhooks.signing import hex_hmac
from tests.server.outbox.listening import Asked, Listener, Told, listening, told
from tests.server.relays import ManualClock, SignIn

pytestmark = pytest.mark.either_store

API = "/api/v1/bugs"
REPOSITORY = "octocat/Hello-World"


class Tracker:
    """A GitHub that answers, and a technician of ours."""

    def __init__(
        self, relay: Relay, web: httpx.AsyncClient, ann: dict[str, str], listener: Listener
    ) -> None:
        self.relay, self.web, self.ann, self.listener = relay, web, ann, listener
        self.issue: dict[str, Any] = {"number": 17, "state": "open", "html_url": "https://x/17"}
        listener.answer = self.answer

    def answer(self, asked: Asked) -> Told:
        return told({**self.issue, "title": "Crash"}, 201 if asked.method == "POST" else 200)

    async def post(self, path: str, body: Any = None) -> Any:
        return (await self.web.post(API + path, headers=self.ann, json=body or {})).json()

    async def ticket(self, title: str, **intake: Any) -> str:
        async with self.relay.db.write() as c:
            made = await create_ticket(
                c, self.relay, title=title, actor="mia", requester="mia", intake=Intake(**intake)
            )
        return made.number

    async def thread(self, number: str) -> list[dict[str, Any]]:
        path = f"/api/v1/tickets/{number}/messages"
        items: list[dict[str, Any]] = (await self.web.get(path, headers=self.ann)).json()["items"]
        return items


@pytest.fixture
async def tracker(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> Any:
    async with listening() as listener:
        body = {
            "name": "github",
            "kind": "github",
            "base_url": listener.url,
            "token": "t",
            "hook_secret": "hook secret",
            "options": {"repository": REPOSITORY},
        }
        admin = await sign_in("admin")
        assert (await web.post("/api/v1/connectors", headers=admin, json=body)).status_code == 201
        hook = {"name": "chat", "url": "https://example.org/x", "events": ["bug.fixed"]}
        await web.post("/api/v1/webhooks", headers=admin, json=hook)
        yield Tracker(relay, web, await sign_in("technician", name="ann"), listener)


async def test_fixed_is_noted_everywhere_and_sent_to_nobody(tracker: Tracker, relay: Relay) -> None:
    german = await tracker.ticket("Absturz", language="de-AT")
    english = await tracker.ticket("It {version} crashes")
    over = await tracker.ticket("Old")
    async with relay.db.write() as c:
        await resolve(c, relay, ref=over, note="restarted", actor="ann")
    made = await tracker.post("", {"title": "Crash at start", "ticket": german})
    assert (made["id"], made["tickets"], made["state"]) == ("B-1", 1, "open")
    for number in (english, over, english):
        await tracker.post("/b-1/link", {"ticket": number})
    before = {number: len(await tracker.thread(number)) for number in (german, english, over)}
    fixed = await tracker.post("/B-1/state", {"state": "fixed", "fixed_in": "2.4"})
    assert (fixed["state"], fixed["fixed_in"], fixed["tickets"]) == ("fixed", "2.4", 3)
    await tracker.post("/B-1/state", {"state": "fixed", "fixed_in": "2.4"})
    for number, count in ((german, 2), (english, 2), (over, 1)):
        new = (await tracker.thread(number))[before[number] :]
        assert len(new) == count, number
        assert {one["kind"] for one in new} == {"note"}
        assert not any(one["public"] for one in new)
        assert new[0]["body"] == "B-1 (Crash at start) is fixed in 2.4."
    assert "behoben" in (await tracker.thread(german))[-1]["body"]
    assert "It {version} crashes" in (await tracker.thread(english))[-1]["body"]
    await heed_now(relay)
    async with relay.db.read() as c:
        items = await list_items(c, relay.tenant)
    assert [one.kind for one in items if one.kind in ("mail", "webhook")] == ["webhook"]
    late = await tracker.ticket("Me too")
    await tracker.post("/1/link", {"ticket": late})
    assert len(await tracker.thread(late)) == 2, "whoever comes late is told as well"
    again = await tracker.post("/1/state", {"state": "open"})
    assert (again["state"], again["fixed_in"]) == ("open", "")
    assert (await tracker.thread(late))[-1]["body"].endswith("is open again.")
    assert (await tracker.post("/1/unlink", {"ticket": late}))["tickets"] == 3


@pytest.mark.parametrize(
    "wrong", [{"title": "a\u0007b"}, {"title": "a" * 250}, {"notes": "a\u001b[31m"}]
)
async def test_what_is_refused_makes_no_issue(tracker: Tracker, wrong: dict[str, str]) -> None:
    body = {"title": "Crash", "tracker": "github", **wrong}
    assert (await tracker.post("", body))["code"] == "invalid"
    assert tracker.listener.asked == []


async def test_an_issue_of_its_makers(tracker: Tracker, relay: Relay, clock: ManualClock) -> None:
    number = await tracker.ticket("Mia's secret ticket")
    made = await tracker.post(
        "", {"title": "Crash", "notes": "At start.", "ticket": number, "tracker": "github"}
    )
    assert (made["external_key"], made["external_url"]) == ("github:17", "https://x/17")
    sent = tracker.listener.asked[-1]
    assert (sent.path, sent.json) == (
        f"/repos/{REPOSITORY}/issues",
        {"title": "Crash", "body": "At start."},
    )
    assert "mia" not in str(sent).lower()
    taken = await tracker.post("", {"title": "Crash", "issue": "github:17"})
    assert taken["code"] == "bug-exists"
    assert await ask_trackers(relay) == [], "it was just looked at"
    clock.advance(ASKED_EVERY.total_seconds())
    assert await ask_trackers(relay) == []
    tracker.issue |= {"state": "closed", "state_reason": "not_planned"}
    clock.advance(ASKED_EVERY.total_seconds())
    assert await ask_trackers(relay) == [], "closed is not always fixed"
    tracker.issue |= {"state_reason": "completed", "milestone": {"title": "v3"}}
    clock.advance(ASKED_EVERY.total_seconds())
    assert await ask_trackers(relay) == ["B-1"]
    clock.advance(ASKED_EVERY.total_seconds())
    assert await ask_trackers(relay) == []
    shown: Any = (await tracker.web.get(f"{API}/B-1", headers=tracker.ann)).json()
    assert (shown["state"], shown["fixed_in"], shown["linked"]) == ("fixed", "v3", [number])
    assert "v3" in (await tracker.thread(number))[-1]["body"]


async def test_the_trackers_own_webhook(tracker: Tracker) -> None:
    await tracker.post("", {"title": "Crash", "issue": "github:17"})
    said = {
        "action": "closed",
        "issue": {"number": 17, "state": "closed", "state_reason": "completed"},
        "repository": {"full_name": REPOSITORY},
    }
    body = json.dumps(said).encode()
    headers = {
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": "d-1",
        "X-Hub-Signature-256": "sha256=" + hex_hmac(b"hook secret", body),
    }
    path = "/api/v1/connectors/github/events"
    forged = {**headers, "X-Hub-Signature-256": "sha256=" + hex_hmac(b"guessed", body)}
    assert (await tracker.web.post(path, headers=forged, content=body)).status_code == 403
    for heard in ({"events": 1, "fixed": ["B-1"]}, {"events": 0, "fixed": []}):
        answer = await tracker.web.post(path, headers=headers, content=body)
        assert (answer.status_code, answer.json()) == (202, heard)


async def test_security_tickets_of_others_are_not_shown(tracker: Tracker, sign_in: SignIn) -> None:
    admin = await sign_in("admin")
    guarded = await tracker.ticket("Break-in", security=True)
    body = {"title": "Hole", "ticket": guarded}
    assert (await tracker.post("", body))["code"] == "not-found"
    made = await tracker.web.post(API, headers=admin, json=body)
    assert made.status_code == 201
    shown: Any = (await tracker.web.get(f"{API}/B-1", headers=tracker.ann)).json()
    assert shown["linked"] == []
    shown = (await tracker.web.get(f"{API}/B-1", headers=admin)).json()
    assert shown["linked"] == [guarded]


async def test_what_cannot_be(tracker: Tracker, sign_in: SignIn) -> None:
    await tracker.post("", {"title": "One"})
    for path, body, code in (
        ("", {"title": " "}, "invalid"),
        ("", {"title": "x", "issue": "github:1", "tracker": "github"}, "invalid"),
        ("", {"title": "x", "issue": "17"}, "invalid"),
        ("", {"title": "x", "issue": "nobody:17"}, "not-found"),
        ("/B-9/state", {"state": "fixed"}, "not-found"),
        ("/x/state", {"state": "fixed"}, "not-found"),
        ("/B-1/state", {"state": "gone"}, "invalid"),
        ("/B-1/link", {"ticket": "FH-99"}, "not-found"),
    ):
        assert (await tracker.post(path, body))["code"] == code, (path, body)
    listed: Any = (await tracker.web.get(f"{API}?state=open", headers=tracker.ann)).json()
    assert [one["id"] for one in listed["items"]] == ["B-1"]
    mia = await sign_in("requester", name="mia")
    assert (await tracker.web.get(API, headers=mia)).status_code == 403


@given(
    st.text(max_size=60),
    st.sampled_from(["", "2.4"]),
    st.sampled_from(["de", "pt-BR", "ro", "xx", ""]),
)
def test_a_draft_says_title_and_version_as_they_are(
    title: str, version: str, language: str
) -> None:
    words = draft(language, title=title, version=version)
    assert f"({title})" in words
    assert version in words
