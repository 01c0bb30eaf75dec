"""Farhand's commands without their start: forked from a process that has loaded them already.

A test gives dozens of short commands, and nine tenths of what each costs is loading its libraries.
`run_warm` runs one in a process of its own, with arguments, environment, working folder, pipes and
exit status of its own, as any other; only its modules are there from the beginning.  `start_warm`
starts one that stays, such as a relay, which is used like a `subprocess.Popen` of text.  How a
program starts from nothing is what `make demo`, the tests of the command lines and of terminals and
every agent show, and a command whose environment asks for another Python than that of the loaded
process gets it.

    test process ── pipe that ends it ──> loaded process ── fork ──> command
         └── socket: words, environment, three pipes ──┘ pid, then status

The loaded process has one thread and does nothing but fork and wait, so what it forks is as good as
new.  A command ends as Python does, but for taking its modules apart: see `_end`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, cast

import click
from litestar import Litestar

import farhand_server.app
import farhand_server.serve
from farhand_console.cli.entry import farhand
from farhand_server.api.area import Area
from farhand_server.api.areas import AREAS
from farhand_server.relay import Relay
from tests.support.faults.environment import fault_environment

__all__ = ["WarmProcess", "run_warm", "start_warm", "warm_programs"]

PROGRAMS = ("farhand_agent", "farhand_console", "farhand_server")
_ROOT = Path(__file__).parents[2]
_BACKLOG = 64
_START_S = 60.0
# What a command has to say is there when it has ended; who waits longer waits for its children.
_SAID_S = 5.0
# What the loaded process loads: the programs' commands, and what those load only when they run.
_PARTS = ("farhand_agent.cli", "farhand_agent.enrolment", "farhand_server.cli.commands")
_LATE = (
    "alembic.ddl.postgresql",
    "alembic.ddl.sqlite",
    "alembic.runtime.migration",
    "certifi",
    "encodings.idna",
    "farhand_agent.receipts",
    "farhand_console.trust.fetching",
    "httpcore",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
)


class _Loaded:
    """A loaded process, from the side of the tests; started when first asked."""

    def __init__(self, path: str | None) -> None:
        # The tests' own Python, not what the first command may have asked for.
        env = _own_environment(path)
        # Short, because the path of a socket is.
        self._folder = tempfile.TemporaryDirectory(prefix="fh-")
        self._path = str(Path(self._folder.name) / "s")
        # Pipes, as each command gets: what Python found them to be when it started stays true.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", self._path],
            env=env,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        try:
            is_ready = self._process.stdout.readline() == b"ready\n"
        except BaseException:
            self._process.kill()
            self.close()
            raise
        if not is_ready:
            said = self._process.communicate()[1].decode(errors="replace")
            self._folder.cleanup()
            raise AssertionError(f"the programs cannot be loaded\n{said}")

    def connect(self) -> socket.socket:
        """Return a connection for one command."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_START_S)
        connection.connect(self._path)
        return connection

    def close(self) -> None:
        """End the loaded process; what it has forked goes on."""
        self._process.communicate()
        self._folder.cleanup()


class _Keeper:
    """Holds the loaded processes of this test process: its own Python, and the one that fails."""

    def __init__(self) -> None:
        self.is_on = False
        self._lock = threading.Lock()
        self._loaded: dict[str | None, _Loaded] = {}

    def fitting(self, env: dict[str, str]) -> _Loaded | None:
        """Return the loaded process that is a Python as this environment asks for."""
        path = env.get("PYTHONPATH")
        if path not in (os.environ.get("PYTHONPATH"), fault_environment()["PYTHONPATH"]):
            return None
        # Libraries may have asked the clock for its name before it is moved.
        if _setting(env) != _setting(_own_environment(path)) or "FAULT_CLOCK" in env:
            return None
        with self._lock:
            if not self.is_on:
                return None
            if path not in self._loaded:
                self._loaded[path] = _Loaded(path)
            return self._loaded[path]

    def close(self) -> None:
        """End them."""
        with self._lock:
            self.is_on = False
            while self._loaded:
                self._loaded.popitem()[1].close()


_keeper = _Keeper()


def _setting(env: dict[str, str]) -> dict[str, str]:
    """What makes one Python another: its own variables, the language, the zone, the libraries."""
    return {
        name: env[name]
        for name in sorted(env)
        if name.startswith(("PYTHON", "LD_", "LC_")) or name in ("LANG", "TZ")
    }


