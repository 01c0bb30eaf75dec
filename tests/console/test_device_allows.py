"""What `farhand device allows` says may be asked for: policy and roster as they were verified."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from farhand_console.cli import base
from farhand_console.cli.entry import main
from farhand_console.home import Home
from farhand_console.session.scopes import Limits, against
from farhand_protocol.trust import SCOPES, GroupPolicy, Operator
from tests.console.organisation import Organisation


def allows(
    monkeypatch: pytest.MonkeyPatch, home: Home, organisation: Organisation, account: str
) -> int:
    relay = SimpleNamespace(get=lambda *_: organisation.answer(), close=lambda: None)
    settings = SimpleNamespace(account=account)
    monkeypatch.setattr(base, "connect_signed_in", lambda _home: (settings, relay))
    monkeypatch.setattr(base.Context, "settings", settings)
    monkeypatch.setattr(base, "load_trust", lambda *_: organisation.trust)
    words = ["farhand", "device", "allows", "reception", "--home", str(home.folder), "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_each_scope_with_what_speaks_against_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    home: Home,
    organisation: Organisation,
) -> None:
    trust = organisation.trust
    trust.policy.groups["office"] = GroupPolicy(
        unattended=True, scopes=["view", "files", "forward", "desktop"], files_read_only=True
    )

    def told(account: str) -> dict[str, Any]:
        assert allows(monkeypatch, home, organisation, account) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert [one["scope"] for one in answer["scopes"]] == list(SCOPES)
        return answer | {one["scope"]: one["reason"] for one in answer["scopes"]}

    tess = told("tess")
    assert (tess["group"], tess["without_code"], tess["files_read_only"]) == ("office", True, True)
    assert tess["view"] == tess["files"] == tess["desktop"] == ""
    assert "policy of group office does not allow it" in tess["terminal"]
    assert "lists no destination" in tess["forward"]
    nobody = told("nobody")
    assert {nobody[scope] for scope in SCOPES} == {"you are not on the roster"}

    trust.policy.groups["office"] = GroupPolicy(forward_to=["printer:80"])
    few = Operator(name="few", keys=[], permissions=["session:forward@office"])
    trust.roster = msgspec.structs.replace(trust.roster, operators=[*trust.roster.operators, few])
    told_few = told("few")
    assert told_few["forward"] == ""
    assert told_few["forward_to"] == ["printer:80"]
    assert "the roster does not let you" in told_few["view"]


def test_a_device_that_nobody_vouched_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    home: Home,
    organisation: Organisation,
) -> None:
    organisation.answer = lambda **_: {"id": "d-x", "name": "reception"}  # type: ignore[method-assign]
    assert allows(monkeypatch, home, organisation, "tess") != 0
    assert "farhand: error: " in capsys.readouterr().err


def test_nothing_known_speaks_against_nothing() -> None:
    assert {against(scope, Limits()) for scope in SCOPES} == {""}
