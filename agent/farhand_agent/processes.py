"""Which process is which: a process id with its start time cannot be mistaken for a later one.

Also how a process of one of the agent's own modules is started, and whose this one is.

Start times are read from /proc where there is one, and from `ps` elsewhere; psutil would do the
same and cost the resident agent memory that it does not need otherwise.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["command", "end_marked", "is_process", "own_user", "signal_process", "started_at"]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of the agent's modules; -P keeps the folder we are in out
    of the import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def own_user() -> str:
    """Return the name of the account that this process runs as, or its number without a name."""
    if os.name != "posix":
        import getpass  # late, for the resident agent has no use for it

        return getpass.getuser()
    import pwd  # Windows has none, nor has the resident agent a use for it

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def started_at(pid: int) -> float:
    """Return a number that tells this process from a later one of the same id.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError as error:
        if Path("/proc/self/stat").exists():
            raise ProcessLookupError(pid) from error
        return _started_at_by_ps(pid)
    # proc(5): the name in brackets may hold anything; field 22 is counted from behind it.
    fields = stat.rpartition(b")")[2].split()
    if fields[0] in (b"Z", b"X"):
        raise ProcessLookupError(pid)  # dead, and not yet reaped by whoever inherited it
    return float(fields[19])


def _started_at_by_ps(pid: int) -> float:
    done = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False, timeout=10
    )
    text = done.stdout.strip()
    if not text:
        raise ProcessLookupError(pid)
    return float(int.from_bytes(text[-24:], "big") % (1 << 48))


def is_process(pid: int, started: float) -> bool:
    """Tell whether that very process still runs."""
    try:
        return started_at(pid) == started
    except (ProcessLookupError, OSError):
        return False


def signal_process(pid: int, started: float, number: signal.Signals) -> bool:
    """Send a signal to that very process; False when it is gone."""
    if not is_process(pid, started):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end_marked(mark: str) -> int:
    """Kill every process of this user whose environment holds the string `mark`.

    Used for what a script body left behind when its runner was killed: a body can leave its
    process group, but its environment goes with it.  Returns how many were killed.
    """
    wanted, ended = mark.encode(), 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
    return ended
