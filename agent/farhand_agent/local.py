"""The local socket: how the command line and session processes reach the resident agent.

An owner-only Unix socket whose path is short for any home (socket paths end at about 100 bytes):
`$XDG_RUNTIME_DIR/farhand/` or `/tmp/farhand-UID/`, and 16 hex digits of the home's SHA-256.  That
of the system's agent lies in `/run/farhand/own/`, where its service manager made `/run/farhand`:
nobody takes the name before it there, and its commands find it whatever their environment says.
The folder must belong to this user and to nobody else.  JSON lines: one request, one answer, at
most 64 KiB each; a failure answers `{"error": {"code", "message", "hint"}}`.  Here is the side that
asks; the resident's is `local_server`.

    {"do": "status"}                      -> {"device", "name", "group", "connected", "url",
                                              "since", "sessions": [...], "orders", "outbox", ...}
    {"do": "stop", "session": ID | null}  -> {"stopped": [session ids]}
    {"do": "sessions-changed"}            -> {}      wakes the resident: look into the journal
    {"do": "release-piece", "name": NAME, "offset": N}   -> {"total", "body"}   of a release
    {"do": "hand-over"}                   -> {}      it ends and starts again, as what is due then

The contract for sessions.  The registry of sessions is the journal, not this socket, so that it
also works where no resident runs.  A session process
  1. holds `home.session_lock(session)` (farhand_agent.locks) for as long as it lives;
  2. calls `journal.grant_session(..., pid=os.getpid(), pid_started=processes.started_at(pid))` once
     consent is given and before anything is opened; then `notify(home, "sessions-changed")`, whose
     failure (no resident) does not matter;
  3. on SIGTERM ends the session at once; why is in `journal.session(id).reason` (`stopped` by the
     person, `operator-removed`, `expired`, ...), else the device is shutting down;
  4. reports its end with `journal.end_session(..., report=...)`, sends that report on its own link
     and calls `journal.acknowledge(seq)`; what it could not deliver the resident delivers later.
`stop` journals `stop_session` first, then sends SIGTERM to the process if pid and start time
match.  For an `OfferGrant` the resident writes the envelope to `home.sessions/ID.grant` (0600) and
starts `python -P -m farhand_agent.session --home HOME --grant FILE`; the child deletes the file.
A session whose process died without `end_session` is ended by the resident as `interrupted`.

A session's process listens on a socket of its own beside this one (session/live_help.py), for what
the person says while no terminal shows the session.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning, HomeUnusable
from farhand_protocol.errors import FarhandError

__all__ = ["MAX_LINE_BYTES", "SYSTEM_HOME", "ask", "notify", "socket_path"]

MAX_LINE_BYTES = 64 * 1024
# Where an installed agent lives, and what its service manager makes for it (install/systemd.py).
SYSTEM_HOME: Final = Path("/var/lib/farhand-agent")
_SYSTEM_RUNTIME: Final = Path("/run/farhand")
_ANSWER_TIMEOUT_S = 10.0


def _folder(home: Home) -> Path:
    if home.path == SYSTEM_HOME and _is_made_for_us(_SYSTEM_RUNTIME):
        return _SYSTEM_RUNTIME / "own"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and len(runtime) <= 60:
        return Path(runtime, "farhand")
    return Path("/tmp", f"farhand-{os.getuid()}")  # noqa: S108 - checked below


def _is_made_for_us(folder: Path) -> bool:
    try:
        state = folder.lstat()
    except OSError:
        return False  # no service manager made it
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022


def socket_path(home: Home, *, session: str = "", make: bool = False) -> Path:
    """Return the path of a home's socket, at most 100 bytes.

    Args:
        home: the agent's home.
        session: whose process listens there; empty for the resident agent's own.
        make: create the folder.

    Raises:
        HomeUnusable: the folder belongs to somebody else, or others may enter it.
    """
    folder = _folder(home)
    if make:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True)
    try:
        state = folder.lstat()
    except FileNotFoundError:
        pass  # nobody has made it, so nothing can listen in it either
    else:
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
            raise HomeUnusable(
                f"{folder} is not a folder of this user alone",
                hint="remove it, and find out who made it",
            )
    name = os.fsencode(home.path.resolve()) + (b"\0" + session.encode() if session else b"")
    return folder / hashlib.sha256(name).hexdigest()[:16]


def ask(
    home: Home,
    request: dict[str, Any],
    *,
    session: str = "",
    timeout_s: float = _ANSWER_TIMEOUT_S,
) -> dict[str, Any]:
    """Ask the resident agent of a home, or the process of a session; blocks.

    Raises:
        AgentNotRunning: nobody listens.
        FarhandError: the code it answered, or `agent-silent` when it did not in time.
    """
    path = socket_path(home, session=session)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
        except OSError as error:
            raise AgentNotRunning from error
        try:
            link.sendall(msgspec.json.encode(request) + b"\n")
            data = b""
            while not data.endswith(b"\n") and len(data) <= 16 * MAX_LINE_BYTES:
                piece = link.recv(65_536)
                if not piece:
                    break
                data += piece
            answer = msgspec.json.decode(data, type=dict[str, Any])
        except (OSError, msgspec.MsgspecError) as error:
            raise FarhandError("agent-silent", "the running agent gave no answer") from error
    if isinstance(failure := answer.get("error"), dict):
        raise FarhandError(
            str(failure.get("code")), str(failure.get("message")), hint=failure.get("hint")
        )
    return answer


def notify(home: Home, what: str) -> bool:
    """Tell the resident agent something; False when none runs, which is no failure."""
    try:
        ask(home, {"do": what}, timeout_s=2.0)
    except FarhandError:
        return False
    return True
