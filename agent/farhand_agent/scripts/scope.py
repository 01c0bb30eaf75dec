"""A cgroup for a body, made by systemd: the command line around the interpreter.

A scope, not a service: systemd-run stays the body's ancestor in name only, it becomes the body.  So
the descriptor that was hashed, the pipes, the session and the end with the runner stay as they are
without systemd, and a scope's cgroup adds limits that count the body alone, and an end that nothing
escapes.  Privileges are dropped behind it, by setpriv(1), because making a scope needs them.  The
deadline is the runner's alone: scopes have none before systemd 244.

Sources: systemd-run(1), systemd.resource-control(5), systemd.scope(5), setpriv(1), systemctl(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from farhand_agent.notices import say
from farhand_agent.scripts.accounts import Account
from farhand_agent.scripts.check import PARTS, Part
from farhand_protocol.manifest import Manifest

__all__ = ["dropping", "end_scope", "has_scopes", "in_scope", "scope_name"]

_TOOLS: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEMCTL_S: Final = 20


def has_scopes() -> bool:
    """Tell whether systemd is process 1 and we may ask it for a scope."""
    return (
        sys.platform == "linux"
        and os.geteuid() == 0
        and Path("/run/systemd/system").is_dir()
        and all(shutil.which(one, path=_TOOLS) for one in ("systemd-run", "systemctl", "setpriv"))
    )


def scope_name(order: str, part: Part) -> str:
    """Return the unit of one of an order's scripts; a unit that ended may linger under its name."""
    return f"farhand-{order}-{part}.scope"


def in_scope(argv: Sequence[str], *, order: str, part: Part, manifest: Manifest) -> list[str]:
    """Return the command that runs `argv` in a scope with the manifest's limits.

    Args:
        argv: the interpreter and the script, or what drops privileges before it.
        order: id of the order.
        part: which of its scripts this is.
        manifest: of the script.
    """
    limits = manifest.limits
    properties = {
        "MemoryMax": f"{limits.memory_mib}M",
        "MemorySwapMax": "0",
        "TasksMax": str(limits.processes),
        "KillMode": "control-group",
    }
    return [
        "systemd-run",
        "--scope",
        "--quiet",
        "--collect",
        "--no-ask-password",
        f"--unit={scope_name(order, part)}",
        *(f"--property={name}={value}" for name, value in properties.items()),
        "--",
        *argv,
    ]


def dropping(argv: Sequence[str], account: Account) -> list[str]:
    """Return the command that runs `argv` as another account, and dies with its runner."""
    return [
        "setpriv",
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--init-groups",
        "--no-new-privs",
        "--pdeathsig=KILL",
        "--",
        *argv,
    ]


def end_scope(order: str) -> None:
    """Kill everything in the scopes of an order, as far as there are any and systemd answers."""
    if not has_scopes():
        return
    units = [scope_name(order, part) for part in PARTS]
    try:
        subprocess.run(
            ["systemctl", "kill", "--signal=SIGKILL", *units],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # that there is no such scope is how it should be
            env={"PATH": _TOOLS},
            timeout=_SYSTEMCTL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        # The caller kills by process group, descent and mark besides; an order that ran has to be
        # closed, however busy systemd is.
        say(f"systemd did not end the scopes of {order}: {error}")
