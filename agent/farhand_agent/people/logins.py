"""Who sits at this computer just now: the users with an active session at its own screen.

    systemd is there    logind's files of sessions (/run/systemd/sessions): ACTIVE, not REMOTE, of
                        the class `user`; read at each look, so that a logout counts at once
    it is not           the system's list of logins (utmp, through psutil), without those that came
                        over a network; read by a child process, at most `STALE_S` old

Run as `python -P -m farhand_agent.people.logins` it is that child, and answers one frame.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from farhand_agent.child import ask_child
from farhand_agent.frames import serve_frames
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_LOGINS", "STALE_S", "local_users", "logind_users"]

MAX_LOGINS: Final = 256
STALE_S: Final = 2.0
_BOOTED: Final = Path("/run/systemd/system")
_SESSIONS: Final = Path("/run/systemd/sessions")
_MAX_FILE_BYTES: Final = 16 * 1024
_CHILD_S: Final = 10.0
_SCREENS: Final = ("", "localhost")

_seen: tuple[float, frozenset[int]] = (float("-inf"), frozenset())


async def local_users() -> frozenset[int]:
    """Return the ids of the users who sit at this computer."""
    global _seen
    if _BOOTED.is_dir():
        return logind_users(_SESSIONS)
    at, users = _seen
    if time.monotonic() - at > STALE_S:
        try:
            answer = await ask_child(__name__, {"do": "logins"}, timeout_s=_CHILD_S)
            users = frozenset(int(one) for one in answer.get("uids", []))
        except FarhandError:
            users = frozenset()  # where nobody can be seen nobody is there
        _seen = time.monotonic(), users
    return users


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
        is_here = said.get("ACTIVE") == "1" and said.get("REMOTE", "0") == "0"
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
        if host in _SCREENS or host.startswith(":"):
            try:
                uids.add(pwd.getpwnam(one.name).pw_uid)
            except KeyError:
                continue  # whoever that was has no account any more
    return {"uids": sorted(uids)}


if __name__ == "__main__":
    sys.exit(serve_frames(_logins))
