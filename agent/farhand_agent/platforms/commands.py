"""External commands: the one place where the agent's short-lived processes start another program.

Every command gets a fixed PATH, the C locale, closed stdin, no inherited descriptors, a session of
its own, a time limit and an output limit, and its whole process group is gone when `run` returns.
There is no shell and no configuration from the environment.  Not for sessions (they have their own
process and a pty) and not for the resident agent's event loop: this blocks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from farhand_agent.platforms.outputs import Outputs, PolledOutputs, ThreadedOutputs, TooMuch
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

_WINDOWS: Final = os.environ.get("SYSTEMROOT", r"C:\Windows") if sys.platform == "win32" else ""
FIXED_PATH: Final = (
    "/usr/sbin:/usr/bin:/sbin:/bin"
    if sys.platform != "win32"
    else rf"{_WINDOWS}\System32;{_WINDOWS};{_WINDOWS}\System32\Wbem"
)
# The peers' figure: a device with 3,000 packages prints less than 1 MiB (reference, rule 4).
MAX_OUTPUT_BYTES: Final = 8 * 1024 * 1024
# A daemon left behind by the command may hold its pipes open; nobody waits longer for it.
_ORPHAN_WAIT_S: Final = 0.3
# Pipes can be waited for together everywhere but on Windows.
_OUTPUTS: Final[type[Outputs]] = PolledOutputs if sys.platform != "win32" else ThreadedOutputs


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
    outputs = _OUTPUTS(process.stdout, process.stderr, max_bytes, keep_tail=overflow == "tail")
    deadline = time.monotonic() + timeout_s
    try:
        if not _read_until(deadline, outputs, process):
            if grace_s:
                _end_group(process, gently=True)
                _read_until(time.monotonic() + grace_s, outputs, process)
            raise CommandTimeout(program, timeout_s)
    except TooMuch as error:
        raise CommandOverflow(program, max_bytes) from error
    finally:
        # The leader has not been reaped yet, so its group id cannot belong to anyone else.
        _end_group(process)
        outputs.close()
        process.wait()
    return Outcome(process.returncode, outputs.stdout, outputs.stderr)


def installed(program: str) -> bool:
    """Return whether a program is in the fixed PATH."""
    return shutil.which(program, path=FIXED_PATH) is not None


def _read_until(deadline: float, outputs: Outputs, process: subprocess.Popen[bytes]) -> bool:
    """Read until both pipes end or the process does; False when the deadline came first.

    Raises:
        TooMuch: as `Outputs.read`.
    """
    exited_at: float | None = None
    while not outputs.ended or not _has_exited(process):
        now = time.monotonic()
        if now >= deadline:
            return False
        if exited_at is None and _has_exited(process):
            exited_at = now
        if exited_at is not None and now - exited_at > _ORPHAN_WAIT_S:
            return True
        # Without pipes left there is nothing to wake up for; look for the exit often.
        pause = 0.005 if outputs.ended else 0.05
        outputs.read(min(pause, deadline - now))
    return True


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    # Look without reaping: the process id stays ours until `run` has ended the whole group.
    if sys.platform != "linux":
        return process.poll() is not None
    else:  # noqa: RET505 - mypy judges only branches by platform, not what follows them
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return process.returncode is not None or os.waitid(os.P_PID, process.pid, flags) is not None


def _end_group(process: subprocess.Popen[bytes], *, gently: bool = False) -> None:
    try:
        if sys.platform == "win32":
            process.terminate()  # there is no gentle way there, nor groups
        else:
            os.killpg(process.pid, signal.SIGTERM if gently else signal.SIGKILL)
    except ProcessLookupError:
        return  # everyone in the group has ended by itself
    except PermissionError:
        return  # macOS answers so for a group of which only the unreaped leader is left


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    fixed = {"PATH": FIXED_PATH, "LC_ALL": "C", "LANG": "C", "LANGUAGE": "C", "HOME": os.sep}
    if sys.platform == "win32":
        fixed["SYSTEMROOT"] = _WINDOWS  # nothing starts on Windows without it
    return fixed | dict(extra or {})
