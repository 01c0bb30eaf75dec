"""External commands: the one place where the agent's short-lived processes start another program.

Every command gets a fixed PATH, the C locale, closed stdin, no inherited descriptors, a session of
its own, a time limit and an output limit, and its whole process group is gone when `run` returns.
There is no shell and no configuration from the environment.  Not for sessions (they have their own
process and a pty) and not for the resident agent's event loop: this blocks.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final, Literal, Protocol

from farhand_protocol.errors import FarhandError

__all__ = [
    "FIXED_PATH",
    "MAX_OUTPUT_BYTES",
    "CommandDenied",
    "CommandMissing",
    "CommandOverflow",
    "CommandTimeout",
    "Outcome",
    "Runner",
    "installed",
    "run",
]

FIXED_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
# The peers' figure: a device with 3,000 packages prints less than 1 MiB (reference, rule 4).
MAX_OUTPUT_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
# A daemon left behind by the command may hold its pipes open; nobody waits longer for it.
_ORPHAN_WAIT_S: Final = 0.3


class CommandMissing(FarhandError):
    """The program is not installed in the fixed PATH."""

    def __init__(self, program: str) -> None:
        super().__init__("command-missing", f"{program} is not installed")


class CommandDenied(FarhandError):
    """The program is there and may not be started by this user."""

    def __init__(self, program: str) -> None:
        super().__init__("command-denied", f"{program} may not be run by this user")


class CommandTimeout(FarhandError):
    """The program was still running at its deadline and was ended."""

    def __init__(self, program: str, timeout_s: float) -> None:
        super().__init__("command-timeout", f"{program} did not finish in {timeout_s:g} s")


class CommandOverflow(FarhandError):
    """The program printed more than its limit and was ended."""

    def __init__(self, program: str, max_bytes: int) -> None:
        super().__init__("command-overflow", f"{program} printed more than {max_bytes} bytes")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit code (negative for a signal) and what it printed."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Standard error as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stderr.decode("utf-8", "replace")


class Runner(Protocol):
    """What `run` looks like to those who take it as an argument."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 10.0,
        max_bytes: int = MAX_OUTPUT_BYTES,
        env: Mapping[str, str] | None = None,
        overflow: Literal["fail", "tail"] = "fail",
        grace_s: float = 0.0,
    ) -> Outcome:
        """Run one command."""


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 10.0,
    max_bytes: int = MAX_OUTPUT_BYTES,
    env: Mapping[str, str] | None = None,
    overflow: Literal["fail", "tail"] = "fail",
    grace_s: float = 0.0,
) -> Outcome:
    """Run a program to its end and return what it printed.

    Args:
        argv: the program's name or absolute path, and its arguments.
        timeout_s: seconds until its process group is ended.
        max_bytes: of stdout and stderr each.
        env: variables on top of the fixed ones.
        overflow: "fail" ends a program that prints more; "tail" keeps the last `max_bytes`.
        grace_s: seconds between SIGTERM and SIGKILL at the deadline; 0 kills at once.

    Raises:
        CommandMissing, CommandDenied, CommandTimeout, CommandOverflow: as they say.
    """
    program = argv[0]
    path = shutil.which(program, path=FIXED_PATH)
    if path is None:
        raise CommandMissing(program)
    try:
        process = subprocess.Popen(
            [path, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            close_fds=True,
            start_new_session=True,
            cwd=os.sep,
            env=_environment(env),
        )
    except FileNotFoundError as error:
        raise CommandMissing(program) from error
    except OSError as error:
        raise CommandDenied(program) from error
    assert process.stdout is not None
    assert process.stderr is not None
    reader = _Reader(process.stdout, process.stderr, max_bytes, overflow)
    deadline = time.monotonic() + timeout_s
    try:
        if not reader.read_until(deadline, process):
            if grace_s:
                _signal_group(process, signal.SIGTERM)
                reader.read_until(time.monotonic() + grace_s, process)
            raise CommandTimeout(program, timeout_s)
    except _Overflow as error:
        raise CommandOverflow(program, max_bytes) from error
    finally:
        # The leader has not been reaped yet, so its group id cannot belong to anyone else.
        _signal_group(process, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        process.stdout.close()
        process.stderr.close()
        process.wait()
    return Outcome(process.returncode, reader.stdout, reader.stderr)


def installed(program: str) -> bool:
    """Return whether a program is in the fixed PATH."""
    return shutil.which(program, path=FIXED_PATH) is not None


class _Overflow(Exception):
    """More output than allowed."""


class _Reader:
    """Reads both pipes of one process with a bound on each."""

    def __init__(
        self,
        stdout: IO[bytes],
        stderr: IO[bytes],
        max_bytes: int,
        overflow: Literal["fail", "tail"],
    ) -> None:
        self._buffers = {stdout.fileno(): bytearray(), stderr.fileno(): bytearray()}
        self._out, self._err = self._buffers.values()
        self._max_bytes = max_bytes
        self._overflow = overflow
        self._selector = selectors.DefaultSelector()
        for descriptor in self._buffers:
            self._selector.register(descriptor, selectors.EVENT_READ)

    @property
    def stdout(self) -> bytes:
        return bytes(self._out)

    @property
    def stderr(self) -> bytes:
        return bytes(self._err)

    def read_until(self, deadline: float, process: subprocess.Popen[bytes]) -> bool:
        """Read until both pipes end or the process does; False when the deadline came first."""
        exited_at: float | None = None
        while self._selector.get_map() or not _has_exited(process):
            now = time.monotonic()
            if now >= deadline:
                return False
            if exited_at is None and _has_exited(process):
                exited_at = now
            if exited_at is not None and now - exited_at > _ORPHAN_WAIT_S:
                return True
            # Without pipes left there is nothing to wake up for; look for the exit often.
            pause = 0.05 if self._selector.get_map() else 0.005
            for key, _ in self._selector.select(min(pause, deadline - now)):
                self._read(key.fd)
        self._selector.close()
        return True

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, _CHUNK_BYTES)
        if not data:
            self._selector.unregister(descriptor)
            return
        buffer = self._buffers[descriptor]
        buffer += data
        if len(buffer) > self._max_bytes:
            if self._overflow == "fail":
                raise _Overflow
            del buffer[: len(buffer) - self._max_bytes]


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    # Look without reaping: the process id stays ours until `run` has ended the whole group.
    if sys.platform != "linux":
        return process.poll() is not None
    else:  # noqa: RET505 - mypy judges only branches by platform, not what follows them
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return process.returncode is not None or os.waitid(os.P_PID, process.pid, flags) is not None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        if sys.platform == "win32":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # everyone in the group has ended by itself
    except PermissionError:
        return  # macOS answers so for a group of which only the unreaped leader is left


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    fixed = {"PATH": FIXED_PATH, "LC_ALL": "C", "LANG": "C", "LANGUAGE": "C", "HOME": os.sep}
    if sys.platform == "win32" and "SYSTEMROOT" in os.environ:
        fixed["SYSTEMROOT"] = os.environ["SYSTEMROOT"]  # nothing starts on Windows without it
    return fixed | dict(extra or {})
