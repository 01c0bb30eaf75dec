"""A whole Farhand on loopback for tests and the demo: one relay, agents, consoles, as processes.

Only the programs' own command lines are used, as a person would.  Everything lives in one folder
and ends with the stage; processes are ended by pid, newest first.  Needs nothing beyond the runtime
packages, so that `make demo` can use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from farhand_agent.inventory.catalogue import CATALOGUE
from tests.support.own_home import with_own_home
from tests.support.prepared import copy_prepared
from tests.support.warm import run_warm, start_warm

__all__ = [
    "AgentHome",
    "CommandFailed",
    "ConsoleHome",
    "Process",
    "Stage",
    "free_port",
    "leave_out_most",
]

# What an agent under test reports: what it reads from files. For `software` and `users` it starts
# other people's programs, at its own start and around each session.
_TOLD = frozenset({"cpu", "memory", "os", "system", "volumes"})
_READY_S = 60.0
# Well below the time that pytest gives a test, so that it is the command that is named.
_COMMAND_S = 90.0


def free_port() -> int:
    """Return a TCP port that was free on loopback a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def leave_out_most(home: Path, *, but: Collection[str] = ()) -> None:
    """Let an enrolled agent keep all of its inventory to itself but a few small sections.

    For `updates` alone the package manager works several seconds after each start, and the rest
    together is most of what an agent under test would cost.  Tests of the sections and the demo
    have them all; `but` names those that a test is about.
    """
    config = home / "config.toml"
    left_out = json.dumps(sorted(CATALOGUE.keys() - _TOLD - set(but)))
    text, count = re.subn(
        r"^inventory_leave_out = .*$",
        f"inventory_leave_out = {left_out}",
        config.read_text(),
        flags=re.MULTILINE,
    )
    assert count == 1, "an enrolled agent names what it leaves out"
    config.write_text(text)


class CommandFailed(AssertionError):
    """A command ended otherwise than expected; shows all it said."""

    def __init__(self, words: list[str], status: int, stdout: str, stderr: str) -> None:
        super().__init__(f"{' '.join(words)} -> {status}\nstdout: {stdout}\nstderr: {stderr}")
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def code(self) -> str:
        """Return the stable error code from the last `PROGRAM: error: CODE: words` line."""
        for line in reversed(self.stderr.splitlines()):
            parts = line.split(": ", 3)
            if len(parts) >= 3 and parts[1] == "error":
                return parts[2]
        return ""


def environment() -> dict[str, str]:
    """Return the environment for Farhand's programs: no home of the caller's, no warnings.

    Bytecode is kept whatever the caller's setting: without it a start takes twice as long and an
    agent weighs 4 MiB more, which is how no installed one is.
    """
    left_out = "PYTHONDONTWRITEBYTECODE"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FARHAND_") and k != left_out}
    return kept | {"PYTHONUNBUFFERED": "1", "FARHAND_PASSPHRASE": "", "FARHAND_LANG": "en"}


def program(module: str) -> list[str]:
    """Return how a program is started from this interpreter."""
    return [sys.executable, "-m", module]


