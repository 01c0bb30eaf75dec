"""One session channel of an SSH connection: a program, or one of the subsystems.

What it may be is asked of its connection (connection.py) at each request.  asyncssh takes the
connection down when a channel's task raises, so nothing here lets an exception out.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, Protocol

import asyncssh

from farhand_agent.session.actions import ACTING
from farhand_agent.session.channel import SessionChannel
from farhand_agent.session.files import FileServer, serve_files
from farhand_agent.session.lines import read_line
from farhand_agent.session.manners import Manners
from farhand_agent.session.mirror import MirroredStreams
from farhand_agent.session.pipes import PipeDriver
from farhand_agent.session.recording.streams import RecordedStreams
from farhand_agent.session.shell import CHUNK_BYTES, Program, Streams, login_environment
from farhand_agent.session.subsystems import PARTING_S
from farhand_agent.session.terms import SessionTerms

__all__ = ["ChannelProcess", "Host", "Server"]

_log = logging.getLogger(__name__)

_SFTP_SCOPE = "files"


class Host(Protocol):
    """What the connections of a session share."""

    terms: SessionTerms
    manners: Manners

    def begin(self) -> None:
        """Count a channel that works under a scope."""

    def finish(self) -> None:
        """Count it out again."""


class Server(Protocol):
    """What a channel needs of its connection."""

    @property
    def host(self) -> Host:
        """Return what the connections share."""

    terms: SessionTerms
    driver: PipeDriver
    channels: int

    @property
    def by(self) -> str:
        """Return the operator who joined and has this connection; empty for the session's own."""

    def may(self, scope: str) -> bool:
        """Tell whether a scope is open on this connection now."""

    def may_ask(self, least: str) -> bool:
        """Tell whether a subsystem that is for `least` and above is for this connection."""

    async def ready(self, scope: str, what: str) -> bool:
        """Wait until a scope's cool-down is over; False when it was closed meanwhile."""

    def denied(self, what: str, message: str = ..., **facts: str) -> None:
        """Note something that was refused."""


