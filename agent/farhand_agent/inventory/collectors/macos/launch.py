"""What launchd is told to start: the property lists in its folders; no section of its own.

Apple's own below /System are part of macOS and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.people import homes
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.json_values import text
from farhand_agent.inventory.plists import plist_file

__all__ = ["Job", "jobs", "program"]

_DAEMONS: Final = "/Library/LaunchDaemons"
_AGENTS: Final = "/Library/LaunchAgents"
_MAX_JOBS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Job:
    """One property list: its file, whose it is (None: the machine's), and what stands in it."""

    path: str
    user: str | None
    daemon: bool
    told: dict[str, Any]


def jobs(context: Context) -> list[Job]:
    """Return the jobs that were added to this Mac, at most 2,000."""
    folders: list[tuple[str, str | None, bool]] = [(_DAEMONS, None, True), (_AGENTS, None, False)]
    folders += [(f"{path}{_AGENTS}", user, False) for user, path in homes(context)]
    found = []
    for folder, user, daemon in folders:
        try:
            names = context.files.names(folder)
        except PermissionError:
            context.note(f"{folder} needs root")
            continue
        for name in names:
            if not name.endswith(".plist"):
                continue
            path = f"{folder}/{name}"
            try:
                told = plist_file(context, path)
            except Malformed as error:
                context.note(error.message)
                continue
            except PermissionError:
                context.note(f"{path} needs root")
                continue
            if told is not None:
                found.append(Job(path, user, daemon, told))
    return found[:_MAX_JOBS]


def program(told: dict[str, Any]) -> str | None:
    """Return the program of a job, never its arguments."""
    arguments = told.get("ProgramArguments")
    first = arguments[0] if isinstance(arguments, list) and arguments else None
    return text(told.get("Program")) or text(first)