class Process:
    """One long-running program; its lines are read by threads and kept (at most 10,000)."""

    def __init__(self, words: list[str], *, env: dict[str, str], stdin: bool = False) -> None:
        self.words = words
        self.stdout_lines: list[str] = []
        self.stderr_lines: list[str] = []
        self._fresh: queue.Queue[tuple[str, str]] = queue.Queue()
        self.popen = start_warm(words, env=env, stdin=stdin) or subprocess.Popen(
            words,
            env=env,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self._threads = [
            threading.Thread(
                target=self._read, args=(self.popen.stdout, self.stdout_lines, "stdout")
            ),
            threading.Thread(
                target=self._read, args=(self.popen.stderr, self.stderr_lines, "stderr")
            ),
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def _read(self, stream: IO[str], lines: list[str], name: str) -> None:
        # Closed here: what the program started may hold the other end for longer than it lived.
        with stream:
            for line in stream:
                if len(lines) < 10_000:
                    lines.append(line.rstrip("\n"))
                self._fresh.put((name, line.rstrip("\n")))
        self._fresh.put((name, ""))

    def wait_line(self, start: str, *, stream: str = "stderr", timeout_s: float = _READY_S) -> str:
        """Wait for a line that starts so, from what was not waited through before."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                name, line = self._fresh.get(timeout=min(left, 0.5))
            except queue.Empty:
                if self.popen.poll() is not None:
                    break
                continue
            if name == stream and line.startswith(start):
                return line
        raise self.failed(f"no line {start!r}")

    def next_json(self, *, timeout_s: float = _READY_S) -> dict[str, Any]:
        """Return the next JSON object from stdout."""
        answer: dict[str, Any] = json.loads(
            self.wait_line("{", stream="stdout", timeout_s=timeout_s)
        )
        return answer

    def failed(self, why: str) -> CommandFailed:
        """Return an error that shows everything the program said."""
        status = self.popen.poll()
        return CommandFailed(
            [*self.words, f"({why})"],
            -999 if status is None else status,
            "\n".join(self.stdout_lines[-50:]),
            "\n".join(self.stderr_lines[-50:]),
        )

    def end(self, sign: int = signal.SIGTERM, *, timeout_s: float = 20.0) -> int:
        """Signal the program, wait for it, and return its status; kill it if it stays."""
        if self.popen.poll() is None:
            self.popen.send_signal(sign)
        try:
            status = self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            status = self.popen.wait()
        for thread in self._threads:
            thread.join(5)
        if self.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()
        return status


def run_command(
    words: list[str],
    *,
    env: dict[str, str],
    expect: int = 0,
    stdin: bytes | None = None,
    timeout_s: float = _COMMAND_S,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end and demand its exit status."""
    told = stdin or b""
    done = run_warm(words, env=env, stdin=told, timeout_s=timeout_s) or subprocess.run(
        words, env=env, input=told, capture_output=True, timeout=timeout_s, check=False
    )
    if done.returncode != expect:
        raise CommandFailed(
            words,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
    return done


class ConsoleHome:
    """One console home and its `farhand` command."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.home = stage.folder / f"console-{name}"

    def words(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return [*program("farhand_console"), "--home", str(self.home), *arguments]

    def run(
        self, *arguments: str, expect: int = 0, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `farhand ...` to its end."""
        return run_command(self.words(*arguments), env=self.stage.env, expect=expect, stdin=stdin)

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run `farhand --json ...` and return its object."""
        answer: dict[str, Any] = json.loads(self.run("--json", *arguments).stdout)
        return answer

    def refused(self, *arguments: str, expect: int = 1) -> str:
        """Run a command that must fail with this status, without a traceback; return its code."""
        done = self.run("--json", *arguments, expect=expect)
        error = CommandFailed(list(arguments), expect, "", done.stderr.decode(errors="replace"))
        assert "Traceback" not in error.stderr, error.stderr
        return error.code

    def start(self, *arguments: str) -> Process:
        """Start a `farhand --json ...` that is expected to wait for something."""
        return self.stage.start(self.words("--json", *arguments))

    def login(self, token: str) -> dict[str, Any]:
        """Sign in with a one-use token."""
        return self.json("login", self.stage.url, "--token", token)


class AgentHome:
    """One agent home: its command and, once started, its resident process."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.home = stage.folder / f"agent-{name}"
        self.device = ""
        self.process: Process | None = None

    def words(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return [*program("farhand_agent"), *arguments, "--home", str(self.home)]

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run `farhand-agent ...` to its end."""
        return run_command(self.words(*arguments), env=self.stage.env, expect=expect)

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run `farhand-agent ... --json` and return its object."""
        answer: dict[str, Any] = json.loads(self.run(*arguments, "--json").stdout)
        return answer

    def refused(self, *arguments: str, expect: int = 1) -> str:
        """Run a command that must fail with this status, without a traceback; return its code."""
        done = self.run(*arguments, expect=expect)
        error = CommandFailed(list(arguments), expect, "", done.stderr.decode(errors="replace"))
        assert "Traceback" not in error.stderr, error.stderr
        return error.code

    def enrol(self, token: str) -> dict[str, Any]:
        """Enrol with a token."""
        answer = self.json("enrol", token, "--name", self.name)
        self.device = str(answer["device"])
        if not self.stage.whole_inventory:
            leave_out_most(self.home)
        return answer

    def start(self, *, env: dict[str, str] | None = None) -> Process:
        """Start the resident agent and wait until it is ready."""
        env = with_own_home(env or self.stage.env)
        self.process = self.stage.start(self.words("run"), env=env)
        self.process.wait_line("farhand-agent: ready")
        return self.process

    def code(self, *arguments: str) -> Process:
        """Start `farhand-agent code --json ...`; its first JSON line holds the code."""
        return self.stage.start(self.words("code", "--json", *arguments))


class Stage:
    """The folder, the relay and everything that was started; a context manager."""

    def __init__(
        self,
        *,
        database: str | None = None,
        bus: str | None = None,
        whole_inventory: bool = False,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="farhand-"))
        self.whole_inventory = whole_inventory
        self.database = database
        self.bus = bus
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = environment()
        self.processes: list[Process] = []
        self.relay: Process | None = None
        self.signin_token = ""

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, newest first, and remove the folder."""
        for process in reversed(self.processes):
            process.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, words: list[str], *, env: dict[str, str] | None = None) -> Process:
        """Start a program that this stage will end."""
        process = Process(words, env=env or self.env)
        self.processes.append(process)
        return process

    @property
    def relay_home(self) -> Path:
        """Return the relay's home."""
        return self.folder / "relay"

    def server(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run `farhand-server ...` to its end."""
        words = [*program("farhand_server"), *arguments, "--home", str(self.relay_home)]
        return run_command(words, env=self.env, expect=expect)

    def init_relay(
        self, organisation: str = "Example Support", *, url: str | None = None
    ) -> dict[str, Any]:
        """Run `farhand-server init` and keep the first admin's sign-in token.

        With an https `url` the relay makes itself a certificate, which the tokens then pin.
        """
        listen = f"127.0.0.1:{self.port}"
        options = ["--url", url] if url else []
        done = self.server("init", "--org", organisation, "--listen", listen, *options, "--json")
        answer: dict[str, Any] = json.loads(done.stdout)
        self.signin_token = str(answer["signin_token"])
        return answer

    @property
    def relay_options(self) -> list[str]:
        """Return the store and the bus as options of `farhand-server run`."""
        return [
            *(["--database", self.database] if self.database else []),
            *(["--bus", self.bus] if self.bus else []),
        ]

    def start_relay(self, *options: str) -> Process:
        """Start the relay and wait until it answers."""
        words = [*program("farhand_server"), "run", "--home", str(self.relay_home)]
        self.relay = self.start([*words, *self.relay_options, *options])
        self.relay.wait_line("farhand-server: ready")
        return self.relay

    def start_node(self, name: str) -> tuple[Process, str]:
        """Start one more node of the same relay, on a copy of its home and a port of its own.

        Returns: the process, and the node's own address.
        """
        home = self.folder / f"relay-{name}"
        if not home.exists():
            shutil.copytree(self.relay_home, home)
        listen = f"127.0.0.1:{free_port()}"
        words = [*program("farhand_server"), "run", "--home", str(home), "--listen", listen]
        node = self.start([*words, "--node-url", f"http://{listen}", *self.relay_options])
        node.wait_line("farhand-server: ready")
        return node, f"http://{listen}"

    def console(self, name: str) -> ConsoleHome:
        """Return a console home; nothing is created yet."""
        return ConsoleHome(self, name)

    def agent(self, name: str) -> AgentHome:
        """Return an agent home; nothing is created yet."""
        return AgentHome(self, name)

    def first_admin(self, *, library: bool = True) -> ConsoleHome:
        """Sign the first admin in and make the trust root."""
        admin = self.console("admin")
        admin.login(self.signin_token)
        admin.json("trust", "init", *(["--with-library"] if library else []))
        return admin

    def settle(self, *, library: bool = True, url: str | None = None) -> list[ConsoleHome]:
        """Give the stage a relay that does not run yet, its first admin, and the technician tess.

        They are copies of what was made once (prepared.py).
        """
        name = "library" if library else "plain"
        listen = f"127.0.0.1:{self.port}"
        copied = copy_prepared(
            name,
            lambda folder: _make_homes(folder, library=library),
            relay=self.relay_home,
            consoles=self.folder,
            url=url or self.url,
            listen=listen,
        )
        assert copied, "prepared homes are for tests"
        return [self.console("admin"), self.console("tess")]

    def technician(self, admin: ConsoleHome, name: str, *options: str) -> ConsoleHome:
        """Add an account, sign it in, and put its key on the roster."""
        added = admin.json("account", "add", name, "--role", "technician")
        console = self.console(name)
        console.login(added["signin_token"])
        shown = console.json("key", "show")
        key = self.folder / f"{name}.pub"
        key.write_text(shown["key"] + "\n")
        admin.json("operator", "add", name, "--key", str(key), *options)
        return console


def _make_homes(folder: Path, *, library: bool) -> str:
    """Make the homes of a relay, its admin and the technician tess in a folder."""
    with Stage() as stage:
        stage.init_relay()
        relay = stage.start_relay()
        stage.technician(stage.first_admin(library=library), "tess")
        relay.end()
        for name in ("relay", "console-admin", "console-tess"):
            shutil.copytree(stage.folder / name, folder / name)
        shutil.copy(stage.folder / "tess.pub", folder)
        return f"127.0.0.1:{stage.port}"
