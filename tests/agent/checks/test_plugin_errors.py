"""`checks --plugin` where nothing could be checked: one line on stdout and exit 3, always."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from farhand_agent.cli import main

PROGRAM = [sys.executable, "-I", "-m", "farhand_agent"]


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the command line; return the one line, after the look at everything else."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    shown = capsys.readouterr()
    assert left.value.code == 3
    assert shown.err.startswith("farhand-agent: error: ")
    (line,) = shown.out.splitlines()
    assert line.startswith("CHECKS UNKNOWN - ")
    assert line.isascii()
    assert line.isprintable()
    assert "|" not in line
    assert len(line) < 300
    return line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["checks", "--plugin", "--bogus"], "usage"),
        (["--bogus", "checks", "--plugin"], "usage"),
        (["cheques", "--plugin"], "usage"),
        (["checks", "--plugin", "--lang", "xx"], "usage"),
        (["checks", "--plugin", "--param"], "usage"),
        (["checks", "--plugin", "nope"], "check-unknown"),
        (["checks", "--plugin", "--id", "\x1b[2J|ü" + "x" * 500], "check-unknown"),
        (["checks", "--plugin", "--id=" + "\u202e|", "--\x1b|ü" + "x" * 900], "usage"),
        (["checks", "uptime", "--plugin", "--param", "uptime.warning_days=x"], "check-parameters"),
        (["checks", "uptime", "--plugin", "--param", "uptime.warning_days=nan"], "finite"),
        (["checks", "uptime", "--plugin", "--param", "uptime.warning_days=91"], "beyond"),
        (["checks", "--plugin", "--run-plugin", "/nonexistent/\x07|ü"], "command-missing"),
        (["checks", "--plugin", "--run-plugin", ""], "command-"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert named in answered(capsys, *words)


def test_a_plugin_that_says_too_much_and_a_home_of_somebody_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plugin = tmp_path / "check_much"
    plugin.write_text("#!/bin/sh\nhead -c 300000 /dev/zero\n")
    plugin.chmod(0o755)
    words = ["checks", "--plugin", "--run-plugin", str(plugin)]
    assert "command-overflow" in answered(capsys, *words)
    (tmp_path / "config.toml").write_text('program = "farhand"\n')
    words = ["checks", "uptime", "--plugin", "--home", str(tmp_path)]
    assert "home-foreign" in answered(capsys, *words)


def test_a_bug_is_unknown_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("farhand_agent.checks.command.run_checks", broken)
    assert "internal-error: RuntimeError: first" in answered(capsys, "checks", "--plugin")


def test_the_word_of_a_foreign_plugin_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["checks", "--run-plugin", "/nonexistent", "--", "--plugin"])
    assert (left.value.code, capsys.readouterr().out) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("where", [">/dev/full", ">&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_an_output_that_cannot_be_written_is_exit_3(where: str) -> None:
    shell = ["sh", "-c", f'exec "$@" {where}', "sh", *PROGRAM]
    done = subprocess.run(
        [*shell, "checks", "uptime", "--plugin"], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
