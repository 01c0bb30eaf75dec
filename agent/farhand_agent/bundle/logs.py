"""Bounded excerpts of logs for a bundle: the end of each, no more than `MAX_EXCERPT_BYTES`.

    system     the system's log               journal, else syslog or messages; macOS, Windows
    agent      what Farhand's agent said      its unit in the journal
    kernel     the kernel's log               journal, else /var/log/kern.log or dmesg
    boot       the end of the boot before     journal, where it is kept
    packages   what was installed when        apt, dpkg, dnf, zypper, pacman
    printing   CUPS                           /var/log/cups
    network    NetworkManager, networkd       its units in the journal

A log that is not there, or that this user may not read, is said to be so and costs nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farhand_agent.platforms.commands import Outcome, Runner, run
from farhand_agent.platforms.current import platform_name
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["DEFAULT_LOGS", "LOGS", "MAX_EXCERPT_BYTES", "Excerpt", "collect_log", "find_logs"]

MAX_EXCERPT_BYTES: Final = 2 * 1024 * 1024
DEFAULT_LOGS: Final = ("system", "agent", "kernel", "packages")
_COMMAND_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What was found of one log: its text, or why there is none."""

    name: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Log:
    """Where one log is.

    Attributes:
        about: a few words for the person.
        commands: by platform, each with the hours to look back filled in; the first that answers
            with anything counts.
        files: read where no command answered; all that are there.
    """

    about: str
    commands: Callable[[str, int], list[list[str]]]
    files: tuple[str, ...] = ()


def _journal(*options: str) -> Callable[[str, int], list[list[str]]]:
    def commands(platform: str, hours: int) -> list[list[str]]:
        if platform != "linux":
            return []
        base = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines=20000"]
        return [[*base, f"--since=-{hours}h", *options]]

    return commands


def _system(platform: str, hours: int) -> list[list[str]]:
    if platform == "macos":
        return [["log", "show", "--style", "compact", "--last", f"{hours}h"]]
    if platform == "windows":
        query = (
            "Get-WinEvent -LogName System -MaxEvents 5000 | Sort-Object TimeCreated |"
            " ForEach-Object { '{0:s} {1} {2} {3}' -f $_.TimeCreated, $_.LevelDisplayName,"
            " $_.ProviderName, $_.Message }"
        )
        return [["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", query]]
    return _journal()(platform, hours)


def _kernel(platform: str, hours: int) -> list[list[str]]:
    return [*_journal("--dmesg")(platform, hours), ["dmesg"]] if platform == "linux" else []


LOGS: Final = {
    "system": Log("the system's log", _system, ("/var/log/syslog", "/var/log/messages")),
    "agent": Log("what Farhand's agent said", _journal("--unit=farhand-agent.service")),
    "kernel": Log("the kernel's log", _kernel, ("/var/log/kern.log",)),
    "boot": Log("the end of the boot before", _journal("--boot=-1", "--since=@0")),
    "packages": Log(
        "what was installed when",
        lambda *_: [],
        (
            "/var/log/apt/history.log",
            "/var/log/dpkg.log",
            "/var/log/dnf.log",
            "/var/log/zypp/history",
            "/var/log/pacman.log",
        ),
    ),
    "printing": Log("the printing system's log", _journal("--unit=cups.service"),
                    ("/var/log/cups/error_log",)),
    "network": Log(
        "the log of what runs the network",
        _journal("--unit=NetworkManager.service", "--unit=systemd-networkd.service",
                 "--unit=systemd-resolved.service"),
    ),
}  # fmt: skip


def find_logs(names: Iterable[str]) -> list[str]:
    """Return the names that are logs, each once.

    Raises:
        UsageError: `log-unknown`.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in LOGS:
            raise UsageError(
                "log-unknown",
                f"there is no log {name[:40]!r}",
                hint=f"known are: {', '.join(LOGS)}",
            )
    return wanted


def collect_log(
    name: str,
    *,
    hours: int,
    root: Path = Path("/"),
    runner: Runner = run,
    platform: str | None = None,
) -> Excerpt:
    """Return the end of one log, whatever happens.

    Args:
        name: of `LOGS`.
        hours: how far back, where the log can be asked for that.
        root: the folder that stands for "/".
        runner: starts commands.
        platform: as `platform_name` says.
    """
    log = LOGS[name]
    reasons: list[str] = []
    for argv in log.commands(platform or platform_name(), hours):
        text = _answer(argv, runner, reasons)
        if text.strip():
            return Excerpt(name, text, "")
    found = [text for path in log.files if (text := _tail(root, path, reasons))]
    if found:
        return Excerpt(name, "\n".join(found), "")
    return Excerpt(name, "", "; ".join(dict.fromkeys(reasons)) or "nothing was written there")


def _answer(argv: list[str], runner: Runner, reasons: list[str]) -> str:
    try:
        done: Outcome = runner(
            argv, timeout_s=_COMMAND_S, max_bytes=MAX_EXCERPT_BYTES, overflow="tail"
        )
    except FarhandError as error:
        reasons.append(error.message)
        return ""
    if done.exit_code != 0 and not done.stdout:
        reasons.append(f"{argv[0]} ended with {done.exit_code}")
    return done.text


def _tail(root: Path, path: str, reasons: list[str]) -> str:
    """Return the whole lines at a file's end; the name of the file stands above them."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(root / path.lstrip("/"), flags)
    except FileNotFoundError:
        return ""
    except OSError as error:
        reasons.append(f"{path}: {error.strerror}")
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not found.st_size:
            return ""
        start = max(0, found.st_size - MAX_EXCERPT_BYTES)
        data = os.pread(descriptor, MAX_EXCERPT_BYTES, start)
    except OSError as error:
        reasons.append(f"{path}: {error.strerror}")
        return ""
    finally:
        os.close(descriptor)
    if start:
        data = data.partition(b"\n")[2]
    return f"==> {path}\n{data.decode('utf-8', 'replace')}"