def _own_environment(path: str | None) -> dict[str, str]:
    """The tests' own, with another PYTHONPATH."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return env if path is None else env | {"PYTHONPATH": path}


@contextmanager
def warm_programs() -> Iterator[None]:
    """Let `run_warm` work inside the block; nothing is started before it is asked."""
    _keeper.is_on = True
    try:
        yield
    finally:
        _keeper.close()


def run_warm(
    words: list[str], *, env: dict[str, str], stdin: bytes, timeout_s: float
) -> subprocess.CompletedProcess[bytes] | None:
    """Run `PYTHON -m PROGRAM ...` to its end, as `subprocess.run` would.

    Returns:
        None where only a process from nothing will do: outside `warm_programs`, for other words,
        and for an environment that wants another Python.

    Raises:
        subprocess.TimeoutExpired: it was killed after `timeout_s`; or it has ended, and a child of
            its own holds its pipes for longer.
    """
    deadline = time.monotonic() + timeout_s
    if words[:2] != [sys.executable, "-m"] or words[2] not in PROGRAMS:
        return None
    loaded = _keeper.fitting(env)
    if loaded is None:
        return None
    with ExitStack() as stack:
        pipes = stack.enter_context(ExitStack())
        connection, told, *heard = _ask_for(loaded, pipes)
        stack.enter_context(closing(connection))
        said: list[bytes] = [b"", b""]
        threads = [threading.Thread(target=_tell, args=(told, stdin), daemon=True)]
        threads += [
            threading.Thread(target=_hear, args=(heard[n], said, n), daemon=True) for n in (0, 1)
        ]
        # All run before the command does, so nothing that it sends comes between.
        for thread in threads:
            thread.start()
        pipes.pop_all()  # each thread closes its own: one that is being read cannot be closed
        answers, pid = _begin(connection, words, env)
        stack.enter_context(answers)
        try:
            connection.settimeout(timeout_s)
            status = int(answers.readline())
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _all_ended(threads, _SAID_S)
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired(words, timeout_s) from error
            raise
        if not _all_ended(threads, max(_SAID_S, deadline - time.monotonic())):
            raise subprocess.TimeoutExpired(words, timeout_s)
    return subprocess.CompletedProcess(words, status, said[0], said[1])


class WarmProcess:
    """A program that runs for long; as much of `subprocess.Popen` as its users want, and no more.

    Attributes:
        pid: of the program itself.
        returncode: its status once that was asked for, as `Popen` has it.
        stdin: what it reads, to be written as text; closed from the beginning unless wanted.
        stdout: what it says, as text.
        stderr: what it says beside that.
    """

    def __init__(
        self, loaded: _Loaded, words: list[str], env: dict[str, str], *, stdin: bool
    ) -> None:
        self.args = words
        self.returncode: int | None = None
        with ExitStack() as undone:
            self._connection, told, out, err = _ask_for(loaded, undone)
            undone.enter_context(closing(self._connection))
            self._answers, self.pid = _begin(self._connection, words, env)
            undone.pop_all()
        self.stdin = io.TextIOWrapper(told, write_through=True) if stdin else None
        if self.stdin is None:
            told.close()
        self.stdout = io.TextIOWrapper(out, errors="replace")
        self.stderr = io.TextIOWrapper(err, errors="replace")

    def wait(self, timeout: float | None = None) -> int:
        """Return its status when it has ended; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            ready, _, _ = select.select([self._connection], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._connection.settimeout(_START_S)
            with self._answers:
                self.returncode = int(self._answers.readline())
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return its status, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def send_signal(self, sign: int) -> None:
        """Signal it while it runs."""
        if self.poll() is None:
            # It ended meanwhile: nobody else can have its number so soon.
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start_warm(words: list[str], *, env: dict[str, str], stdin: bool = False) -> WarmProcess | None:
    """Start `PYTHON -m PROGRAM ...`; None where only a process from nothing will do.

    Such a one is a resident agent, always: what it weighs is part of what it is.
    """
    if words[:2] != [sys.executable, "-m"] or words[2] not in PROGRAMS:
        return None
    if words[2:4] == ["farhand_agent", "run"]:
        return None
    loaded = _keeper.fitting(env)
    return None if loaded is None else WarmProcess(loaded, words, env, stdin=stdin)


def _ask_for(loaded: _Loaded, undone: ExitStack) -> tuple[socket.socket, Any, Any, Any]:
    """Return a connection for one command, and our ends of its three pipes.

    Args:
        loaded: the loaded process.
        undone: closes the pipes, until whoever asks takes them over.
    """
    connection = loaded.connect()
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    ours_err, theirs_err = os.pipe()
    told = undone.enter_context(os.fdopen(ours_in, "wb"))
    out, err = (undone.enter_context(os.fdopen(one, "rb")) for one in (ours_out, ours_err))
    try:
        socket.send_fds(connection, [b"!"], [theirs_in, theirs_out, theirs_err])
    finally:
        for one in (theirs_in, theirs_out, theirs_err):
            os.close(one)
    return connection, told, out, err


def _begin(connection: socket.socket, words: list[str], env: dict[str, str]) -> tuple[Any, int]:
    """Let the command begin; returns what is said of it from then on, and its process id."""
    asked = {"program": words[2], "arguments": words[3:], "env": env, "cwd": os.getcwd()}
    connection.sendall(json.dumps(asked).encode())
    connection.shutdown(socket.SHUT_WR)
    answers = connection.makefile("rb")
    return answers, int(answers.readline())


def _tell(pipe: Any, data: bytes) -> None:
    try:
        with pipe:
            pipe.write(data)
    except BrokenPipeError:
        return  # it did not want to hear all of it


def _hear(pipe: Any, said: list[bytes], place: int) -> None:
    with pipe:
        said[place] = pipe.read()


def _all_ended(threads: list[threading.Thread], within_s: float) -> bool:
    """Wait a while for threads; tell whether all have ended."""
    deadline = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


# In the loaded process.


def _load() -> None:
    gc.disable()  # what is loaded stays; to look through it again and again finds nothing
    for name in (*_PARTS, *_LATE):
        importlib.import_module(name)
    _make_the_application()
    context = click.Context(farhand)
    for name in farhand.list_commands(context):
        farhand.get_command(context, name)
    # What is thrown away now is not thrown away by each command, page by page.
    gc.collect()
    gc.freeze()
    gc.enable()


def _make_the_application() -> None:
    """Let every relay that is forked find its HTTP application made: it keeps only its relay."""
    made = farhand_server.app.build_app(cast(Any, None))

    def build_app(relay: Relay, _areas: Sequence[Area] = AREAS) -> Litestar:
        made.state.relay = relay
        return made

    vars(farhand_server.serve)["build_app"] = build_app


class _Commands:
    """What runs, from the side of the loaded process: a connection for each, to tell its status."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connections: dict[int, socket.socket] = {}
        # A byte in this pipe for each end of a command.
        self._ended, self._told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._told)

    def next(self) -> dict[str, Any] | None:
        """Fork for each request; returns in each command, and None when the tests are over."""
        awaited: list[Any] = [self._listener, self._ended, 0]
        while True:
            ready, _, _ = select.select(awaited, [], [])
            if self._ended in ready:
                self._tell_who_ended()
            if self._listener in ready:
                asked = self._fork()
                if asked is not None:
                    return asked
            elif 0 in ready:
                return None

    def _fork(self) -> dict[str, Any] | None:
        """Fork for one request; returns in the command what was asked, None in this process."""
        connection, _ = self._listener.accept()
        _, pipes, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile("rb") as words:
            asked: dict[str, Any] = json.loads(words.read())
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (self._listener, connection, *self._connections.values()):
                one.close()
            os.close(self._ended)
            os.close(self._told)
            for place, pipe in enumerate(pipes):
                os.dup2(pipe, place)
                os.close(pipe)
            return asked
        for pipe in pipes:
            os.close(pipe)
        self._connections[pid] = connection
        _say(connection, pid)
        return None

    def _tell_who_ended(self) -> None:
        """Say to whoever waits for it how each command that is over has ended."""
        os.read(self._ended, 4096)
        while self._connections:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._connections.pop(pid) as connection:
                _say(connection, os.waitstatus_to_exitcode(ended))


def _say(connection: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody waits for it any more
        connection.sendall(b"%d\n" % number)


def _end(status: object) -> NoReturn:
    """End as Python does, but for taking its modules apart.

    Those are the loaded process's too until they are written to, and writing to each of them is
    most of what a command would cost.
    """
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit((status or 0) & 0xFF)


def main() -> None:
    """Load, wait for commands, and be each of them."""
    _load()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(_BACKLOG)
        os.write(1, b"ready\n")
        asked = _Commands(listener).next()
    if asked is None:
        return
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [asked["program"], *asked["arguments"]]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    # What a folder of PYTHONPATH wants to do to each program, it wants to do to this one.
    if "sitecustomize" in sys.modules:
        importlib.reload(sys.modules["sitecustomize"])
    try:
        runpy.run_module(asked["program"], run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        _end(ending.code)
    _end(None)


if __name__ == "__main__":
    main()
