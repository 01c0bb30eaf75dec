"""Commands that are forked from a loaded process are commands like any other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from farhand_protocol.tokens import SigninToken, format_signin_token
from tests.support.stage import environment, program
from tests.support.warm import run_warm


def warm(*words: str, env: dict[str, str], timeout_s: float = 120) -> tuple[int, bytes, bytes]:
    done = run_warm([*program(words[0]), *words[1:]], env=env, stdin=b"", timeout_s=timeout_s)
    assert done is not None
    return done.returncode, done.stdout, done.stderr


def test_it_says_and_ends_as_one_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = environment() | {"FARHAND_HOME": "a-home-of-its-own"}
    for words in (
        ["farhand_console", "--version"],
        ["farhand_console", "nonsense"],
        ["farhand_console", "key", "show"],
        ["farhand_server", "token"],
    ):
        cold = subprocess.run(
            [*program(words[0]), *words[1:]], env=env, capture_output=True, check=False
        )
        assert warm(*words, env=env) == (cold.returncode, cold.stdout, cold.stderr)
    assert b"a-home-of-its-own" in cold.stderr


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    token = SigninToken(relay_key=b"k" * 32, tls_sha256=b"", tenant="n-none", secret=b"s" * 32)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        words = ["--home", str(tmp_path), "login", url, "--token", format_signin_token(token)]
        with pytest.raises(subprocess.TimeoutExpired):
            # Its pipes are read to their end before this is raised, so it is gone then.
            warm("farhand_console", *words, env=environment(), timeout_s=2)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([sys.executable, "-m", "farhand_console"], {"PYTHONPATH": "/elsewhere"}),
        ([sys.executable, "-m", "http.server"], {}),
        (["/bin/true"], {}),
    ],
)
def test_what_asks_for_another_start_gets_it(words: list[str], changed: dict[str, str]) -> None:
    env = environment()
    warm("farhand_console", "--version", env=env)
    assert run_warm(words, env=env | changed, stdin=b"", timeout_s=1) is None
    assert os.environ.get("PYTHONPATH") != "/elsewhere"
