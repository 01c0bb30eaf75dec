"""Running one script body: private folder, process group of its own, limits, a deadline.

No shell sees the parameters: they are one JSON document on standard input, and in the file whose
path is in FARHAND_PARAMETERS.  The bytes that are hashed are those that are run, by descriptor.
How a body is confined and ended is the platform's matter (`posix_body`, `windows_body`); deadline,
output and environment are the same everywhere.  Nothing is journalled here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from farhand_agent.scripts.accounts import Account, own_account
from farhand_agent.scripts.capture import Capture
from farhand_agent.scripts.check import Plan
from farhand_agent.scripts.reader import PolledReader, Reader, ThreadedReader
from farhand_agent.scripts.workspace import Workspace
from farhand_protocol.errors import FarhandError

if sys.platform == "win32":
    from farhand_agent.scripts.windows_body import WindowsBody
else:
    from farhand_agent.scripts.posix_body import PosixBody

__all__ = ["MAX_KEPT_BYTES", "Ending", "interpreters", "order_mark", "run_body"]

# Two of these, base64 twice (result, envelope), fit one link message of 1 MiB.
MAX_KEPT_BYTES: Final = 256 * 1024
_WINDOWS: Final = os.environ.get("SYSTEMROOT", r"C:\Windows") if sys.platform == "win32" else ""
FIXED_PATH: Final = (
    "/usr/sbin:/usr/bin:/sbin:/bin"
    if sys.platform != "win32"
    else rf"{_WINDOWS}\System32;{_WINDOWS};{_WINDOWS}\System32\WindowsPowerShell\v1.0"
)


def interpreters() -> dict[str, list[str]]:
    """Return the interpreters of this device and how each is started."""
    found = {"python": [sys.executable, "-I"]}
    if sys.platform != "win32":
        found["sh"] = ["/bin/sh"]
    power = shutil.which("powershell", path=FIXED_PATH) or shutil.which("pwsh", path=FIXED_PATH)
    if power:
        # The manifest's approvals stand in the place of Authenticode.
        policy = ["-ExecutionPolicy", "Bypass"] if sys.platform == "win32" else []
        found["powershell"] = [power, "-NoProfile", "-NonInteractive", *policy, "-File"]
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


def run_body(plan: Plan, space: Workspace, account: Account | None = None) -> Ending:
    """Run the script to its end or its deadline; nothing of it is left when this returns.

    Args:
        plan: the checked order.
        space: its open workspace.
        account: that it runs under; None for the agent's own.

    Returns:
        How it ended, with at most `MAX_KEPT_BYTES` of each stream.

    Raises:
        FarhandError: `script-vanished` when its files were taken away, `script-not-started` when
            the system does not start it; nothing has run then.
    """
    manifest = plan.manifest
    limit = min(manifest.max_output_bytes, MAX_KEPT_BYTES)
    captures = Capture(limit), Capture(limit)
    if not space.is_whole():
        raise FarhandError(
            "script-vanished",
            "something on the device removed the script before it could run",
            hint="look at what the antivirus put into quarantine",
        )
    try:
        body = _start(plan, space, account)
    except (OSError, subprocess.SubprocessError) as error:
        raise FarhandError("script-not-started", f"it cannot be started: {error}") from error
    process = body.process
    assert process.stdout is not None
    assert process.stderr is not None
    pipes = {process.stdout: captures[0], process.stderr: captures[1]}
    reader: Reader = ThreadedReader(pipes) if sys.platform == "win32" else PolledReader(pipes)
    timed_out = False
    try:
        if not reader.read(body.has_ended, time.monotonic() + manifest.timeout_s):
            timed_out = True
            body.ask_to_end()
            reader.read(body.has_ended, time.monotonic() + manifest.grace_s)
    finally:
        status = body.end()
        reader.close()
    name = signal.Signals(-status).name if status < 0 else None
    return Ending(status if status >= 0 else None, name, timed_out, *captures)


if sys.platform == "win32":

    def _start(plan: Plan, space: Workspace, account: Account | None) -> WindowsBody:
        assert account is None  # there is none to become (accounts)
        argv = [*interpreters()[plan.manifest.interpreter], str(space.script)]
        with space.parameters.open("rb") as stdin:
            return WindowsBody(
                argv,
                manifest=plan.manifest,
                stdin=stdin,
                folder=str(space.work),
                env=_environment(plan, space, None) | {"SYSTEMROOT": _WINDOWS},
            )

else:

    def _start(plan: Plan, space: Workspace, account: Account | None) -> PosixBody:
        argv = [*interpreters()[plan.manifest.interpreter], f"/dev/fd/{space.descriptor}"]
        with space.parameters.open("rb") as stdin:
            return PosixBody(
                argv,
                order=plan.order.id,
                part=plan.part,
                mark=order_mark(plan.order.id),
                manifest=plan.manifest,
                account=account,
                descriptor=space.descriptor,
                stdin=stdin,
                folder=str(space.work),
                env=_environment(plan, space, account),
            )


def _environment(plan: Plan, space: Workspace, account: Account | None) -> dict[str, str]:
    name, home = (account.name, account.home) if account else own_account()
    return {
        "PATH": FIXED_PATH,
        "LANG": "C.UTF-8",
        "HOME": home,
        "USER": name,
        "TMPDIR": str(space.work),
        "FARHAND_PARAMETERS": str(space.parameters),
        "FARHAND_ORDER": plan.order.id,
        "FARHAND_PROBE_TO": ",".join(plan.probe_to),
    }
