"""kb: what is asked of the relay, and what is shown, harmless to the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farhand_console.cli import base, entry
from farhand_protocol.errors import FarhandError

EVIL = "\x1b[2J\u202e"
LANGUAGES = [
    {"language": "de", "title": "Stopp", "rev": 1, "published_rev": 1, "stale": True},
    {"language": "en", "title": "Stop", "rev": 2, "published_rev": 1, "stale": False},
]
ARTICLE = {
    "id": "ka-1",
    "slug": "stop",
    "title": f"How to stop{EVIL}",
    "state": "published",
    "visibility": "public",
    "language": "en",
    "languages": LANGUAGES,
    "checks": ["remedy.dns.flush"],
    "useful": 3,
    "not_useful": 1,
    "used_in": 2,
    "review_due": "2026-11-01",
    "revision": 7,
    "newer": "left out",
}
TEXT = {
    "language": "en",
    "rev": 2,
    "title": "Stop",
    "body": f"Press{EVIL} it.\nDone.",
    "sha256": "ab" * 32,
    "author": "ann",
    "at": "2026-11-22T12:00:00.000000Z",
}
VIEW = {**ARTICLE, "text": TEXT, "files": []}
COLLECTION = {"name": "first", "title": "First", "description": EVIL, "articles": ["stop"]}
QUESTION = {
    "number": 1,
    "title": f"Why?{EVIL}",
    "name": "eve",
    "state": "pending",
    "at": TEXT["at"],
    "body": f"x{EVIL}",
    "said": [],
}
ANSWER = {
    "number": 4,
    "question": 1,
    "body": f"Pills{EVIL}",
    "name": "eve",
    "state": "pending",
    "at": TEXT["at"],
}
SAID = {
    "talk": "t" * 43,
    "text": f"Press{EVIL} it.",
    "citations": [{"slug": "stop", "title": "Stop", "url": "x"}],
    "source": "built-in",
    "person": "/x",
}
AT = "/knowledge/articles"


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next": None}


class FakeRelay:
    """Answers by path and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {
            AT: page(ARTICLE),
            f"{AT}/stop": VIEW,
            f"{AT}/stop/texts": ARTICLE,
            f"{AT}/stop/texts/en": page(TEXT),
            f"{AT}/stop/details": ARTICLE,
            f"{AT}/stop/step": ARTICLE,
            f"{AT}/stop/vote": ARTICLE,
            f"{AT}/stop/uses": page(),
            f"{AT}/stop/files": page(),
            f"{AT}/stop/reply": {
                "seq": 1,
                "ticket": "FH-1",
                "kind": "reply",
                "author": "ann",
                "body": "x",
                "at": TEXT["at"],
            },
            "/knowledge/search": page({**ARTICLE, "snippet": EVIL}),
            "/knowledge/promote": ARTICLE,
            "/knowledge/collections": page(COLLECTION),
            "/knowledge/collections/first": COLLECTION,
            "/knowledge/collections/first/remove": page(),
            "/knowledge/questions": page(QUESTION),
            "/knowledge/questions/1/answers": {"number": 4, "waiting": True},
            "/knowledge/questions/1/accept": QUESTION,
            "/knowledge/moderation": {"questions": [QUESTION], "answers": [ANSWER]},
            "/knowledge/moderation/questions/1": QUESTION,
            "/knowledge/moderation/answers/4": {"questions": [], "answers": []},
            "/knowledge/settings": {"questions": True, "four_eyes": False, "languages": ["en"]},
            "/knowledge/reindex": {"articles": 3, "next": None},
            "/assistant/terms": {"mode": "built-in"},
            "/assistant/ask": SAID,
            f"/assistant/talks/{'t' * 43}/person": {"ticket": "FH-9"},
        }

    def get(self, path: str, kind: Any, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        self.asked.append(("GET", path, given))
        return msgspec.convert(self.answers[path], kind)

    def post(self, path: str, kind: Any, body: Any = None, *, if_match: int | None = None) -> Any:
        self.asked.append(("POST", path, body))
        answer = ARTICLE if (path, kind.__name__) == (AT, "Article") else self.answers[path]
        return msgspec.convert(answer, kind)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> FakeRelay:
    made = FakeRelay()
    monkeypatch.setattr(base, "connect_signed_in", lambda home: (None, made))
    return made


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["farhand", "kb", *words])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


