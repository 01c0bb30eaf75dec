"""What `farhand device ...` shows of a relay's answers: readable, escaped, and as JSON."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from farhand_console.cli import base
from farhand_console.cli.entry import main
from farhand_console.home import Home
from farhand_console.relay import Relay

BASH = {"source": "dpkg", "name": "bash", "version": "5.1", "arch": "amd64"}
EVIL = "\x1b[2Jevil\u202e<b>"
AT = "2026-11-22T10:00:00Z"
ID = "d-" + "a" * 26

PRODUCT: dict[str, Any] = {
    "device": ID, "make": "ACME", "model": None, "serial": EVIL, "purchased_on": None,
    "warranty_ends_on": "2027-01-31", "vendor_contract": None, "asset_number": None, "notes": None,
    "warranty": "ends-soon", "reported": ["serial"], "revision": 7, "updated_by": None,
    "updated_at": None,
}  # fmt: skip
ENTRY: dict[str, Any] = {
    "seq": 5, "device": ID, "section": "software", "status_before": "ok", "status": "ok",
    "seen_at": AT, "received_at": AT, "added_count": 2, "removed_count": 1, "is_first": False,
    "is_whole": True,
    "changes": [
        {
            "change": "changed", "identity": "dpkg bash amd64", "before": BASH,
            "after": {**BASH, "version": "5.2"},
        },
        {"change": "added", "identity": EVIL, "before": None, "after": {"name": EVIL}},
    ],
}  # fmt: skip
DIFFERENCE: dict[str, Any] = {
    "name": "software", "before_at": AT, "after_at": AT, "status_before": "ok",
    "status_after": "timeout", "added": [{"name": EVIL}], "removed": [BASH],
    "changed": [{"before": BASH, "after": {**BASH, "version": "5.2"}}],
    "added_count": 1, "removed_count": 1, "changed_count": 1, "is_whole": False,
}  # fmt: skip
TWIN = {"id": ID, "name": EVIL, "last_seen": None, "group": "x", "os": "", "enrolled_at": AT}
SECTION = {
    "device": ID, "name": "users", "status": "ok", "reason": "", "hash": "0" * 64,
    "collected_at": AT, "duration_ms": 1, "items": [{"name": EVIL, "uid": 1}, {"name": "ann"}],
}  # fmt: skip

ANSWERS: dict[str, dict[str, Any]] = {
    "/devices/pc/history": {"device": ID, "items": [ENTRY], "next": "CURSOR"},
    "/devices/pc/diff": {"device": ID, "since": AT, "items": [DIFFERENCE], "next": None},
    "/devices/pc/product": PRODUCT,
    "/devices/pc/checks": {
        "device": ID, "next": None,
        "items": [
            {
                "id": "disk.space", "subject": "/", "state": "critical", "summary": EVIL,
                "value": "2", "unit": "%", "since": AT, "seen_at": AT,
            }
        ],
    },
    "/duplicates": {
        "next": None,
        "items": [
            {
                "keep": TWIN, "other": TWIN, "score": 4, "strength": "strong",
                "shared": [{"kind": "serial", "value": EVIL}],
            }
        ],
    },
    "/duplicates/dismiss": {
        "one": ID, "other": ID, "dismissed_by": "ann", "dismissed_at": AT,
    },
    "/devices/pc/merge": {
        "id": "m-1", "kept": ID, "other": ID, "merged_by": "ann", "merged_at": AT,
        "undone_by": None, "undone_at": None,
    },
    "/devices/pc": {
        "id": ID, "name": "pc", "group": "x", "tags": [], "online": True, "confirmed": True,
        "os": "Debian", "last_seen": AT,
    },
    "/devices/old": {
        "id": ID, "name": EVIL, "group": "x", "tags": [], "online": False, "confirmed": True,
        "os": "Debian", "last_seen": AT,
    },
    f"/devices/{ID}/sections": {"items": [{"name": "users"}], "next": None},
    f"/devices/{ID}/sections/users": SECTION,
}  # fmt: skip


class Answering(Relay):
    """A relay whose answers are written above; keeps what was asked."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "token", None)
        self.asked: list[tuple[str, str, Any, Any]] = []

    def _call(self, method: str, path: str, **given: Any) -> bytes:
        headers = given.get("headers") or {}
        self.asked.append((method, path, given.get("content"), headers.get("if-match")))
        return json.dumps(ANSWERS[path]).encode()


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Answering:
    answering = Answering()
    monkeypatch.setattr(base, "connect_signed_in", lambda _home: (None, answering))
    return answering


