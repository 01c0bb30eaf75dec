"""Linting: what stops a submission, what is only noted, and which linter was not there."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from farhand_console import linting
from farhand_console.linting import lint


def table(**fields: Any) -> dict[str, Any]:
    made = {"interpreter": "sh", "platforms": ["linux"], "risk": "R0", "description": "Looks."}
    return made | fields


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which nothing is installed but what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(tools: Path, name: str, body: str) -> None:
    file = tools / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_a_sound_script_has_no_problem_and_an_absent_linter_is_named(tools: Path) -> None:
    found = lint(table(), b"#!/bin/sh\ntrue\n")
    assert found.problems == []
    assert found.notes == ["shellcheck is not installed here: not linted"]
    found = lint(table(interpreter="powershell", platforms=["windows"]), b"Get-Date\r\n")
    assert found == ([], ["PowerShell is not installed here: neither parsed nor linted"])


def test_a_line_that_nobody_reads_to_its_end_is_named(tools: Path) -> None:
    found = lint(table(), b"#!/bin/sh\nx=1" + b" " * 397 + b"\nx=1" + b" " * 4000 + b"; rm x\n")
    assert found.notes[0] == "line 3 is 4009 characters long: hard to read"
    assert found.problems == []


@pytest.mark.parametrize(
    ("fields", "body", "words"),
    [
        ({}, b"true\r\n", "Windows line ends"),
        ({}, b"\xff\xfe", "no UTF-8"),
        ({}, "echo a\u202eb\n".encode(), "does not see: U+202E"),
        ({}, b"echo \x1b[2J\n", "U+001B"),
        ({}, b"#!/usr/bin/python3\n", "another interpreter"),
        ({}, b"if true\n", "sh: "),
        ({"platforms": ["linux", "windows"]}, b"true\n", "sh does not run on windows"),
        ({"interpreter": "powershell"}, b"Get-Date\n", "powershell does not run on linux"),
        ({"interpreter": "python"}, b"def (\n", "python: "),
        ({"interpreter": "python"}, b"x = '\0'\n", "U+0000"),
    ],
)
def test_problems(tools: Path, fields: dict[str, Any], body: bytes, words: str) -> None:
    assert any(words in one for one in lint(table(**fields), body).problems)


def test_notes_stop_nothing(tools: Path) -> None:
    found = lint(table(interpreter="python", risk="R2", description=" "), b"pass\n")
    assert found.problems == []
    assert len(found.notes) == 2
    assert "verifies" in found.notes[0]


def test_linters_that_are_there_are_asked(tools: Path) -> None:
    install(tools, "shellcheck", "echo '-:2:1: warning: quote this'; exit 1")
    assert lint(table(), b"true\n") == (["-:2:1: warning: quote this"], [])
    install(tools, "shellcheck", "echo broken >&2; exit 3")
    assert lint(table(), b"true\n") == ([], ["shellcheck failed: broken"])
    windows = table(interpreter="powershell", platforms=["windows"])
    answer = 'case "$*" in *Analyzer*) echo {} ;; *) echo {} ;; esac'
    install(tools, "pwsh", answer.format("absent", ""))
    assert lint(windows, b"Get-Date\n").notes == [
        "PSScriptAnalyzer is not installed here: not linted"
    ]
    install(tools, "pwsh", answer.format("'line 1: no aliases'", "'Missing brace'"))
    assert lint(windows, b"Get-Date {\n").problems == [
        "powershell: Missing brace",
        "line 1: no aliases",
    ]


def test_a_linter_that_hangs_is_no_praise(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tools, "shellcheck", "exec /bin/sleep 60")
    monkeypatch.setattr(linting, "_LINT_S", 1)
    found = lint(table(), b"true\n")
    assert found.problems == []
    assert found.notes[0].startswith("shellcheck failed: ")