ASKED: list[tuple[tuple[str, ...], tuple[str, str, Any], str]] = [
    (("list", "--stale"), ("GET", AT, {"stale": "true", "limit": 100}), "de (stale) en"),
    (("show", "stop", "--language", "de"), ("GET", f"{AT}/stop", {"language": "de"}), "Done."),
    (("show", "stop", "--revisions"), ("GET", f"{AT}/stop/texts/en", {}), "ann"),
    (
        ("search", "how", "to", "stop"),
        ("GET", "/knowledge/search", {"q": "how to stop", "limit": 20}),
        "stop",
    ),
    (
        ("new", "--title", "T", "--body", "B", "--tag", "a", "--tag", "b"),
        ("POST", AT, {"title": "T", "body": "B", "language": "en", "tags": ["a", "b"]}),
        "stop",
    ),
    (
        ("edit", "stop", "--body", "Newer"),
        ("POST", f"{AT}/stop/texts", {"language": "en", "title": "Stop", "body": "Newer"}),
        "published (edited since)",
    ),
    (
        ("edit", "stop", "--category", "x", "--rename", "halt"),
        ("POST", f"{AT}/stop/details", {"category": "x", "slug": "halt"}),
        "stop",
    ),
    (
        ("translate", "stop", "de", "--title", "T", "--body", "B", "--from-rev", "1"),
        (
            "POST",
            f"{AT}/stop/texts",
            {"language": "de", "title": "T", "body": "B", "from_rev": 1},
        ),
        "stop",
    ),
    (("publish", "stop"), ("POST", f"{AT}/stop/step", {"step": "publish"}), "published"),
    (("archive", "stop"), ("POST", f"{AT}/stop/step", {"step": "archive"}), "stop"),
    (("vote", "stop", "--not-useful"), ("POST", f"{AT}/stop/vote", {"useful": False}), "3 yes"),
    (("used", "stop"), ("GET", f"{AT}/stop/uses", {}), "ticket"),
    (("picture", "stop"), ("GET", f"{AT}/stop/files", {}), "picture"),
    (
        ("reply", "stop", "FH-1", "--link"),
        (
            "POST",
            f"{AT}/stop/reply",
            {"ticket": "FH-1", "words": "", "language": "", "form": "link"},
        ),
        "",
    ),
    (
        ("promote", "FH-1", "--message", "3", "--slug", "s"),
        ("POST", "/knowledge/promote", {"ticket": "FH-1", "message": 3, "slug": "s"}),
        "stop",
    ),
    (
        ("review", "stop", "--due", "none"),
        ("POST", f"{AT}/stop/details", {"review_due": ""}),
        "stop",
    ),
    (("collections", "list"), ("GET", "/knowledge/collections", {}), "first"),
    (("collections", "show", "first"), ("GET", "/knowledge/collections/first", {}), "1. stop"),
    (
        ("collections", "set", "first", "stop", "--title", "First"),
        (
            "POST",
            "/knowledge/collections/first",
            {"title": "First", "description": "", "articles": ["stop"]},
        ),
        "1. stop",
    ),
    (
        ("collections", "remove", "first"),
        ("POST", "/knowledge/collections/first/remove", None),
        "",
    ),
    (("questions", "list"), ("GET", "/knowledge/questions", {"limit": 100}), "pending"),
    (("questions", "show", "1"), ("GET", "/knowledge/moderation/questions/1", {}), "eve"),
    (
        ("questions", "answer", "1", "Because."),
        ("POST", "/knowledge/questions/1/answers", {"body": "Because."}),
        "answer 4",
    ),
    (
        ("questions", "accept", "1", "4"),
        ("POST", "/knowledge/questions/1/accept", {"answer": 4}),
        "1",
    ),
    (("questions", "waiting"), ("GET", "/knowledge/moderation", {}), "answer 4 to 1"),
    (
        ("questions", "decide", "question", "1", "show"),
        ("POST", "/knowledge/moderation/questions/1", {"decision": "show"}),
        "1",
    ),
    (
        ("questions", "decide", "answer", "4", "refuse"),
        ("POST", "/knowledge/moderation/answers/4", {"decision": "refuse"}),
        "",
    ),
    (
        ("settings", "--questions", "--languages", "pt,en"),
        ("POST", "/knowledge/settings", {"questions": True, "languages": ["pt", "en"]}),
        "four eyes",
    ),
    (
        ("assistant", "--mode", "off"),
        (
            "POST",
            "/assistant/terms",
            {
                "mode": "off",
                "url": "",
                "shape": "json",
                "model": "",
                "token_file": "",
                "timeout_s": 15,
            },
        ),
        "built-in",
    ),
    (
        ("ask", "How?", "--person"),
        ("POST", f"/assistant/talks/{'t' * 43}/person", {"ticket": ""}),
        "stop: Stop",
    ),
    (("reindex",), ("POST", "/knowledge/reindex", {"after": ""}), "3 articles"),
]


