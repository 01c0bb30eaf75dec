"""A body on Linux and macOS: a session of its own, limits, no privileges it does not need.

Between fork and exec the child takes, in this order: resource limits, its leave of the network, the
account it runs under, no way to gain rights (where it is not root's), and on Linux the order to die
with its runner.  With systemd a scope counts memory and processes instead (`scope`).

At the end everything goes: the process group, the scope, all descendants (`offspring`), and what
carries the order's mark in its environment.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, Final

from farhand_agent.processes import end_marked
from farhand_agent.scripts import offspring
from farhand_agent.scripts.accounts import Account
from farhand_agent.scripts.check import Part
from farhand_agent.scripts.network import cut_network
from farhand_agent.scripts.scope import dropping, end_scope, has_scopes, in_scope
from farhand_protocol.manifest import Manifest

__all__ = ["PosixBody", "prepare_child"]

_MIB: Final = 1024 * 1024
_SPARE_CPU_S: Final = 60
_CPU_GRACE_S: Final = 5
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def _resource_limits(manifest: Manifest, *, counted: bool) -> dict[int, int]:
    limits = manifest.limits
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.file_mib * _MIB,
        resource.RLIMIT_NOFILE: limits.files,
        resource.RLIMIT_CPU: limits.cpu_s or manifest.timeout_s + _SPARE_CPU_S,
    }
    if not counted:
        wanted[resource.RLIMIT_AS] = limits.memory_mib * _MIB
        wanted[resource.RLIMIT_NPROC] = limits.processes
    return wanted


def prepare_child(
    manifest: Manifest, account: Account | None, *, counted: bool = False
) -> Callable[[], None]:
    """Return what the child does between fork and exec.

    Args:
        manifest: with the limits.
        account: to become; None to stay.
        counted: whether a scope limits memory and processes, and drops privileges.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    runner = os.getpid()
    wanted = _resource_limits(manifest, counted=counted)
    becomes = None if counted else account

    def prepare() -> None:
        os.umask(0o077)
        for which, number in wanted.items():
            _, hard = resource.getrlimit(which)
            limit = number if hard == resource.RLIM_INFINITY else min(number, hard)
            # Past the first second of CPU time too many a body gets SIGXCPU, past these SIGKILL.
            top = limit + _CPU_GRACE_S if which == resource.RLIMIT_CPU else limit
            top = top if hard == resource.RLIM_INFINITY else min(top, hard)
            resource.setrlimit(which, (limit, top))
        if not manifest.network:
            cut_network()
        if becomes is not None:
            os.setgroups(becomes.groups)
            os.setgid(becomes.gid)
            os.setuid(becomes.uid)
        if library is None:
            return
        if os.geteuid() != 0:
            library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != runner:
            os._exit(127)  # the runner died before the line above

    return prepare


class PosixBody:
    """One running body; a context manager that leaves nothing of it behind.

    Args:
        argv: interpreter and script.
        order: id of the order.
        part: which of the order's scripts this is.
        mark: the entry of its environment by which it is known.
        manifest: of the script.
        account: to run under; None for our own.
        descriptor: of the script, to be inherited.
        stdin: open file that it reads.
        folder: its current one.
        env: its whole environment.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be started; nothing has run then.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        order: str,
        part: Part,
        mark: str,
        manifest: Manifest,
        account: Account | None,
        descriptor: int,
        stdin: IO[bytes],
        folder: str,
        env: dict[str, str],
    ) -> None:
        self._order, self._mark = order, mark
        self._cleanup = ExitStack()
        self._spared = self._cleanup.enter_context(offspring.subreaper())
        counted = has_scopes()
        if counted:
            if account is not None:
                argv = dropping(argv, account)
            argv = in_scope(argv, order=order, part=part, manifest=manifest)
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(descriptor,),
                start_new_session=True,
                cwd=folder,
                # Safe: this process has one thread.
                preexec_fn=prepare_child(manifest, account, counted=counted),
                env=env,
            )
        except BaseException:
            self._cleanup.close()
            raise

    def has_ended(self) -> bool:
        """Tell whether the body itself has ended."""
        if sys.platform != "linux":
            return self.process.poll() is not None
        else:  # noqa: RET505 - mypy judges only branches by platform, not what follows them
            # Looked at without reaping, so that its number stays its own until `end`.
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.process.pid, flags) is not None

    def ask_to_end(self) -> None:
        """Send SIGTERM to the body's group."""
        self._signal_group(signal.SIGTERM)

    def end(self) -> int:
        """End everything that is left of the body; return its status, negative for a signal."""
        try:
            self._signal_group(signal.SIGKILL)
            end_scope(self._order)
            if sys.platform == "linux":
                offspring.end_descendants(self._spared, leader=self.process.pid)
            end_marked(self._mark)
        finally:
            self._cleanup.close()
        return self.process.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            # Gone already, or (macOS) only the unreaped leader is left.
            return
