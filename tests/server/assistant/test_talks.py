"""Talks over HTTP, on both stores: answers, what leaves the relay, and the way to a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from farhand_server.api.knowledge_public import MAX_TALKS_A_MINUTE, make_public_rates
from farhand_server.relay import Relay
from tests.server.assistant.endpoint import endpoint
from tests.server.knowledge.writers import Library
from tests.server.relays import ManualClock, SignIn


@pytest.fixture
async def ada(web: httpx.AsyncClient, sign_in: SignIn) -> Library:
    """An admin, and three articles."""
    made = Library(web, await sign_in("admin", name="ada"))
    await made.article("stop", "How to stop", "Press the red button to stop a session.")
    for slug, visibility in (("ours", "customers"), ("secret", "internal")):
        body = f"Stop the {slug} session with a lever."
        await made.article(slug, f"Stop: {slug}", body, visibility=visibility)
    return made


@pytest.fixture
async def mia(web: httpx.AsyncClient, sign_in: SignIn) -> Library:
    return Library(web, await sign_in("requester", name="mia"))


@pytest.fixture
def anybody(web: httpx.AsyncClient) -> Library:
    return Library(web, {})


ASK = {"question": "How do I stop the session?", "language": "en"}


def cited(answer: Any) -> set[str]:
    return {one["slug"] for one in answer["citations"]}


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_everybody_is_answered_from_what_she_may_read(
    ada: Library, mia: Library, anybody: Library
) -> None:
    said = await anybody.done("/assistant/ask", ASK)
    assert (cited(said), said["source"]) == ({"stop"}, "built-in")
    assert said["text"] == "Press the red button to stop a session."
    assert said["citations"][0]["url"] == "http://127.0.0.1:8443/kb/stop"
    assert cited(await mia.done("/assistant/ask", ASK)) == {"stop", "ours"}
    assert "secret" not in cited(await ada.done("/assistant/ask", ASK))
    said = await anybody.done("/assistant/ask", {"question": "Giraffes?"})
    assert (said["text"], said["citations"]) == ("", [])
    assert said["person"].endswith("/person")  # there is always a person
    assert await anybody.refused("/assistant/ask", {"question": ""}) == "invalid"
    await ada.done("/assistant/terms", {"mode": "off"})
    assert await anybody.refused("/assistant/ask", ASK) == "assistant-off"


async def test_a_person_takes_over_with_everything_that_was_said(
    ada: Library, mia: Library, anybody: Library, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    said = await mia.done("/assistant/ask", ASK)
    talk = said["talk"]
    await mia.done("/assistant/ask", {"question": "And then?\nWhat?", "talk": talk})
    at = f"/assistant/talks/{talk}/person"
    bob = Library(web, await sign_in("requester", name="bob"))
    for other in (bob, anybody):
        assert await other.refused(at, {"address": "e@example.org"}) == "not-found"
        assert await other.refused("/assistant/ask", {**ASK, "talk": talk}) == "not-found"
    assert await mia.done(at, {"words": "I need help."}) == {"ticket": "FH-1"}
    ticket = await mia.read("/tickets/FH-1")
    assert (ticket["title"], ticket["requester"], ticket["kind"], ticket["state"]) == (
        "I need help.",
        "mia",
        "question",
        "new",
    )
    (first,) = ticket["messages"]
    assert first["author"] == "mia"
    assert first["body"].startswith("I need help.\n\n> How do I stop the session?\n\n")
    assert "Press the red button to stop a session." in first["body"]
    assert first["body"].endswith("> And then?\n> What?\n\n[-]")
    used = (await ada.read("/knowledge/tickets/FH-1"))["items"]
    assert {(one["article"], one["kind"]) for one in used} == {("stop", "cited"), ("ours", "cited")}
    for again in (at, "/assistant/ask"):
        body = {} if again == at else {**ASK, "talk": talk}
        assert await mia.refused(again, body) == "talk-over"
    # On a ticket that is there, in her own name.
    talk = (await mia.done("/assistant/ask", ASK))["talk"]
    at = f"/assistant/talks/{talk}/person"
    await ada.done("/tickets", {"title": "not hers", "requester": "bob"})
    assert await mia.refused(at, {"ticket": "FH-2"}) == "not-found"
    assert await mia.done(at, {"ticket": "FH-1"}) == {"ticket": "FH-1"}
    assert len((await mia.read("/tickets/FH-1"))["messages"]) == 2


async def test_a_stranger_reaches_a_person_by_her_address(
    ada: Library, anybody: Library, relay: Relay
) -> None:
    talk = (await anybody.done("/assistant/ask", ASK))["talk"]
    at = f"/assistant/talks/{talk}/person"
    assert await anybody.refused(at, {}) == "invalid"
    assert await anybody.refused(at, {"address": "no address"}) == "invalid"
    new = {"address": "Eve@Example.org", "name": "Eve\x1b"}
    assert await anybody.done(at, new) == {"ticket": "FH-1"}
    ticket = await ada.read("/tickets/FH-1")
    assert (ticket["requester"], ticket["title"]) == ("eve@example.org", ASK["question"])
    rates = relay.service(make_public_rates)
    for _ in range(7):
        rates.writes.take("192.0.2.1")
    assert await anybody.refused(at, new) == "rate-limited"
    for _ in range(MAX_TALKS_A_MINUTE - 1):
        rates.talks.take("192.0.2.1")
    assert await anybody.refused("/assistant/ask", ASK) == "rate-limited"


# What is plain code above the store is tried on one store.
@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("My \U0001f468\u200d\U0001f469\u200d\U0001f467 cannot print",
         "My \U0001f468\U0001f469\U0001f467 cannot print"),
        ("prin\u00adter is broken\u2028now", "printer is broken"),
        ("\u200b\u200d", "?"),
    ],
)  # fmt: skip
async def test_no_character_shuts_the_way_to_a_person(
    ada: Library, anybody: Library, words: str, title: str
) -> None:
    talk = (await anybody.done("/assistant/ask", {"question": words}))["talk"]
    at = f"/assistant/talks/{talk}/person"
    assert await anybody.done(at, {"address": "eve@example.org"}) == {"ticket": "FH-1"}
    assert (await ada.read("/tickets/FH-1"))["title"] == title


async def test_an_assistant_elsewhere_is_given_public_articles_and_believed_no_further(
    ada: Library, mia: Library, anybody: Library, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    assert await mia.refused("/assistant/terms", {"mode": "off"}) == "not-permitted"
    assert await ada.refused("/assistant/terms", {"mode": "http", "url": "x"}) == "invalid"
    async with endpoint() as there:
        set_to = {"mode": "http", "url": there.url, "token_file": "assistant.token"}
        assert (await ada.done("/assistant/terms", set_to))["token_file"] == "assistant.token"
        # No token yet: what is built in answers.
        assert (await mia.done("/assistant/ask", ASK))["source"] == "built-in"
        (Path(relay.settings.home) / "assistant.token").write_text("s3cret\n")
        there.says({"text": "The red one.", "citations": ["stop"]})
        for reader in (anybody, mia, ada):
            said = await reader.done("/assistant/ask", ASK)
            assert (said["text"], said["source"], cited(said)) == ("The red one.", "http", {"stop"})
        assert {one["slug"] for _, body in there.requests for one in body["articles"]} == {"stop"}
        assert there.requests[0][0]["authorization"] == "Bearer s3cret"
        assert not any(name in str(there.requests) for name in ("mia", "ada", "FH-", "lever"))
        for wrong in (["secret"], ["stop", "ours"], []):
            there.says({"text": "Believe me.", "citations": wrong})
            said = await anybody.done("/assistant/ask", ASK)
            assert (said["source"], cited(said)) == ("built-in", {"stop"})
    said = await anybody.done("/assistant/ask", ASK)
    assert said["source"] == "built-in"
    assert "s3cret" not in caplog.text
    assert "s3cret" not in str(await ada.read("/assistant/terms"))


async def test_talks_end_and_are_forgotten(
    ada: Library,
    anybody: Library,
    relay: Relay,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farhand_server.knowledge.talks.MAX_TURNS", 2)
    talk = (await anybody.done("/assistant/ask", ASK))["talk"]
    await anybody.done("/assistant/ask", {**ASK, "talk": talk})
    assert await anybody.refused("/assistant/ask", {**ASK, "talk": talk}) == "talk-long"
    clock.advance(31 * 86_400)
    await anybody.done("/assistant/ask", ASK)
    assert await anybody.refused("/assistant/ask", {**ASK, "talk": talk}) == "not-found"
    for wrong in ("x", "a" * 43, "../" * 10):
        assert await anybody.refused("/assistant/ask", {**ASK, "talk": wrong}) == "not-found"
