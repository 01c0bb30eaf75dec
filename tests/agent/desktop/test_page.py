"""The pages without a script: each state, each wish, five languages, and hostile words."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec.structs
import pytest
from PIL import Image

from farhand_agent.desktop.bar import bar_words
from farhand_agent.desktop.pages import LANGUAGE_NAMES, spelled
from farhand_agent.desktop.view import SessionView
from farhand_agent.errors import AgentNotRunning
from farhand_agent.session.events import (
    Decided,
    Ended,
    Event,
    Failed,
    LineChanged,
    Paused,
    PolicyChanged,
    Refused,
    Restarting,
    ScopesChanged,
    ShotOver,
    StepOver,
)
from farhand_agent.wording import LANGUAGES, wording_in
from farhand_protocol.errors import FarhandError
from tests.agent.desktop.browser import (
    ACTION,
    ASKED,
    CODE,
    EVIL,
    NAME,
    OPENED,
    SAID,
    SHOT,
    STEP,
    Browser,
    Form,
    draft,
)

PLACE = f"session/{NAME}"
JOINS = msgspec.structs.replace(ASKED, asks="join", beside="tess", mode="peer", operator="ole")
STATES: dict[str, list[Event]] = {
    "starting": [],
    "code": [CODE],
    "code-policy": [CODE, PolicyChanged(since="2026-11-22T10:00:00Z", words=["a", "b"])],
    "asked": [CODE, ASKED],
    "asked-guest": [msgspec.structs.replace(ASKED, guest=True)],
    "asked-more": [ASKED, OPENED, msgspec.structs.replace(ASKED, asks="scopes", ask=2)],
    "asked-join": [ASKED, OPENED, msgspec.structs.replace(JOINS, ask=2)],
    "asked-watch": [ASKED, OPENED, msgspec.structs.replace(JOINS, ask=2, mode="observer")],
    "open": [ASKED, OPENED, ACTION, SAID, LineChanged(session="s-1", state="reconnecting")],
    "open-nothing": [OPENED, ScopesChanged(session="s-1", scopes=[], forward=[])],
    "open-step": [OPENED, STEP],
    "open-shot": [OPENED, SHOT],
    "open-denied": [OPENED, Decided(session="s-1", granted=False, reason="consent-refused")],
    "open-restarting": [OPENED, Restarting(session="s-1")],
    "ended": [ASKED, OPENED, Ended(session="s-1", reason="stopped", receipt=None)],
    "refused": [Refused(reason="consent-refused", message="no")],
    "timeout": [ASKED, Refused(reason="consent-timeout", message="no")],
    "expired": [CODE, Refused(reason="code-expired", message="no")],
    "failed": [Failed(code="relay-unavailable", message="no line", hint=None)],
    "paused": [OPENED, Paused(session="s-1", expires_at="2026-11-22T10:31:00Z")],
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
async def test_every_state_in_every_language(tmp_path: Path, state: str, language: str) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    await browser.post("language", [("language", language)])
    browser.view(*STATES[state])
    assert (await browser.get(PLACE)).status == 200
    page = Form(browser.html)
    tags = [tag for tag, _ in page.tags]
    assert dict(page.tags)["html"]["lang"] == language
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    labelled = {found.get("for") for tag, found in page.tags if tag == "label"}
    for tag, found in page.tags:
        assert not [name for name in found if name.startswith("on") or name == "style"], found
        if tag in ("textarea", "select") or found.get("type") in ("text", "number"):
            assert found["id"] in labelled
        if tag == "script":
            assert found["src"] == f"{browser.gate.base}page.js"
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids))
    if language != "en":
        assert wording_in(language)("Skip to the content") in browser.html
    phase = state.partition("-")[0]
    if phase == "open" or state in ("asked-more", "asked-join"):
        stop = f"{browser.gate.base}{PLACE}/stop"
        assert stop in [form["action"] for form in page.forms]
        if phase == "open":
            assert page.forms[1]["action"] == stop  # the first after the language


def test_the_languages_are_those_of_the_words() -> None:
    assert tuple(code for code, _ in LANGUAGE_NAMES) == LANGUAGES


async def test_the_code_is_large_grouped_and_spelled(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    await browser.get("home")
    assert "This computer belongs to no organisation yet." in browser.text
    await browser.post("code")
    assert browser.place == PLACE
    assert "The code is being fetched." in browser.text
    browser.following.views[NAME].apply(CODE)
    await browser.get("")
    assert browser.place == PLACE
    assert '<p class="code" id="the-code" aria-hidden="true">4071-K7M 3QX</p>' in browser.html
    assert '<p class="unseen">4 0 7 1, K 7 M, 3 Q X</p>' in browser.html
    assert spelled("4071-K7M 3QX") == "4 0 7 1, K 7 M, 3 Q X"
    assert '<span class="clock" data-left="600">10:00</span>' in browser.html
    assert '<meta http-equiv="refresh" content="3">' in browser.html
    await browser.post(f"{PLACE}/stop")
    assert browser.following.stopped == [NAME]
    assert "Nothing was opened." in browser.text


async def test_she_allows_what_she_left_ticked(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    view = browser.view(CODE, ASKED)
    await browser.get("")
    for words in ("tess of Example Support", "FH-1", "the printer", "ant bee cat dog"):
        assert words in browser.text, words
    (form,) = [one for one in Form(browser.html).forms if one["action"].endswith("/answer")]
    assert form["buttons"] == [("decision", "deny"), ("decision", "allow")]
    assert [value for name, value in form["fields"] if name == "scope"] == ASKED.scopes
    fields = [("ask", "1"), ("scope", "view"), ("scope", "files"), ("decision", "allow")]
    await browser.post(f"{PLACE}/answer", fields)
    line = {"answer": "allow", "ask": 1, "scopes": ["view", "files"]}
    assert browser.following.lines == [line]
    assert view.phase == "code"  # until the session's process says what came of it
    await browser.post(f"{PLACE}/answer", fields)  # the form once more
    assert browser.following.lines == [line]
    assert "That does not count any more." in browser.text


async def test_enter_is_no_and_a_hasty_yes_is_none(tmp_path: Path) -> None:
    browser = Browser(tmp_path, read_first_s=30.0)
    await browser.enter()
    view = browser.view(ASKED)
    await browser.get("")
    await browser.press("decision", "allow")
    assert browser.following.lines == []
    assert "Please read this first" in browser.text
    assert view.asked is not None
    await browser.press("decision", "deny")
    assert browser.following.lines[0]["answer"] == "deny"
    joins = msgspec.structs.replace(ASKED, ask=2, asks="join", beside="t", mode="peer")
    now = [0.0]
    view = browser.view(OPENED)
    view._now = lambda: now[0]
    view.apply(joins)
    await browser.get("")
    now[0] = 31.0
    await browser.press("decision", "allow")
    assert browser.following.lines[1] == {"answer": "allow", "ask": 2}


async def test_the_first_second_begins_when_a_browser_has_the_question(tmp_path: Path) -> None:
    browser = Browser(tmp_path, read_first_s=1.0)
    await browser.enter()
    now = [0.0]
    view = browser.view()
    view._now = lambda: now[0]
    yes = [("ask", "1"), ("scope", "view"), ("decision", "allow")]
    view.apply(ASKED)
    for seen_at, said_at, counts in ((None, 30.0, False), (40.0, 40.99, False), (41.0, 41.0, True)):
        if seen_at is not None:
            now[0] = seen_at
            await browser.get(PLACE)
        now[0] = said_at
        await browser.send("POST", f"{browser.gate.base}{PLACE}/answer", urlencode(yes).encode())
        assert bool(browser.following.lines) == counts, said_at
    view.apply(msgspec.structs.replace(ASKED, ask=2))
    await browser.get(PLACE)
    await browser.press("decision", "allow")
    assert len(browser.following.lines) == 1, "each question has a second of its own"


async def test_of_two_sessions_both_are_shown_and_stop_ends_both(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    browser.view(ASKED, OPENED)
    later, other = "watch-00000000000000aa", msgspec.structs.replace
    second = browser.view(other(ASKED, session="s-2", operator="ole"), name=later)
    following = browser.following
    assert [one.name for one in following.open] == [NAME], "a question takes no bar away"
    await browser.get("home")
    links = [found.get("href") for tag, found in Form(browser.html).tags if tag == "a"]
    for name in (NAME, later):
        assert f"{browser.gate.base}session/{name}" in links
    await browser.get(PLACE)
    assert "A technician asks to help you" in browser.text
    await browser.get("")
    assert browser.place == f"session/{later}"
    second.apply(other(OPENED, session="s-2", operator="ole"))
    assert [one.name for one in following.open] == [later, NAME]
    words = bar_words(following.open, wording_in("en"))
    assert words["who"] == "ole is working on this computer"
    assert words["since"].endswith("\ntess is working on this computer")
    await browser.get(PLACE)
    assert "ole is working on this computer" in browser.text
    await browser.post(f"{PLACE}/stop")
    assert following.stopped == [later, NAME]
    assert following.going == []


async def test_one_question_is_not_answered_by_the_form_of_another(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    view = browser.view(ASKED)
    await browser.get("")
    old = [("ask", "1"), ("scope", "view"), ("decision", "allow")]
    view.apply(OPENED)
    view.apply(msgspec.structs.replace(ASKED, asks="scopes", ask=2, scopes=["files"]))
    await browser.post(f"{PLACE}/answer", old)
    assert browser.following.lines == []
    assert "A technician asks for more" in browser.text
    browser.following.counts = False  # the terminal was faster
    await browser.press("decision", "allow")
    assert "That does not count any more." in browser.text


async def test_a_question_that_comes_with_the_answer_to_the_last_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    view = browser.view(ASKED)
    await browser.get("")
    tell = browser.following.tell

    async def slow(to: SessionView, line: dict[str, Any]) -> bool:
        counted = await tell(to, line)
        view.apply(OPENED)
        view.apply(msgspec.structs.replace(ASKED, asks="scopes", ask=2, scopes=["files"]))
        return counted

    monkeypatch.setattr(browser.following, "tell", slow)
    await browser.press("decision", "allow")
    assert "A technician asks for more" in browser.text


async def test_who_has_a_session_that_was_handed_over_is_named(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    view = browser.view(ASKED, OPENED)
    facts: dict[str, str | int] = {"operator": "tess", "to": "ole"}
    view.apply(msgspec.structs.replace(ACTION, message="join-handed-over", facts=facts))
    await browser.get(PLACE)
    assert "ole is working on this computer" in browser.text
    assert bar_words([view], wording_in("en"))["who"] == "ole is working on this computer"


async def test_everything_that_she_can_do_in_an_open_session(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    view = browser.view(ASKED, OPENED, STEP, SAID, ACTION)
    await browser.get("")
    assert "The technician asks you to do this (1 of 2):" in browser.text
    assert "uptime" in browser.text
    assert "hello" in browser.text
    await browser.press("answer", "cannot", why="no lamp")
    await browser.press("scope", "terminal")
    await browser.get(f"{PLACE}/chat")
    assert "http-equiv" not in browser.html  # what she types is not taken from her
    await browser.post(f"{PLACE}/say", [("text", "it works")])
    assert browser.place == f"{PLACE}/chat"
    assert browser.following.lines == [
        {"step": 3, "answer": "cannot", "why": "no lamp"},
        {"withdraw": "terminal"},
        {"say": "it works"},
    ]
    view.apply(StepOver(session="s-1", step=3, answer="cannot"))
    await browser.get(PLACE)
    assert "asks you to do this" not in browser.text
    await browser.post(f"{PLACE}/stop")
    assert browser.following.stopped == [NAME]


async def test_a_process_that_is_gone_is_said(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    browser.view(OPENED)
    browser.following.refuses = AgentNotRunning()
    await browser.post(f"{PLACE}/withdraw", [("scope", "view")])
    assert "The session is over already." in browser.text
    browser.following.refuses = FarhandError("page-busy", "x")
    await browser.post("code")
    assert "A session goes on already." in browser.text


async def test_a_picture_is_taken_blackened_and_sent(tmp_path: Path) -> None:
    browser = Browser(tmp_path, grab=draft)
    await browser.enter()
    view = browser.view(OPENED, SHOT)
    await browser.get(f"{PLACE}/picture")
    assert "Nothing is taken before you say so." in browser.text
    assert (await browser.send("GET", f"{browser.gate.base}{PLACE}/picture.png")).status == 404
    await browser.press("do", "take")
    assert browser.following.lines == [{"shot": 7, "answer": "taken"}]
    assert browser.place == f"{PLACE}/picture"
    assert view.left_s(view.shot_until) > 290
    await browser.press("do", "box", x="5", y="6", width="10", height="1000")
    await browser.press("do", "box", x="30", y="0", width="1", height="1")
    assert "2 black boxes" in browser.text
    await browser.press("do", "unbox")
    await browser.press("do", "box", x="40", y="0", width="5", height="5")
    assert "That box covers nothing of the picture." in browser.text
    await browser.press("do", "box", x="-5", y="0", width="5", height="5")
    assert "That box covers nothing of the picture." in browser.text
    preview = await browser.get(f"{PLACE}/picture.png")
    assert preview.kind == "image/png"
    await browser.get(f"{PLACE}/picture")
    await browser.press("do", "send")
    assert browser.place == PLACE
    *parts, last = browser.following.lines[1:]
    assert last == {"shot": 7, "answer": "send"}
    data = b"".join(base64.b64decode(one["data"]) for one in parts)
    assert data == preview.body
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (40, 30)
        for x in range(40):
            for y in range(30):
                black = 5 <= x < 15 and y >= 6
                assert image.getpixel((x, y)) == ((0, 0, 0) if black else (255, 255, 255))
    view.apply(ShotOver(session="s-1", shot=7, answer="sent"))
    assert (await browser.get(f"{PLACE}/picture.png")).status == 200
    assert browser.place == PLACE  # there is no picture any more


async def test_a_picture_is_refused_or_thrown_away(tmp_path: Path) -> None:
    browser = Browser(tmp_path, grab=draft)
    await browser.enter()
    view = browser.view(OPENED, SHOT)
    await browser.get(f"{PLACE}/picture")
    await browser.press("do", "refuse")
    assert browser.following.lines == [{"shot": 7, "answer": "refuse"}]
    await browser.get(f"{PLACE}/picture")
    await browser.press("do", "take")
    view.apply(msgspec.structs.replace(SHOT, shot=8))
    await browser.post(f"{PLACE}/picture", [("shot", "7"), ("do", "send")])
    assert browser.following.lines[2:] == []
    assert "That does not count any more." in browser.text

    def nothing() -> None:
        raise FarhandError("picture-failed", "no screen")

    browser.app._grab = nothing  # type: ignore[assignment]
    await browser.get(f"{PLACE}/picture")


async def test_nothing_is_kept_of_a_session_that_ended_while_the_picture_was_taken(
    tmp_path: Path,
) -> None:
    browser = Browser(tmp_path, grab=draft)
    await browser.enter()
    view = browser.view(OPENED, SHOT)
    taken = 0

    def stopped_meanwhile() -> Any:
        nonlocal taken
        taken += 1
        view.apply(Ended(session="s-1", reason="stopped", receipt=None))
        return draft()

    browser.app._grab = stopped_meanwhile
    await browser.get(f"{PLACE}/picture")
    await browser.press("do", "take")
    assert taken == 1
    assert "That does not count any more." in browser.text
    assert browser.app._drafts == {}
    # Where it is over before the picture is due, none is taken at all.
    view = browser.view(OPENED, SHOT)
    await browser.get(f"{PLACE}/picture")
    browser.following.told = lambda: view.apply(ShotOver(session="s-1", shot=7, answer="withdrawn"))
    await browser.press("do", "take")
    assert taken == 1
    assert browser.app._drafts == {}


async def test_hostile_words_are_inert_everywhere(tmp_path: Path) -> None:
    long = EVIL + "ß" * 10_000
    asked = msgspec.structs.replace(
        ASKED, operator=EVIL, organisation=EVIL, ticket=long, reason=long, words=[EVIL] * 4,
        files=[long], scopes=["view", EVIL, "files"], shortened=[EVIL], forward=[EVIL],
    )  # fmt: skip
    opened = msgspec.structs.replace(OPENED, operator=EVIL, scopes=["view", EVIL], expires_at=EVIL)
    states: list[list[Event]] = [
        [msgspec.structs.replace(CODE, code=EVIL, url=EVIL, expires_at=EVIL)],
        [asked],
        [opened, msgspec.structs.replace(asked, asks="join", beside=EVIL, mode=EVIL)],
        [
            opened,
            msgspec.structs.replace(SAID, text=long, operator=EVIL),
            msgspec.structs.replace(STEP, text=EVIL),
            msgspec.structs.replace(SHOT, operator=EVIL, reason=EVIL),
            msgspec.structs.replace(ACTION, detail=long, kind=EVIL, message=EVIL),
            msgspec.structs.replace(ACTION, message="join-works", facts={"operator": EVIL}),
        ],
        [opened, Decided(session=EVIL, granted=False, reason=EVIL)],
        [opened, Paused(session=EVIL, expires_at=EVIL)],
        [Refused(reason=EVIL, message=EVIL)],
        [Failed(code=EVIL, message=EVIL, hint=EVIL)],
        [CODE, PolicyChanged(since=EVIL, words=[EVIL])],
    ]
    browser = Browser(tmp_path)
    await browser.enter()
    for events in states:
        browser.view(*events)
        for place in (PLACE, f"{PLACE}/chat", f"{PLACE}/picture"):
            await browser.get(place)
            assert_inert(browser)


def assert_inert(browser: Browser) -> None:
    for tag, found in Form(browser.html).tags:
        assert tag not in ("img", "svg", "iframe", "object"), tag
        assert not [name for name in found if name.startswith("on")]
        if tag == "script":
            assert found.get("src") == f"{browser.gate.base}page.js"
    assert not set(browser.html) & {"\x1b", "\x07", "\u202e"}
    assert "49" not in browser.text.replace("{{ 7*7 }}", "")
    assert len(browser.html) < 60_000


async def test_the_form_of_a_language_leads_nowhere_else(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    for back in ("//evil.example", "https://evil.example", "session/../../x", "\r\nSet-Cookie: x"):
        answer = await browser.send(
            "POST", browser.gate.base + "language", f"language=xx&back={back}".encode()
        )
        assert answer.headers["Location"] == browser.gate.base
    await browser.post("language", [("language", "ro"), ("back", "help")])
    assert browser.place == "help"
    assert 'lang="ro"' in browser.html


async def test_news_come_at_once_or_after_a_while(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    await browser.enter()
    view = browser.view(CODE)
    answer = await browser.get("news?after=999999999999999")
    revision = msgspec.json.decode(answer.body)["revision"]
    waiting = asyncio.ensure_future(
        browser.send("GET", f"{browser.gate.base}news?after={revision}")
    )
    await asyncio.sleep(0)
    assert not waiting.done()
    view.apply(ASKED)
    browser.app.changed(view)
    assert msgspec.json.decode((await waiting).body) == {"revision": revision + 1}