@pytest.mark.parametrize(("words", "asked", "shown"), ASKED)
def test_each_command(
    relay: FakeRelay,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    asked: tuple[str, str, Any],
    shown: str,
) -> None:
    assert run(monkeypatch, *words) == 0
    out, err = capfd.readouterr()
    assert relay.asked[-1] == asked
    assert shown in out
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert run(monkeypatch, *words, "--json") == 0
    out = capfd.readouterr().out
    assert "\x1b" not in out
    json.loads(out)


def test_what_is_due_is_asked_as_of_today(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "review", "--before", "2026-12-01") == 0
    assert relay.asked == [("GET", AT, {"due_before": "2026-12-01", "limit": 100})]
    assert "2026-11-01" in capfd.readouterr().out
    assert run(monkeypatch, "review") == 0
    assert len(relay.asked[-1][2]["due_before"]) == len("2026-12-01")


def test_a_text_comes_from_a_file(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "text.md"
    file.write_text("Größer.", encoding="utf-8")
    assert run(monkeypatch, "new", "--title", "T", "--file", str(file)) == 0
    assert relay.asked[-1][2]["body"] == "Größer."
    file.write_bytes(b"\xff")
    assert run(monkeypatch, "new", "--title", "T", "--file", str(file)) == 1


def test_an_article_that_names_no_check_runs_none(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "run", "stop", "FH-1") == 1
    err = capfd.readouterr().err
    assert "script-unknown" in err
    assert "farhand run remedy.dns.flush" in err
    assert [method for method, _, _ in relay.asked] == ["GET"]


def test_checks_are_ordered_by_the_console_as_ever(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    relay.answers[f"{AT}/stop"] = {**ARTICLE, "checks": ["check.disk.space"]}
    relay.answers[f"{AT}/stop/uses"] = ARTICLE
    relay.answers["/tickets/FH-1"] = {
        "id": "1",
        "number": "FH-1",
        "title": "x",
        "state": "open",
        "created_at": TEXT["at"],
        "updated_at": TEXT["at"],
    }
    # It gets as far as `ticket check` does, which refuses a ticket without a device.
    assert run(monkeypatch, "run", "stop", "FH-1") == 2
    assert "FH-1 names no device" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("new", "--title", "T"),
        ("new", "--title", "T", "--body", "b", "--file", __file__),
        ("edit", "stop"),
        ("edit", "stop", "--language", "ro", "--body", "x"),
        ("review", "stop"),
        ("import",),
        ("import", ".", "--starter"),
        ("ask", "How?", "--ticket", "FH-1"),
        ("list", "--state", "weird"),
    ],
)
def test_what_cannot_be_meant(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *words) == 2
    assert all(method == "GET" for method, _, _ in relay.asked)


def test_a_refusal_of_the_relay_is_told(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: str, kind: Any, body: Any = None, **more: Any) -> Any:
        raise FarhandError("article-state", "it has no such step")

    monkeypatch.setattr(relay, "post", refuse)
    assert run(monkeypatch, "publish", "stop") == 1
    assert "farhand: error: article-state" in capfd.readouterr().err
