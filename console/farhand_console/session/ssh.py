"""SSH on a session's pipe: asyncssh as the client, the device's key pinned, nothing forwarded.

the line is lost                  nothing is noticed on top, for at most the resume window
the device's process is another   what ran is gone: `SessionRestarted`; the session goes on, and
                                  a new connection on it may be opened (`reconnect`)
the session is over               `session-ended`, with who ended it and why
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

import asyncssh

from farhand_console.home import Home
from farhand_console.output import printable
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Session
from farhand_console.session.fillers import leave_out_fillers
from farhand_console.session.partings import parting
from farhand_console.session.pipe import PATIENCE_S, ConsolePipe, PipeTunnel
from farhand_console.session.record import SessionRecord, claim_pipe, drop, key_file
from farhand_console.session.status import StatusLine
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import public_key_line

__all__ = [
    "SessionRestarted",
    "check_restarted",
    "connect_ssh",
    "open_pipe",
    "reconnect",
    "why_ended",
]

_LOGIN_S = 30.0
_RESTARTS = 20
# What a restart of the device's process looks like to whoever works on the connection.
_LOST = frozenset({"session-lost", "copy-failed", "receipt-missing"})
_WHO = {
    "closed": "the technician closed it",
    "operator": "the technician closed it",
    "admin": "an admin ended it",
    "ended-by-admin": "an admin ended it",
    "ended-by-operator": "it was closed from a console",
    "stopped": "the person at the device stopped it",
    "expired": "its time is over",
    "shutdown": "the device's agent ended it",
    "interrupted": "the device's agent was interrupted and did not come back in time",
    "operator-removed": "its operator is no longer on the roster",
    "ended-by-relay": "the relay ended it",
    "device-retired": "the device was retired",
}
T = TypeVar("T")


class SessionRestarted(FarhandError):
    """The device's side began anew: what ran there has ended, and the session itself goes on."""

    def __init__(self) -> None:
        super().__init__(
            "session-restarted",
            "the device's side of the session was restarted, and what ran there has ended",
            hint="the session goes on under the same consent; run the command again",
        )


