"""What is typed for rules: conditions, actions, and secrets that are never arguments."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from farhand_console.cli.rule_desk import parse_action, parse_condition
from farhand_console.cli.webhook import read_secret
from farhand_protocol.errors import UsageError


@pytest.mark.parametrize(
    ("text", "field", "operator", "value"),
    [
        ("title contains the printer", "title", "contains", "the printer"),
        ("owner empty", "owner", "empty", ""),
        ("queue in vip, desk", "queue", "in", ["vip", "desk"]),
    ],
)
def test_a_condition(text: str, field: str, operator: str, value: Any) -> None:
    assert parse_condition(text) == {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("text", "do", "field", "value"),
    [
        ("set queue=printers", "set", "queue", "printers"),
        ("note Look at it, please", "note", "", "Look at it, please"),
        ("propose check.disk.space", "propose", "", "check.disk.space"),
    ],
)
def test_an_action(text: str, do: str, field: str, value: str) -> None:
    assert parse_action(text) == {"do": do, "field": field, "value": value}


@pytest.mark.parametrize("text", ["", "set queue", "note", "run check.disk.space", "set queue="])
def test_what_is_no_action(text: str) -> None:
    with pytest.raises(UsageError):
        parse_action(text)


def test_what_is_no_condition() -> None:
    with pytest.raises(UsageError):
        parse_condition("title")


def test_a_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("secret words\nmore\n")
    assert read_secret(str(file)) == "secret words"
    assert read_secret(None) == ""
    monkeypatch.setattr("sys.stdin", io.StringIO("typed\n"))
    assert read_secret("-") == "typed"
    file.write_text("\n")
    with pytest.raises(UsageError):
        read_secret(str(file))