def farhand(monkeypatch: pytest.MonkeyPatch, home: Home, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["farhand", "--home", str(home.folder), *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["history", "pc"], ["bash (version: 5.1 -> 5.2)", "there is more: --cursor CURSOR"]),
        (["diff", "pc"], ["version: 5.1 -> 5.2", "ok -> timeout", "not every change since then"]),
        (["checks", "pc"], ["critical", "disk.space", "2 %"]),
        (["duplicates"], ["strong", "serial", "device merge KEEP OTHER"]),
        (["inventory", "pc"], ["users  [ok]", "uid", "ann"]),
        (["set", "pc", "--make", "ACME"], ["ends soon", "(as reported)"]),
    ],
)
def test_words_are_readable_and_escaped(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    home: Home,
    relay: Answering,
    words: list[str],
    shown: list[str],
) -> None:
    assert farhand(monkeypatch, home, "device", *words) == 0
    told = capsys.readouterr()
    for one in shown:
        assert one in told.out + told.err
    assert "\x1b" not in told.out
    assert "\u202e" not in told.out
    assert "evil" in told.out, "what is foreign is shown, only harmless"
    assert farhand(monkeypatch, home, "device", *words, "--json") == 0
    text = capsys.readouterr().out
    assert "\u202e" not in text
    json.loads(text)


def test_a_pair_is_dismissed(monkeypatch: pytest.MonkeyPatch, home: Home, relay: Answering) -> None:
    words = ["device", "duplicates"]
    assert farhand(monkeypatch, home, *words, "--dismiss", "pc", "old") == 0
    method, path, content, _ = relay.asked[-1]
    assert (method, path) == ("POST", "/duplicates/dismiss")
    assert json.loads(content) == {"one": "pc", "other": "old"}
    both = [*words, "--dismiss", "pc", "old", "--recall", "pc", "old"]
    assert farhand(monkeypatch, home, *both) == 2
    assert farhand(monkeypatch, home, *words, "--dismiss", "pc") == 2


def test_a_change_goes_with_the_revision_that_was_read(
    monkeypatch: pytest.MonkeyPatch, home: Home, relay: Answering
) -> None:
    words = ["device", "set", "pc", "--warranty-end", "2027-01-31", "--clear", "asset-number"]
    assert farhand(monkeypatch, home, *words, "--json") == 0
    method, path, content, revision = relay.asked[-1]
    assert (method, path, revision) == ("POST", "/devices/pc/product", '"7"')
    assert json.loads(content) == {"warranty_ends_on": "2027-01-31", "asset_number": None}
    assert farhand(monkeypatch, home, "device", "set", "pc") == 2


def test_merging_names_both(monkeypatch: pytest.MonkeyPatch, home: Home, relay: Answering) -> None:
    assert farhand(monkeypatch, home, "device", "merge", "pc", "old", "--json") == 0
    assert json.loads(relay.asked[-1][2]) == {"other": "old"}


@pytest.mark.parametrize(
    ("answer", "yes", "merged"), [("y\n", [], 1), ("n\n", [], 0), ("", ["--yes"], 1)]
)
def test_merging_is_asked_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    home: Home,
    relay: Answering,
    answer: str,
    yes: list[str],
    merged: int,
) -> None:
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    code = farhand(monkeypatch, home, "device", "merge", "pc", "old", *yes)
    assert (code == 0) == bool(merged)
    assert [path for _, path, _, _ in relay.asked].count("/devices/pc/merge") == merged
    told = capsys.readouterr()
    assert ("retire" in told.err) == (not yes)
    assert "\x1b" not in told.out + told.err
