"""Whose desktop is on the screen, and how a program of that person's finds it.

    the agent runs on that desktop itself       its own environment names it (`farhand-agent code`)
    the agent is a service, and root            the one at the machine: loginctl says who is active;
                                                without it, the only person who has a desktop
    otherwise                                   another program of the same user, that has one

The variables are read from programs of that very person, which belong to her; nobody else's say
counts for hers.  A service does not take root's: a program that was started with `sudo` carries the
variables of whoever started it; so it does only where root is known to sit at the machine.  Windows
and macOS show the desktop to whatever runs in its session.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farhand_protocol.errors import FarhandError

__all__ = ["Program", "Seat", "choose_seat", "find_seat"]

_NAMES: Final = (
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "XDG_SESSION_TYPE",
    "XDG_RUNTIME_DIR",
    "LANG",
    "LC_ALL",
)
_DESKTOPS: Final = ("DISPLAY", "WAYLAND_DISPLAY")
_MAX_ENVIRON_BYTES: Final = 256 * 1024
_LOGINCTL_S: Final = 5
_ROOT: Final = 0


@dataclass(frozen=True)
class Seat:
    """A desktop: how a program finds it, and whose it is.

    `uid` is None where a program needs to be nobody else than we are.
    """

    environment: Mapping[str, str]
    uid: int | None = None


@dataclass(frozen=True)
class Program:
    """One running program, as far as it matters here."""

    uid: int
    environment: Mapping[str, str] = field(default_factory=dict)


def choose_seat(
    own: Mapping[str, str], uid: int, programs: Iterable[Program], *, active: int | None
) -> Seat:
    """Return the desktop to be shown.

    Args:
        own: this process's environment.
        uid: this process's user; 0 may look at everybody's.
        programs: what runs here.
        active: who sits at the machine, where that is known.

    Raises:
        FarhandError: `screen-unavailable` where nobody has a desktop, or several have one and
            nothing tells them apart.
    """
    if any(own.get(name) for name in _DESKTOPS):
        return Seat({name: own[name] for name in _NAMES if own.get(name)})
    found: dict[int, Mapping[str, str]] = {}
    for program in programs:
        is_visible = program.uid == uid or uid == _ROOT
        if uid == _ROOT and program.uid == _ROOT and active != _ROOT:
            continue  # named by whoever ran sudo, and read with root's rights
        if is_visible and any(program.environment.get(name) for name in _DESKTOPS):
            found.setdefault(program.uid, program.environment)
    if active is not None and active in found:
        found = {active: found[active]}
    if len(found) != 1:
        raise FarhandError(
            "screen-unavailable",
            "several people have a desktop open on this device"
            if found
            else "nobody has a graphical desktop open on this device",
        )
    ((whose, environment),) = found.items()
    kept = {name: environment[name] for name in _NAMES if environment.get(name)}
    return Seat(kept, None if whose == uid else whose)


def find_seat() -> Seat:
    """Return the desktop of this machine.  Blocks.

    Raises:
        FarhandError: `screen-unavailable`.
    """
    if sys.platform != "linux":
        return Seat({})
    return choose_seat(os.environ, os.getuid(), _programs(), active=_active_user())


def _programs() -> Iterator[Program]:
    for entry in Path("/proc").glob("[0-9]*"):
        # It may end, or be somebody else's, while we look.
        with contextlib.suppress(OSError):
            uid = entry.stat().st_uid
            with (entry / "environ").open("rb") as file:
                data = file.read(_MAX_ENVIRON_BYTES)
            yield Program(uid, _read_environment(data))


def _read_environment(data: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(one).partition("=") for one in data.split(b"\0"))
    return {name: value for name, _, value in pairs if name in _NAMES and value}


def _active_user() -> int | None:
    """Return who sits at the machine, as systemd sees it; None where it cannot be asked."""
    session = _loginctl("show-seat", "seat0", "--property=ActiveSession", "--value")
    if not session:
        return None
    user = _loginctl("show-session", session, "--property=User", "--value")
    return int(user) if user.isdigit() else None


def _loginctl(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["loginctl", *arguments],
            capture_output=True,
            timeout=_LOGINCTL_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip()
