"""Section `startup`: what starts when somebody logs in.

The task manager's switch is twelve bytes of StartupApproved: an odd first byte means switched off.
"""

from __future__ import annotations

from typing import Any

from farhand_agent.inventory.collectors.windows.people import person, profiles
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.json_values import whole
from farhand_agent.inventory.programs import program_of

__all__ = ["approved", "parse", "program"]


def approved(value: object) -> bool:
    """Return whether an entry may start; without a word of the task manager it does."""
    data = binary(value)
    return not data or data[0] % 2 == 0


def program(command: str | None) -> str | None:
    """Return the program in a command line of Windows, without its arguments.

    Paths may hold blanks without quotes; whatever ends in .exe and the like ends the program.
    """
    words = (command or "").strip()
    if words.startswith('"'):
        return words[1:].partition('"')[0] or None
    lowered = words.lower()
    ends = [
        at + 4
        for kind in (".exe", ".com", ".bat", ".cmd", ".vbs", ".ps1")
        if (at := lowered.find(kind)) >= 0 and lowered[at + 4 : at + 5] in ("", " ", ",")
    ]
    return words[: min(ends)] if ends else program_of(words)


@windows_section(
    "startup",
    parts=("run_keys", "run_approved", "startup_folders", "profiles"),
    personal=("user", "path"),
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per entry of the Run keys and of the Startup folders."""
    homes = profiles(told)
    states = {
        (said(one.get("kind")), said(one.get("sid")), said(one.get("name"))): one.get("state")
        for one in told.also("run_approved")
    }
    items = []
    for one in told.rows("run_keys"):
        sid, name, kind = said(one.get("sid")), said(one.get("name")), said(one.get("kind"))
        # 32-bit programs' keys have switches of their own.
        switch = "Run32" if whole(one.get("bits")) == 32 else "Run"
        view = "WOW6432Node\\" if switch == "Run32" else ""
        hive = f"HKU\\{sid}" if sid else "HKLM"
        items.append(
            {
                "source": "run",
                "name": name,
                "program": program(said(one.get("command"))),
                "enabled": kind != "Run" or approved(states.get((switch, sid, name))),
                "path": f"{hive}\\Software\\{view}Microsoft\\Windows\\CurrentVersion\\{kind}",
            }
            | _whose(homes, sid)
        )
    for one in told.also("startup_folders"):
        sid, name, path = said(one.get("sid")), said(one.get("name")), said(one.get("path"))
        items.append(
            {
                "source": "folder",
                "name": name,
                "program": path,
                "enabled": approved(states.get(("StartupFolder", sid, name))),
                "path": path,
            }
            | _whose(homes, sid)
        )
    return items


def _whose(homes: dict[str, str], sid: str | None) -> dict[str, Any]:
    return {"scope": "user" if sid else "machine", "user": person(homes, sid)}
