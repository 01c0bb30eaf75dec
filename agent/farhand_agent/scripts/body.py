"""Running one script body: private folder, process group of its own, limits, a deadline.

No shell sees the parameters: they are a JSON file whose path is in FARHAND_PARAMETERS.  The bytes
that are hashed are those that are run, by descriptor.  On Linux the body is told to die with its
runner; what escapes that is found by the mark in its environment.  Nothing is journalled here.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pwd
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from farhand_agent.processes import end_marked
from farhand_agent.scripts.capture import Capture
from farhand_agent.scripts.check import Plan
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_KEPT_BYTES", "Ending", "Workspace", "interpreters", "order_mark", "run_body"]

# Two of these, base64 twice (result, envelope), fit one link message of 1 MiB.
MAX_KEPT_BYTES: Final = 256 * 1024
GRACE_S: Final = 5.0
FIXED_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_ADDRESS_SPACE_BYTES: Final = 8 * 1024**3
_FILE_BYTES: Final = 2 * 1024**3
_FILES: Final = 1024
_PROCESSES: Final = 4096
_ORPHAN_WAIT_S: Final = 0.5
_POLL_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1


def interpreters() -> dict[str, list[str]]:
    """Return the interpreters of this device and how each is started."""
    found = {"python": [sys.executable, "-I"], "sh": ["/bin/sh"]}
    power = shutil.which("pwsh", path=FIXED_PATH)
    if power:
        found["powershell"] = [power, "-NoProfile", "-NonInteractive", "-File"]
    return found


def order_mark(order: str) -> str:
    """Return the environment entry by which a body and its children are known."""
    return f"FARHAND_ORDER={order}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a body ended: by itself (`exit_code`), by a signal (`signal`), or at its deadline."""

    exit_code: int | None
    signal: str | None
    timed_out: bool
    stdout: Capture
    stderr: Capture


class Workspace:
    """The private folder of one run, with script and parameters in it; a context manager.

    Raises:
        OSError: the disk is full or the folder cannot be used; nothing has run then.
        FarhandError: `script-changed` when what was written is not what was approved.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._parent = folder
        self._plan = plan
        self.path = folder
        self.descriptor = -1

    def __enter__(self) -> Workspace:
        plan = self._plan
        self.path = Path(tempfile.mkdtemp(dir=self._parent, prefix=f"{plan.order.id}."))
        try:
            self._write("parameters.json", msgspec.json.encode(plan.parameters, order="sorted"))
            self._write("script", plan.body)
            self.descriptor = os.open(self.path / "script", os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(os.dup(self.descriptor), "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            if digest != plan.manifest.sha256:
                raise FarhandError("script-changed", "the script changed on its way to the disk")
            os.lseek(self.descriptor, 0, os.SEEK_SET)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path / name, flags, 0o500)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _limits(timeout_s: int) -> Callable[[], None]:
    """Return what the child does between fork and exec."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    runner = os.getpid()

    def apply() -> None:
        for which, wanted in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, _ADDRESS_SPACE_BYTES),
            (resource.RLIMIT_FSIZE, _FILE_BYTES),
            (resource.RLIMIT_NOFILE, _FILES),
            (resource.RLIMIT_NPROC, _PROCESSES),
            (resource.RLIMIT_CPU, timeout_s + 60),
        ):
            _, hard = resource.getrlimit(which)
            limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(which, (limit, limit))
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != runner:
                os._exit(127)  # the runner died before the line above

    return apply


def run_body(plan: Plan, space: Workspace) -> Ending:
    """Run the script to its end or its deadline; nothing of it is left when this returns.

    Args:
        plan: the checked order.
        space: its open workspace.

    Returns:
        How it ended, with at most `MAX_KEPT_BYTES` of each stream.

    Raises:
        OSError: the interpreter cannot be started; nothing has run then.
    """
    manifest = plan.manifest
    limit = min(manifest.max_output_bytes, MAX_KEPT_BYTES)
    captures = Capture(limit), Capture(limit)
    user = pwd.getpwuid(os.getuid())
    process = subprocess.Popen(
        [*interpreters()[manifest.interpreter], f"/dev/fd/{space.descriptor}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(space.descriptor,),
        start_new_session=True,
        cwd=space.path,
        preexec_fn=_limits(manifest.timeout_s),  # safe: this process has one thread
        env={
            "PATH": FIXED_PATH,
            "LANG": "C.UTF-8",
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "TMPDIR": str(space.path),
            "FARHAND_PARAMETERS": str(space.path / "parameters.json"),
            "FARHAND_ORDER": plan.order.id,
            "FARHAND_PROBE_TO": ",".join(plan.probe_to),
        },
    )
    assert process.stdout is not None
    assert process.stderr is not None
    reader = _Reader({process.stdout: captures[0], process.stderr: captures[1]})
    timed_out = False
    try:
        if not reader.read(process, time.monotonic() + manifest.timeout_s):
            timed_out = True
            _signal_group(process, signal.SIGTERM)
            reader.read(process, time.monotonic() + GRACE_S)
    finally:
        # Its leader is not reaped yet, so the group's number cannot be anyone else's.
        _signal_group(process, signal.SIGKILL)
        end_marked(order_mark(plan.order.id))
        reader.close()
        status = process.wait()
    name = signal.Signals(-status).name if status < 0 else None
    return Ending(status if status >= 0 else None, name, timed_out, *captures)


class _Reader:
    """Reads both pipes into their captures until the body has ended."""

    def __init__(self, pipes: dict[IO[bytes], Capture]) -> None:
        self._pipes = pipes
        self._selector = selectors.DefaultSelector()
        for pipe, capture in pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, capture)

    def read(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Read until the body has ended; False when the deadline came first."""
        ended_at: float | None = None
        while True:
            now = time.monotonic()
            if ended_at is None and _has_ended(process):
                ended_at = now
            if ended_at is not None and (
                not self._selector.get_map() or now - ended_at > _ORPHAN_WAIT_S
            ):
                return True
            if now >= deadline:
                return ended_at is not None
            if not self._selector.get_map():
                time.sleep(_POLL_S / 5)
                continue
            for key, _ in self._selector.select(_POLL_S):
                self._take(key)

    def _take(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, 65_536)
        except BlockingIOError:
            return
        if data:
            key.data.add(data)
        else:
            self._selector.unregister(key.fileobj)

    def close(self) -> None:
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, flags) is not None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        # Gone already, or (macOS) only the unreaped leader is left.
        return