@asynccontextmanager
async def open_pipe(
    home: Home,
    relay: Relay,
    record: SessionRecord,
    *,
    notice: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[ConsolePipe]:
    """Hold one of the session's pipes and drive it while the block runs.

    Args:
        home, relay, record: of the session.
        notice: takes one line of words; on a terminal stderr is written over instead.
        patience_s: how long to wait for a session's process that is not connected just now.

    Raises:
        FarhandError: `session-ended` when the relay says so: the session is then forgotten here, so
            that the next command opens another; and its other answers.
    """

    async def drive(pipe: ConsolePipe) -> None:
        try:
            await pipe.run()
        except FarhandError as error:
            if error.code != "session-ended":
                raise
            await asyncio.to_thread(drop, home, record.session)
            raise await why_ended(relay, record.session) from error

    # Two consoles count alike, so who joined takes a pipe that the relay says nobody holds.
    with nullcontext() if record.mode else claim_pipe(home, record.session) as number:
        status = StatusLine(notice)
        pipe = ConsolePipe(relay, record.session, number, watch=status.show, patience_s=patience_s)
        async with asyncio.TaskGroup() as group:
            driver = group.create_task(drive(pipe))
            try:
                yield pipe
            finally:
                pipe.end()
                # The last frames, CLOSE among them, get a moment to leave.
                await asyncio.wait((driver,), timeout=2)
                driver.cancel()
                status.close()


class _Client(asyncssh.SSHClient):
    """Shows what the device says meanwhile, and keeps what it said when it ended the connection."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self.parting: FarhandError | None = None

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        if always_display:
            self._notice(f"the device says: {printable(msg, 200)}")

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, asyncssh.DisconnectError):
            self.parting = parting(exc.reason)


@asynccontextmanager
async def connect_ssh(
    home: Home,
    relay: Relay,
    record: SessionRecord,
    *,
    notice: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Open an SSH connection of its own on the session.

    Raises:
        FarhandError: `session-ended`, `session-not-connected`, `session-busy` and other answers of
            the relay; `host-key-mismatch` when whoever answers is not the device;
            `session-denied` when the device no longer accepts the session's key. At the end of the
            block `session-ended`, in the device's own words, where the device ended the session.
        SessionRestarted: the device's process is another one than at the beginning.
    """
    async with open_pipe(home, relay, record, notice=notice, patience_s=patience_s) as pipe:
        host_key = asyncssh.import_public_key(public_key_line(record.device_key))
        client = _Client(notice)
        try:
            # A process that is being started again is waited for before anybody can sign in.
            async with asyncio.timeout(patience_s + _LOGIN_S):
                connection = await asyncssh.connect(
                    record.device,
                    tunnel=PipeTunnel(pipe),
                    client_factory=lambda: client,
                    username=record.session,
                    client_keys=[str(key_file(home, record.session))],
                    known_hosts=([host_key], [], []),
                    config=None,
                    agent_path=None,
                    agent_forwarding=False,
                    x11_forwarding=False,
                    keepalive_interval=0,
                    preferred_auth="publickey",
                    encryption_algs=[
                        "aes128-gcm@openssh.com",
                        "aes256-gcm@openssh.com",
                        "chacha20-poly1305@openssh.com",
                    ],
                    compression_algs=["none"],
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise FarhandError(
                "host-key-mismatch",
                "whoever answers does not hold the device's key",
                hint="the relay may be lying; nothing was sent",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise FarhandError(
                "session-denied", "the device does not accept this session any more"
            ) from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            if pipe.reason == "peer-changed":
                raise SessionRestarted from error
            if pipe.reason == "session-ended":
                raise await why_ended(relay, record.session) from error
            words = f"the session could not be joined ({pipe.reason or 'no answer'})"
            raise FarhandError("session-lost", words, detail=str(error)) from error
        leave_out_fillers(connection)
        connection.set_extra_info(farhand_pipe=pipe)
        try:
            yield connection
            if client.parting is not None:
                raise client.parting
        except (asyncssh.Error, OSError, EOFError, FarhandError, ExceptionGroup) as error:
            if not _is_loss(error):
                raise
            if client.parting is not None:
                raise client.parting from error
            if pipe.reason == "peer-changed":
                raise SessionRestarted from error
            if pipe.reason == "session-ended":
                raise await why_ended(relay, record.session) from error
            raise
        finally:
            connection.close()
            try:
                async with asyncio.timeout(2):
                    await connection.wait_closed()
            except (TimeoutError, asyncssh.Error, OSError):
                connection.abort()


def check_restarted(connection: asyncssh.SSHClientConnection) -> None:
    """Look why a connection has closed, where nothing failed by it.

    Raises:
        SessionRestarted: the device's process is another one; else nothing, it was closed in order.
    """
    pipe = connection.get_extra_info("farhand_pipe")
    if pipe is not None and pipe.reason == "peer-changed":
        raise SessionRestarted


def _is_loss(error: Exception) -> bool:
    """Tell whether an error may be no more than what a lost connection looks like."""
    if isinstance(error, ExceptionGroup):
        return all(_is_loss(one) for one in error.exceptions)
    if isinstance(error, FarhandError):
        return error.code in _LOST
    return isinstance(error, asyncssh.Error | OSError | EOFError)


async def reconnect(
    home: Home,
    relay: Relay,
    record: SessionRecord,
    work: Callable[[asyncssh.SSHClientConnection], Awaitable[T]],
    *,
    notice: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> T:
    """Do work on a connection, and again on a new one each time the device's side was restarted.

    Args:
        home, relay, record, notice, patience_s: as `connect_ssh`.
        work: may be begun again at any point; a transfer goes on from what has arrived.

    Raises:
        FarhandError: as `connect_ssh` and `work`.
    """
    for _ in range(_RESTARTS):
        try:
            async with connect_ssh(
                home, relay, record, notice=notice, patience_s=patience_s
            ) as connection:
                return await work(connection)
        except* SessionRestarted:
            notice("the device's side was restarted; going on")
    raise SessionRestarted


async def why_ended(relay: Relay, session: str) -> FarhandError:
    """Return `session-ended` in words: by whom, and why, as far as the relay knows."""
    words = ""
    try:
        found = await asyncio.to_thread(relay.get, segments("sessions", session), Session)
        words = _WHO.get(found.reason, found.reason[:100])
    except FarhandError as error:
        # The relay that said so cannot be asked for more just now.
        return FarhandError("session-ended", "the session is over", detail=str(error))
    return FarhandError(
        "session-ended",
        f"the session is over: {words or 'it ended'}",
        hint="a command that names the device, and not the session, opens a new one",
    )
