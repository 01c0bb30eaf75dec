"""Who sits at this computer just now: the users with an active session at its own screen.

    systemd is there    logind's files of sessions (/run/systemd/sessions): ACTIVE, of a SEAT, not
                        closing, not REMOTE, of the class `user`; read at each look, so that a
                        logout counts at once
    it is not           the system's list of logins (utmp, through psutil), those of a virtual
                        console or a display; read by a child process, at most `STALE_S` old

logind calls every session without a seat active, and REMOTE is what the login told it.  In the
list of logins users can write a host, with helpers of terminal programs; the terminal they cannot.

Run as `python -P -m farhand_agent.people.logins` it is that child, and answers one frame.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

from farhand_agent.child import ask_child
from farhand_agent.frames import serve_frames
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_LOGINS", "STALE_S", "Logins", "logind_users"]

MAX_LOGINS: Final = 256
STALE_S: Final = 2.0
_BOOTED: Final = Path("/run/systemd/system")
_SESSIONS: Final = Path("/run/systemd/sessions")
_MAX_FILE_BYTES: Final = 16 * 1024
_CHILD_S: Final = 10.0
_HOSTS: Final = ("", "localhost")
# Where a kernel's console or a display manager logs in; never a pseudo-terminal.
_SCREEN: Final = re.compile(r"(tty[0-9]+|console|:[0-9]+(\.[0-9]+)?)\Z")


class Logins:
    """Tells who sits at this computer."""

    def __init__(self) -> None:
        self._users: frozenset[int] = frozenset()
        self._at = float("-inf")
        # However many ask at once, one child reads.
        self._turn = asyncio.Lock()

    async def users(self) -> frozenset[int]:
        """Return the ids of the users who sit at this computer."""
        if _BOOTED.is_dir():
            return logind_users(_SESSIONS)
        async with self._turn:
            if time.monotonic() - self._at > STALE_S:
                try:
                    answer = await ask_child(__name__, {"do": "logins"}, timeout_s=_CHILD_S)
                    self._users = frozenset(int(one) for one in answer.get("uids", []))
                except FarhandError:
                    self._users = frozenset()  # where nobody can be seen nobody is there
                self._at = time.monotonic()
            return self._users


def logind_users(folder: Path) -> frozenset[int]:
    """Return the users of logind's active sessions at this computer's own screens."""
    found = set()
    try:
        files = sorted(folder.iterdir())[:MAX_LOGINS]
    except OSError:
        return frozenset()
    for file in files:
        try:
            with file.open("rb") as opened:
                lines = opened.read(_MAX_FILE_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            continue  # a pipe of logind's own, or a session that has just ended
        said = dict(line.partition("=")[::2] for line in lines if "=" in line)
        is_active = said.get("ACTIVE") == "1" and said.get("STATE") == "active"
        is_here = is_active and said.get("SEAT", "") != "" and said.get("REMOTE", "0") == "0"
        if is_here and said.get("CLASS", "user") == "user" and said.get("UID", "").isdecimal():
            found.add(int(said["UID"]))
    return frozenset(found)


def _logins(_: dict[str, Any]) -> dict[str, Any]:
    # Here alone: only the child needs them.
    import pwd

    import psutil

    uids = set()
    for one in psutil.users()[:MAX_LOGINS]:
        host = one.host or ""
        is_near = host in _HOSTS or host.startswith(":")
        if is_near and _SCREEN.match(one.terminal or ""):
            try:
                uids.add(pwd.getpwnam(one.name).pw_uid)
            except KeyError:
                continue  # whoever that was has no account any more
    return {"uids": sorted(uids)}


if __name__ == "__main__":
    sys.exit(serve_frames(_logins))