class ChannelProcess(asyncssh.SSHServerProcess[bytes]):
    """One session channel: a program, or one of the subsystems."""

    def __init__(self, server: Server) -> None:
        super().__init__(self._handle, None, 3, False)
        self._server = server
        self._terms = server.terms
        self._program: Program | None = None
        self._recorded: RecordedStreams | None = None
        self._mirrored: MirroredStreams | None = None
        self._has_terminal = False
        self._wanted = ""
        self._scope: str | None = "terminal"
        self._left_over = bytearray()
        self.withdrawn = asyncio.Event()
        self._forget: Callable[[], None] = lambda: None

    # What may be asked for.

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:
        self._has_terminal = self._ask("terminal", "pty", "denied-terminal")
        return self._has_terminal

    def shell_requested(self) -> bool:
        return self._ask("terminal", "shell", "denied-terminal")

    def exec_requested(self, command: str) -> bool:
        return self._ask("terminal", f"exec {command}", "denied-command", command=command)

    def subsystem_requested(self, subsystem: str) -> bool:
        if subsystem == "sftp":
            scope: str | None = _SFTP_SCOPE
        elif (found := self._terms.subsystems.get(subsystem)) is not None and (
            self._server.may_ask(found.least)
        ):
            scope = found.scope
        else:
            self._server.denied(f"subsystem {subsystem}")
            return False
        self._scope, self._wanted = scope, subsystem
        return scope is None or self._ask(scope, f"subsystem {subsystem}")

    def _ask(self, scope: str, what: str, message: str = "denied-request", **facts: str) -> bool:
        if self._server.may(scope):
            return True
        self._server.denied(what, message, **facts)
        return False

    # What arrives while it runs.

    def break_received(self, msec: int) -> bool:
        return False

    def signal_received(self, signal: str) -> None:
        if self._program is not None:
            self._program.signal(signal)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._program is not None:
            self._program.resize(width, height, pixwidth, pixheight)
        for shown in (self._recorded, self._mirrored):
            if shown is not None:
                shown.resize(width, height)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.channels -= 1
        self._forget()
        if self._program is not None:
            self._program.hang_up()
        super().connection_lost(exc)

    # Running it.

    async def _handle(self, _process: asyncssh.SSHServerProcess[bytes]) -> None:
        channel = self.channel
        ACTING.set(self._server.by)
        if self._scope is not None:
            self._forget = self._terms.scopes.hold(self._scope, self._cut)
            self._server.host.begin()
        try:
            if self._scope and not await self._server.ready(self._scope, self._wanted or "program"):
                return
            if self._wanted == "sftp":
                await serve_files(
                    FileServer(channel, self._terms.roots, self._terms.actions, self._terms.hashes),
                    self.stdin,
                    self.stdout,
                    self._server.host.manners,
                )
            elif self._wanted:
                await self._terms.subsystems[self._wanted].serve(self)
                if self.withdrawn.is_set():
                    self._cut_now()
                else:
                    self.exit(0)
            else:
                await self._run_program()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # One channel's failure must not end the others, whatever it was.
            if channel.is_closing():
                _log.info("a channel ended: %s", error)
            else:
                _log.warning("a channel failed", exc_info=error)
                self.exit(255)
        finally:
            if self._mirrored is not None:
                self._mirrored.end(None)
            if self._scope is not None:
                self._server.host.finish()

    def _cut(self) -> None:
        """End this channel because its scope was withdrawn."""
        row = self._terms.subsystems.get(self._wanted)
        if row is None or not row.parts:
            self._cut_now()
            return
        self.withdrawn.set()
        asyncio.get_running_loop().call_later(PARTING_S, self._cut_now)

    def _cut_now(self) -> None:
        if self._program is not None:
            self._program.kill(signal.SIGKILL)
        assert isinstance(self.channel, SessionChannel)
        self.channel.cut(self._terms.scopes.why_closed(self._scope or ""))

    async def _run_program(self) -> None:
        extra = dict(self._terms.environment)
        wanted = {str(key): str(value) for key, value in self.channel.get_environment().items()}
        term = wanted.pop("TERM", None)
        size = None
        if self._has_terminal:
            term, size = self.term_type or term or "dumb", self.term_size
        kind, detail = ("exec", self.command) if self.command is not None else ("shell", "shell")
        self._terms.actions.add("exec" if kind == "exec" else "shell", str(detail))
        await self._terms.actions.settle()
        self._program = Program(
            self.command,
            login_environment({**wanted, **extra}, term),
            size=size,
            is_away=lambda: not self._server.driver.attached.is_set(),
        )
        streams: Streams = _ChannelStreams(self)
        if self._terms.recording is not None:
            streams = self._recorded = self._terms.recording.record(
                streams, command=self.command, size=size and size[:2], term=term or ""
            )
        streams = self._mirrored = MirroredStreams(
            streams,
            self._terms.mirror,
            str(detail),
            by=self._server.by,
            size=(size[0], size[1]) if size else None,
        )
        try:
            status = await self._program.run(streams)
        except OSError as error:
            await streams.write(f"farhand: cannot start: {error.strerror}\n".encode(), error=True)
            status = 126
        if self._recorded is not None:
            self._recorded.end(status)
        self._mirrored.end(status)
        if self.channel.is_closing():
            return
        if status >= 0:
            self.exit(status)
        else:
            self.exit_with_signal(signal.Signals(-status).name[3:])

    async def read_input(self) -> bytes:
        """Return input, empty at its end or when the channel is gone."""
        try:
            data = await self.stdin.read(CHUNK_BYTES)
        except (OSError, asyncssh.Error):
            return b""
        if self._has_terminal:
            self._server.host.manners.typed()
        return data

    async def read_line(self, limit: int) -> bytes:
        """Return the next line of input (see `subsystems.Lines`)."""
        return await read_line(self.read_input, limit, self._left_over)

    def may(self, scope: str) -> bool:
        """Tell whether another scope is open here now (see `subsystems.Stream`)."""
        is_there = self._server.driver.attached.is_set()
        return is_there and self._server.may(scope) and not self._terms.scopes.cooling_s(scope)

    async def complain(self, data: bytes) -> None:
        """Send error output (see `subsystems.Stream`)."""
        await self.write(data, error=True)

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Send output (see `subsystems.Lines`), or error output."""
        writer = self.stderr if error else self.stdout
        try:
            writer.write(data)
            await writer.drain()
        except asyncssh.Error as lost:
            raise ConnectionResetError(str(lost)) from lost


class _ChannelStreams:
    """A channel's streams, for `Program`."""

    def __init__(self, process: ChannelProcess) -> None:
        self._process = process

    async def read(self) -> bytes:
        """Return input from the console; empty at its end."""
        return await self._process.read_input()

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Write output and wait until there is room for more."""
        await self._process.write(data, error=error)
