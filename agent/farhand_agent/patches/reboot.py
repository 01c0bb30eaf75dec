"""Whether a Linux system waits for a restart, from what package managers leave behind.

Ubuntu writes /run/reboot-required; Debian normally never does, so its absence proves nothing.
needrestart knows where it is installed (it is asked, never installed: its package adds an apt
hook).  Last comes the newest kernel on disk against the running one.
"""

from __future__ import annotations

import platform
import re

from farhand_agent.patches.provider import Reboot
from farhand_agent.platforms.commands import Runner, installed
from farhand_agent.platforms.files import SystemFiles
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["linux_reboot", "newer_kernel", "parse_needrestart"]

_KERNEL_STATES = {"1": False, "2": True, "3": True}


def linux_reboot(run: Runner, files: SystemFiles, *, release: str | None = None) -> Reboot:
    """Return what the marker file, needrestart and the kernels on disk say.

    Args:
        run: starts needrestart.
        files: where the marker and the kernels lie.
        release: of the running kernel; asked from the system when None.
    """
    if files.path("/run/reboot-required").exists():
        names = (files.text("/run/reboot-required.pkgs") or "").split()
        at = files.modified_at("/run/reboot-required")
        return Reboot(
            required=True,
            reasons=tuple(dict.fromkeys(names)) or ("reboot-required",),
            since=format_instant(from_unix(int(at))) if at is not None else None,
        )
    if installed("needrestart"):
        try:
            found = parse_needrestart(run(["needrestart", "-b"], timeout_s=30).text)
        except FarhandError:
            found = None  # it is only one of several witnesses
        if found is not None:
            return found
    running = release or platform.release()
    kernels = files.names("/lib/modules") or files.names("/usr/lib/modules")
    if running not in kernels:
        return Reboot(required=None, reasons=())
    newer = newer_kernel(running, kernels)
    if newer is None:
        return Reboot(required=False)
    return Reboot(required=True, reasons=(f"kernel {newer} is installed, {running} is running",))


def parse_needrestart(text: str) -> Reboot | None:
    """Return what `needrestart -b` printed, None when it could not tell about the kernel.

    Source: needrestart's README.batch.md: NEEDRESTART-KSTA 1 current, 2 ABI compatible upgrade
    pending, 3 version upgrade pending, anything else unknown.
    """
    values = dict(
        line.removeprefix("NEEDRESTART-").split(": ", 1)
        for line in text.splitlines()
        if line.startswith("NEEDRESTART-") and ": " in line
    )
    required = _KERNEL_STATES.get(values.get("KSTA", "").strip())
    if required is None:
        return None
    if not required:
        return Reboot(required=False)
    expected = values.get("KEXP", "").strip()[:100]
    return Reboot(required=True, reasons=(f"kernel {expected} is installed and not running",))


def newer_kernel(running: str, kernels: list[str]) -> str | None:
    """Return the newest kernel release of the running one's flavour that is newer, or None."""
    flavour = _flavour(running)
    rivals = [name for name in kernels if _flavour(name) == flavour]
    newest = max([running, *rivals], key=_sort_key)
    return newest if _sort_key(newest) > _sort_key(running) else None


def _flavour(release: str) -> str:
    # 6.1.0-18-amd64 and 6.1.0-cloud-amd64 are different lines; 5.14.0-427.el9.x86_64 has none.
    return "-".join(part for part in release.split("-") if part[:1].isalpha())


def _sort_key(release: str) -> list[tuple[int, int, str]]:
    # Numbers compare as numbers and come after letters, so 6.1.0 is newer than 6.1.rc1.
    return [
        (1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part)
        for part in re.findall(r"[0-9]{1,9}|[A-Za-z]+", release)
    ]
