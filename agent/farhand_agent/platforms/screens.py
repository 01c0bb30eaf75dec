"""A line on the screens of whoever is logged in to this machine; nothing waits for an answer.

Linux: each terminal of a logged-in person gets the line, where this process may write to it (root
may, whatever `mesg` says); each desktop session gets a notification where `notify-send` is
installed.  macOS and Windows: the system's own notice.  Nothing here fails: a screen that cannot be
reached is left out, and the answer says how many were.

What only those may read who sit at the machine goes to its own consoles and to their desktops
(`seated`); never to a pseudo-terminal, which may be anybody's from anywhere.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import psutil

from farhand_agent.platforms.commands import Runner, run
from farhand_agent.platforms.current import platform_name
from farhand_agent.terminal import printable
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_SCREENS", "show_on_screens"]

_log = logging.getLogger(__name__)

MAX_SCREENS: Final = 64
_MAX_CHARS: Final = 400
_COMMAND_S: Final = 5.0
_DEVICES: Final = Path("/dev")
_RUNTIME: Final = Path("/run/user")
_CONSOLE: Final = re.compile(r"tty[0-9]+", re.ASCII)


def show_on_screens(
    text: str,
    *,
    seated: Collection[int] | None = None,
    platform: str | None = None,
    command: Runner = run,
    logged_in: Callable[[], Sequence[str]] | None = None,
    devices: Path = _DEVICES,
    runtime: Path = _RUNTIME,
) -> int:
    """Show one line to everybody who is logged in; blocks for a few seconds at most.

    Args:
        text: escaped here; foreign words in it cannot steer a terminal.
        seated: the ids of the users who sit at this machine, where only they may read it; then
            it comes to nobody on macOS and Windows, whose notices tell no such difference.
        platform: as `platform_name`.
        command: starts a program.
        logged_in: returns the names of the terminals of those logged in, such as `pts/3`.
        devices: where terminals are.
        runtime: where desktop sessions have their message bus, one folder for each user id.

    Returns:
        How many screens were reached.
    """
    line = printable(text, _MAX_CHARS)
    match platform or platform_name():
        case "linux":
            terminals = (logged_in or _logged_in)()
            buses = _buses(runtime)
            if seated is not None:
                terminals = [name for name in terminals if _CONSOLE.fullmatch(name)]
                buses = [bus for bus in buses if _owner(bus) in seated]
            names = dict.fromkeys(terminals[:MAX_SCREENS])
            return sum(_write(devices, name, line) for name in names) + sum(
                _notify(bus, line, command) for bus in buses[:MAX_SCREENS]
            )
        case _ if seated is not None:
            return 0
        case "macos":
            words = 'display notification (item 1 of argv) with title "Farhand"'
            script = ["osascript", "-e", f"on run argv\n{words}\nend run", line]
            return _try(script, command)
        case "windows":
            return _try(["msg.exe", "*", "/TIME:60", line], command)
        case _:
            return 0


def _logged_in() -> list[str]:
    return [user.terminal for user in psutil.users() if user.terminal]


def _write(devices: Path, name: str, line: str) -> int:
    """Write to one terminal; 1 when it was shown."""
    path = devices / name
    if ".." in path.parts or not path.is_relative_to(devices):
        return 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        _log.info("%s shows nothing: %s", path, error.strerror)
        return 0
    try:
        # A name in the list of users need not be a terminal.
        if not stat.S_ISCHR(os.fstat(descriptor).st_mode) or not os.isatty(descriptor):
            return 0
        os.write(descriptor, f"\r\n[Farhand] {line}\r\n".encode())
    except OSError as error:
        _log.info("%s shows nothing: %s", path, error.strerror)
        return 0
    finally:
        os.close(descriptor)
    return 1


def _buses(runtime: Path) -> list[Path]:
    try:
        return sorted(runtime.glob("*/bus"))
    except OSError:
        return []


def _owner(bus: Path) -> int | None:
    try:
        return bus.stat().st_uid
    except OSError:
        return None


def _notify(bus: Path, line: str, command: Runner) -> int:
    """Send one desktop session a notification, as its owner."""
    try:
        owner = bus.stat()
    except OSError:
        return 0
    words = ["notify-send", "--app-name=Farhand", "--urgency=critical", "Farhand", line]
    if owner.st_uid != os.geteuid():
        # A desktop's bus answers its owner only; root may become that one.
        become = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
        words = ["setpriv", *become, *words]
    return _try(words, command, {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}"})


def _try(words: Sequence[str], command: Runner, env: dict[str, str] | None = None) -> int:
    try:
        return int(command(words, timeout_s=_COMMAND_S, env=env).exit_code == 0)
    except FarhandError as error:
        _log.info("no notice by %s: %s", words[0], error.code)
        return 0
