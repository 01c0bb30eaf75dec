"""The assistant by itself: it cites, it is believed no further, and it can do nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_server.accounts.authorisation import ACTIONS, Actor, authorise
from farhand_server.api.assistant import ASSISTANT
from farhand_server.assistant.answers import NOTHING, Answer, Source, SourcePassage, checked
from farhand_server.assistant.passages import PassageAssistant
from farhand_server.assistant.remote import (
    MAX_ANSWER_BYTES,
    MAX_SENT_CHARS,
    AssistantTerms,
    RemoteAssistant,
    check_terms,
)
from tests.server.assistant.endpoint import endpoint


def source(slug: str, title: str, *texts: str, language: str = "en") -> Source:
    parts = [SourcePassage(heading="", text=text) for text in texts]
    return Source(slug=slug, title=title, language=language, passages=parts)


STOP = source(
    "stop",
    "How to stop a session",
    "Press the red button.",
    "A session ends by itself after thirty minutes.",
)
CODE = source("code", "What a code is", "Six letters that you read out to the technician.")
GERMAN = source("kode", "Was ein Code ist", "Sechs Zeichen für den Techniker.", language="de")


# It can do nothing.

_LOADED = """
import sys
import farhand_server.assistant.answers, farhand_server.assistant.passages
import farhand_server.assistant.remote
print("\\n".join(name for name in sys.modules if name.startswith("farhand_")))
"""


def test_it_loads_nothing_with_which_it_could_act() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "farhand_server.assistant.remote" in loaded
    allowed = {
        "farhand_protocol",
        "farhand_protocol.errors",
        "farhand_server",
        "farhand_server.assistant",
        "farhand_server.assistant.answers",
        "farhand_server.assistant.passages",
        "farhand_server.assistant.remote",
        "farhand_server.desk",
        "farhand_server.desk.stemming",
        "farhand_server.knowledge",
        "farhand_server.knowledge.words",
    }
    assert loaded <= allowed, loaded - allowed


def test_every_action_refuses_it() -> None:
    role: Any = ASSISTANT
    actor = Actor(tenant="n-1", account=ASSISTANT, name=ASSISTANT, role=role)
    for action in ACTIONS:
        with pytest.raises(RefusedError, match="not-permitted"):
            authorise(actor, action)
    with pytest.raises(FarhandError, match="not-signed-in"):
        authorise(None, "ticket.create")


# What counts as an answer.


def test_an_answer_cites_what_was_given() -> None:
    said = Answer(text=" Press\x1b[2J it.\n", citations=["stop", "code", "stop"])
    assert checked(said, [STOP, CODE]) == Answer(text="Press[2J it.", citations=["stop", "code"])
    assert checked(Answer(text=" \x00", citations=["elsewhere"]), [STOP]) is NOTHING
    for wrong in (
        Answer(text="Trust me.", citations=[]),
        Answer(text="As said.", citations=["secret-article"]),
        Answer(text="As said.", citations=["stop", "secret-article"]),
        Answer(text="x" * 4001, citations=["stop"]),
    ):
        with pytest.raises(FarhandError, match="assistant-answer-refused"):
            checked(wrong, [STOP])


async def test_what_is_built_in_shows_the_passage_that_answers() -> None:
    built_in = PassageAssistant()
    said = await built_in.answer("How long does a session last, minutes?", "en", [STOP, CODE])
    assert said == Answer(text=STOP.passages[1].text, citations=["stop"])
    said = await built_in.answer("what letters do I read out", "en", [STOP, CODE])
    assert (said.text, said.citations) == (CODE.passages[0].text, ["code"])
    said = await built_in.answer("Wie viele Zeichen hat der Code?", "de", [STOP, GERMAN])
    assert said.citations == ["kode"]
    for nothing in ("giraffes and elephants", "?", ""):
        assert await built_in.answer(nothing, "en", [STOP, CODE]) == NOTHING
    assert await built_in.answer("session", "en", []) == NOTHING
    long = source("long", "Long", "word " * 2000)
    assert len((await built_in.answer("word", "en", [long])).text) <= 700


# One elsewhere.


def terms(url: str, **more: Any) -> AssistantTerms:
    return AssistantTerms(mode="http", url=url, **more)


async def test_what_is_sent_and_what_comes_back() -> None:
    async with endpoint() as there:
        there.says({"text": "Press it.", "citations": ["stop"]})
        remote = RemoteAssistant(terms(there.url), "s3cret")
        said = await remote.answer("How do I stop?", "en", [STOP, CODE])
        assert said == Answer(text="Press it.", citations=["stop"])
        headers, body = there.requests[0]
        assert headers["authorization"] == "Bearer s3cret"
        assert body == {
            "question": "How do I stop?",
            "language": "en",
            "articles": [
                {
                    "slug": "stop",
                    "title": STOP.title,
                    "text": "\n\n".join(one.text for one in STOP.passages),
                },
                {"slug": "code", "title": CODE.title, "text": CODE.passages[0].text},
            ],
        }
        said_inside = msgspec.json.encode({"text": "Sechs.", "citations": ["kode"]}).decode()
        there.says({"choices": [{"message": {"content": said_inside}, "more": 1}], "id": "x"})
        chat = RemoteAssistant(terms(there.url, shape="chat-completions", model="m-1"), "")
        assert (await chat.answer("Wie?", "de", [GERMAN])).citations == ["kode"]
        headers, body = there.requests[1]
        assert "authorization" not in headers
        assert body["model"] == "m-1"
        assert [one["role"] for one in body["messages"]] == ["system", "user"]
        assert '"slug":"kode"' in body["messages"][1]["content"]
        # Without an article there is nothing to ask about.
        assert await remote.answer("x", "en", []) is NOTHING
        huge = [source(f"s{n}", "t", "x" * 10_000) for n in range(5)]
        await remote_ignoring(remote, huge)
        sent = there.requests[-1][1]["articles"]
        assert sum(len(one["text"]) for one in sent) == MAX_SENT_CHARS
        assert len(there.requests) == 3


async def remote_ignoring(remote: RemoteAssistant, articles: list[Source]) -> None:
    """Ask for the sake of the request."""
    with pytest.raises(FarhandError, match="assistant-unreachable"):
        await remote.answer("x", "en", articles)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'{"text": 1, "citations": []}',
        b'{"text": "x"}',
        b'{"choices": []}',
        b"[" * 20_000,
        b'{"text": "' + b"x" * MAX_ANSWER_BYTES + b'", "citations": []}',
    ],
)
async def test_hostile_answers_are_none(body: bytes) -> None:
    async with endpoint() as there:
        there.body = body
        for shape in ("json", "chat-completions"):
            more: Any = {"shape": shape, "model": "m"}
            remote = RemoteAssistant(terms(there.url, **more), "")
            await remote_ignoring(remote, [STOP])


async def test_redirects_failures_and_silence() -> None:
    async with endpoint() as other, endpoint() as there:
        remote = RemoteAssistant(terms(there.url, timeout_s=1), "s3cret")
        there.status, there.more = "307 Temporary Redirect", f"Location: {other.url}\r\n"
        await remote_ignoring(remote, [STOP])
        assert other.requests == []  # nobody sends it elsewhere, least of all with the token
        there.status, there.more = "500 Oh", ""
        await remote_ignoring(remote, [STOP])
        there.silent = True
        await remote_ignoring(remote, [STOP])
        there.silent = False
    await remote_ignoring(remote, [STOP])  # nobody listens any more


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": ""},
        {"url": "http://example.org/answer"},
        {"url": "ftp://127.0.0.1/x"},
        {"url": "https://user:password@example.org/"},
        {"url": "https://[::1/"},
        {"url": "https://example.org", "token_file": "relay.key"},
        {"url": "https://example.org", "token_file": "../../x.token"},
        {"url": "https://example.org", "shape": "chat-completions"},
    ],
)
def test_terms_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="invalid"):
        check_terms(AssistantTerms(mode="http", **wrong))


def test_terms_that_mean_something() -> None:
    for url in ("https://example.org/v1", "http://127.0.0.1:1/x", "http://[::1]:1/x"):
        check_terms(terms(url, token_file="assistant.token"))
    check_terms(AssistantTerms(mode="off"))
