"""Commands that are forked from a loaded process are commands like any other."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from farhand_protocol.tokens import SigninToken, format_signin_token
from tests.support.faults.environment import fault_environment
from tests.support.stage import environment, program
from tests.support.warm import PROGRAMS, run_warm


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


def doing(monkeypatch: pytest.MonkeyPatch, code: str) -> list[str]:
    """Return a command that does what a line of Python says."""
    monkeypatch.setattr("tests.support.warm.PROGRAMS", (*PROGRAMS, "tests.support.said"))
    return [*program("tests.support.said"), code]


@pytest.mark.parametrize(
    ("code", "status", "said", "words"),
    [
        ("import sys; print('x', end=''); sys.exit(3)", 3, b"x", b""),
        ("import sys; sys.exit('no more')", 1, b"", b"no more\n"),
        ("import sys; sys.exit(256 + 7)", 7, b"", b""),
        (
            "import atexit; atexit.register(print, 'at the end'); raise SystemExit",
            0,
            b"at the end\n",
            b"",
        ),
        (
            "import threading, time;"
            "threading.Thread(target=lambda: (time.sleep(0.2), print('y'))).start();"
            "raise SystemExit",
            0,
            b"y\n",
            b"",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, b"", b""),
    ],
)
def test_it_ends_as_python_does(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, said: bytes, words: bytes
) -> None:
    done = run_warm(doing(monkeypatch, code), env=environment(), stdin=b"", timeout_s=60)
    assert done is not None
    assert (done.returncode, done.stdout, done.stderr) == (status, said, words)


def test_what_is_to_fail_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, sitecustomize; from farhand_server.store.database import Database;"
        "print(sitecustomize.KILL, Database.write.__module__, sys.orig_argv[1:3])"
    )
    env = environment() | fault_environment(kill=tmp_path / "kill")
    words = [*doing(monkeypatch, code), "farhand_server"]
    done = run_warm(words, env=env, stdin=b"", timeout_s=60)
    assert done is not None
    said = f"{tmp_path / 'kill'} sitecustomize ['-m', 'tests.support.said']\n"
    assert done.stdout.decode() == said, done.stderr


def test_many_at_once_have_each_their_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [doing(monkeypatch, f"import sys; print({n}); sys.exit({n})") for n in range(12)]
    with ThreadPoolExecutor(12) as threads:
        done = list(
            threads.map(
                lambda one: run_warm(one, env=environment(), stdin=b"", timeout_s=60), words
            )
        )
    assert [one and (one.returncode, one.stdout) for one in done] == [
        (n, b"%d\n" % n) for n in range(12)
    ]


def wait_gone(file: Path) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(file.read_text())).wait(20)


def test_one_whose_test_is_interrupted_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        """As pytest's own at the end of a test's time."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    file = tmp_path / "pid"
    code = (
        "import os, pathlib, sys, time; sys.stdin.read();"
        f"pathlib.Path({str(file)!r}).write_text(str(os.getpid()));"
        f"os.kill({os.getpid()}, {int(signal.SIGUSR1)}); time.sleep(1000)"
    )
    words = doing(monkeypatch, code)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            run_warm(words, env=environment(), stdin=b"", timeout_s=90)
    finally:
        signal.signal(signal.SIGUSR1, before)
    wait_gone(file)


def test_children_that_hold_its_pipes_are_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.warm._SAID_S", 0.1)
    file = tmp_path / "pid"
    code = (
        "import pathlib, subprocess; child = subprocess.Popen(['sleep', '60']);"
        f"pathlib.Path({str(file)!r}).write_text(str(child.pid)); child.returncode = 0"
    )
    words = doing(monkeypatch, code)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            run_warm(words, env=environment(), stdin=b"", timeout_s=3)
    finally:
        os.kill(int(file.read_text()), signal.SIGKILL)
        wait_gone(file)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([sys.executable, "-m", "farhand_console"], {"PYTHONPATH": "/elsewhere"}),
        ([sys.executable, "-m", "farhand_console"], {"LANG": "tlh_XX.UTF-8"}),
        ([sys.executable, "-m", "farhand_console"], {"TZ": "Pacific/Chatham"}),
        ([sys.executable, "-m", "farhand_console"], {"FAULT_CLOCK": "/nowhere"}),
        ([sys.executable, "-m", "http.server"], {}),
        (["/bin/true"], {}),
    ],
)
def test_what_asks_for_another_start_gets_it(words: list[str], changed: dict[str, str]) -> None:
    env = environment()
    warm("farhand_console", "--version", env=env)
    assert run_warm(words, env=env | changed, stdin=b"", timeout_s=1) is None
