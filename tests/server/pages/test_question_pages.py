"""Public questions on pages: closed at first, moderated, plain text, one who asked accepts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from farhand_server.knowledge.questions import QUESTIONS_OPEN, decide_answer, decide_question
from farhand_server.people.settings import set_setting
from farhand_server.relay import Relay
from tests.server.pages.browsing import EVIL, browsing, looked_at, make_mia, sign_in_mia


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_question_is_asked_let_through_answered_and_accepted(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    form = {"title": f"Why? {EVIL}", "body": f"[x](javascript:alert(1)) {EVIL}", "name": ""}
    for path in ("/questions", "/questions/ask", "/questions/1"):
        looked_at(await browser.get(path), 404)
    looked_at(await browser.post("/questions/ask", data=form), 404)
    assert 'href="/questions"' not in (await browser.get("/")).text
    async with relay.db.write() as c:
        await set_setting(c, relay, QUESTIONS_OPEN, True, "root")
    assert 'href="/questions"' in (await browser.get("/")).text
    await make_mia(relay)
    await sign_in_mia(browser, relay)
    asked = await browser.post("/questions/ask", data=form)
    looked_at(asked)
    assert "once somebody of ours has read it" in asked.text
    looked_at(await browser.get("/questions/1"), 404)
    async with relay.db.write() as c:
        await decide_question(c, relay, number=1, decision="show", actor="ann")
    shown = await browser.get("/questions/1")
    page = looked_at(shown)
    assert "javascript:" not in str([one.get("href") for one in page.of("a")])
    assert "&lt;script&gt;" in shown.text
    assert "mia@example.org" not in shown.text
    assert "0 answers" in shown.text
    answer = {"body": f"Because {EVIL}", "name": "Bob \u202e@evil"}
    waiting = await browser.post("/questions/1/answers", data=answer)
    assert waiting.headers["location"] == "/questions/1?sent=1"
    assert "Because" not in (await browser.get("/questions/1?sent=1")).text
    looked_at(await browser.post("/questions/1/accept", data={"answer": "1"}), 404)
    async with relay.db.write() as c:
        await decide_answer(c, relay, number=1, decision="show", actor="ann")
    page = looked_at(await browser.get("/questions/1"))
    assert "/questions/1/accept" in [one.get("action") for one in page.of("form")]
    looked_at(await browser.post("/questions/1/accept", data={"answer": "\u0661"}), 422)
    assert (await browser.post("/questions/1/accept", data={"answer": "1"})).status_code == 303
    assert "This was it" in (await browser.get("/questions/1")).text
    await browser.post("/sign-out", data={})
    refused = await browser.post("/questions/1/accept", data={"answer": "1"})
    assert refused.headers["location"] == "/sign-in"
    found = await browser.get("/questions", params={"q": "why"})
    assert "1 answer" in found.text
    russian = await browser.get("/questions", headers={"Accept-Language": "ru"})
    assert "1 ответ" in russian.text
    assert "Why?" not in (await browser.get("/questions", params={"q": "zebra"})).text
