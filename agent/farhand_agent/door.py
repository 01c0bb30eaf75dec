"""The door for this computer's people: how they reach an agent that is another user's.

An agent that runs as a service (root's, or an account of its own) has an owner-only socket, which
is not for whoever sits at the computer.  Beside it, it listens here for everybody: the kernel says
whose connection it is (`SO_PEERCRED`, or `LOCAL_PEERCRED`), who that is decides what is answered
(people/persons.py), and there is nothing else to ask for than this:

    {"do": "who"}                                        everybody   -> {"user", "uid", "person"}
    {"do": "help", "text", "tried", "language", "parts": N}          -> {"request"}
        with a picture: N lines {"data": BASE64} behind it
    {"do": "facts"}                                      the people  -> {"facts": {...}}
    {"do": "receipts"}                                   here alone  -> {"items": [...]}
    {"do": "receipt", "session": ID, "language": L}                  -> {"text": TEXT | null}
    {"do": "sessions", "after": N, "pages": true}                    -> {"names", "number"}
    {"do": "events", "name": NAME, "after": N, "page": true}         -> as session/watched.py says
    {"do": "tell", "name": NAME, "line": {...}}                      -> {"counted"}
    {"do": "stop", "session": ID | null}                             -> {"stopped": [...]}
    {"do": "code", "scopes": [...] | null, "minutes": N | null}      -> {"name": NAME}
        the session ends with the connection

JSON lines of at most 64 KiB; one request to a connection, a failure as on the other local sockets.
The socket is in `/run/farhand/people`, named by 16 hex digits of the home's SHA-256.  Whoever asks
looks as well whose socket it is: root's or the home's owner's, so that nobody else can pose as the
agent.  Here is the side that asks, and what both sides share.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning, HomeUnusable
from farhand_agent.local import MAX_LINE_BYTES
from farhand_protocol.errors import FarhandError, RefusedError

__all__ = [
    "ERRAND_TIMEOUT_S",
    "MAX_ANSWER_BYTES",
    "Door",
    "HeldAnswer",
    "door_path",
    "peer_uid",
    "read_answer",
]

MAX_ANSWER_BYTES: Final = 16 * MAX_LINE_BYTES
# The agent reads a picture, then has a process do the work; it says itself when that was too slow.
# Whoever gave up sooner would be told of a failure that was none, and ask for help twice.
ERRAND_TIMEOUT_S: Final = 90.0
_FOLDER: Final = Path(
    "/run/farhand/people" if sys.platform == "linux" else "/var/run/farhand/people"
)
_TIMEOUT_S: Final = 20.0
# struct ucred (unix(7)); struct xucred of sys/ucred.h, whose first three fields are all we need.
_UCRED: Final = struct.Struct("iII")
_XUCRED: Final = struct.Struct("IIh")
_XUCRED_BYTES: Final = 76
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1


def door_path(home: Home, *, folder: Path | None = None, make: bool = False) -> Path:
    """Return where the door of a home is.

    Args:
        home: of the agent.
        folder: for tests, instead of the system's.
        make: create the folder.

    Raises:
        HomeUnusable: the folder cannot be made, or others could exchange what lies in it.
    """
    folder = folder or _FOLDER
    if make:
        for one in (folder.parent, folder):
            with contextlib.suppress(FileExistsError):
                try:
                    one.mkdir(mode=0o755)
                    one.chmod(0o755)  # whatever our umask says
                except (FileNotFoundError, PermissionError) as error:
                    raise HomeUnusable(
                        f"{one} cannot be made, so this computer's people have no door",
                        detail=str(error),
                    ) from error
            state = one.lstat()
            is_ours = state.st_uid in (0, os.geteuid()) and not state.st_mode & 0o022
            if not stat.S_ISDIR(state.st_mode) or not is_ours:
                raise HomeUnusable(f"{one} is not a folder of this agent alone")
    name = os.fsencode(home.path.resolve())
    return folder / hashlib.sha256(name).hexdigest()[:16]


def peer_uid(link: Any) -> int:
    """Return the user at the other end of a Unix socket, as the kernel knows it.

    Args:
        link: a socket, or what asyncio gives in its place.

    Raises:
        OSError: the system does not tell.
    """
    # Looked up by name: each system has one of them alone.
    if (number := getattr(socket, "SO_PEERCRED", None)) is not None:
        data = link.getsockopt(socket.SOL_SOCKET, number, _UCRED.size)
        return int(_UCRED.unpack(data)[1])
    if os.uname().sysname == "Darwin":
        data = link.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
        version, uid, _ = _XUCRED.unpack_from(data)
        if version == 0:
            return int(uid)
    raise OSError("this system does not tell whose connection it is")


def read_answer(data: bytes) -> dict[str, Any]:
    """Read one line of answer.

    Raises:
        FarhandError: the code in it; `agent-silent` where it is none.
    """
    try:
        answer = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FarhandError("agent-silent", "the running agent gave no answer") from error
    if isinstance(failure := answer.get("error"), dict):
        code, words = str(failure.get("code")), str(failure.get("message"))
        is_refusal = failure.get("refused") is True
        kind = RefusedError if is_refusal else FarhandError
        raise kind(code, words, hint=failure.get("hint"))
    return answer


@dataclass(frozen=True)
class HeldAnswer:
    """An answer whose connection is kept."""

    answer: dict[str, Any]
    reader: asyncio.StreamReader

    async def gone(self) -> None:
        """Wait until the agent lets go; for one task alone."""
        with contextlib.suppress(OSError):  # which is its end as well
            while await self.reader.read(1024):
                continue  # there is nothing more to say here


class Door:
    """The door of one home, from outside.

    Args:
        home: of an agent that is another user's.
        folder: for tests, instead of the system's.
    """

    def __init__(self, home: Home, *, folder: Path | None = None) -> None:
        self.home = home
        self.path = door_path(home, folder=folder)

    def connect(self, timeout_s: float = _TIMEOUT_S) -> socket.socket:
        """Return a connection; blocks.

        Raises:
            AgentNotRunning: nobody listens.
            RefusedError: `people-door-foreign` where it is neither root's nor the home's owner's.
        """
        link = self._socket()
        try:
            link.settimeout(timeout_s)
            link.connect(str(self.path))
            self._check(link)
        except OSError as error:
            link.close()
            raise AgentNotRunning from error
        except BaseException:
            link.close()
            raise
        return link

    def ask(
        self,
        request: dict[str, Any],
        *,
        more: Iterable[dict[str, Any]] = (),
        timeout_s: float = _TIMEOUT_S,
    ) -> dict[str, Any]:
        """Ask for something; blocks.

        Args:
            request: see above.
            more: lines behind it.
            timeout_s: for each step.

        Raises:
            AgentNotRunning: nobody listens.
            FarhandError: the code of the answer, or `agent-silent`.
        """
        with self.connect(timeout_s) as link:
            return exchange(link, request, more=more)

    async def call(
        self, request: dict[str, Any], *, timeout_s: float = _TIMEOUT_S
    ) -> dict[str, Any]:
        """Ask for something as `ask` does, without blocking; safe to cancel.

        Raises:
            FarhandError: see `ask`.
        """
        async with self.hold(request, timeout_s=timeout_s) as held:
            return held.answer

    @contextlib.asynccontextmanager
    async def hold(
        self, request: dict[str, Any], *, timeout_s: float = _TIMEOUT_S
    ) -> AsyncIterator[HeldAnswer]:
        """Ask for something, and keep the connection for as long as the block runs.

        Raises:
            FarhandError: see `ask`.
        """
        link = self._socket()
        try:
            link.setblocking(False)
            await asyncio.get_running_loop().sock_connect(link, str(self.path))
            reader, writer = await asyncio.open_unix_connection(sock=link, limit=MAX_ANSWER_BYTES)
        except BaseException as error:
            link.close()
            if isinstance(error, OSError):
                raise AgentNotRunning from error
            raise
        try:
            try:
                self._check(writer.get_extra_info("socket"))
                async with asyncio.timeout(timeout_s):
                    writer.write(msgspec.json.encode(request) + b"\n")
                    await writer.drain()
                    data = await reader.readline()
            except (OSError, ValueError) as error:
                raise FarhandError("agent-silent", "the running agent gave no answer") from error
            yield HeldAnswer(read_answer(data), reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # it is gone, which is what was wanted
                await writer.wait_closed()

    def _socket(self) -> socket.socket:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def _check(self, link: Any) -> None:
        """See whose it is that listens.

        Raises:
            RefusedError: `people-door-foreign`.
            OSError: the system does not tell.
        """
        owners = [0]
        with contextlib.suppress(OSError):  # then it must be root's
            owners.append(self.home.path.stat().st_uid)
        if (whose := peer_uid(link)) not in owners:
            raise RefusedError(
                "people-door-foreign",
                f"what listens for the agent of {self.home.path} is user {whose}'s",
                hint="tell your administrator",
            )


def exchange(
    link: socket.socket, request: dict[str, Any], *, more: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Send a request over a connection and return the answer; blocks.

    Raises:
        FarhandError: see `Door.ask`.
    """
    try:
        for one in (request, *more):
            link.sendall(msgspec.json.encode(one) + b"\n")
    except BrokenPipeError:
        pass  # refused before all of it was read; why is what comes now
    except OSError as error:
        raise FarhandError("agent-silent", "the running agent gave no answer") from error
    data = b""
    try:
        while not data.endswith(b"\n") and len(data) <= MAX_ANSWER_BYTES:
            piece = link.recv(65_536)
            if not piece:
                break
            data += piece
    except OSError as error:
        raise FarhandError("agent-silent", "the running agent gave no answer") from error
    return read_answer(data)
