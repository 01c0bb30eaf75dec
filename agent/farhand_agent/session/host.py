"""The SSH end of a session: one asyncssh server per pipe, and a closed list of what it answers.

    scope      opens
    terminal   pty-req, shell, exec                          session/shell.py
    files      subsystem sftp                                session/files.py
    forward    direct-tcpip to the granted destinations
    by name    the other subsystems, each with its scope     session/subsystems.py
    none       signal, window-change, env LANG, LC_* and TERM
    never      everything else that SSH can ask for

The host key is the device key, the user name the session id (or `farhand`), and the one key that
opens is the console key of the grant.  Scopes count from `auth_completed` on, when possession of
that key is proved, and are asked at each request, so that a scope withdrawn closes on open
connections too.  Every refusal is noted among the session's actions.  Under a scope that still
cools down a request is taken and waits.

Other operators who joined (roll.py) open with keys of their own: an observer gets subsystems that
let her look on, a peer what the session's scopes and her grant both allow.  A peer to whom the
session was handed over gets every subsystem, and the key of the grant opens nothing any more.

asyncssh takes a connection down when a callback or a channel's task raises, so nothing here lets an
exception out, and session/channel.py puts a closed list in front of what it answers by itself.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farhand_agent.session.actions import ACTING, ActionLog
from farhand_agent.session.channel import SessionChannel
from farhand_agent.session.files import FileServer, Roots, serve_files
from farhand_agent.session.files_flow import KnownHashes
from farhand_agent.session.forwarding import Forwarded, dial
from farhand_agent.session.lines import read_line
from farhand_agent.session.manners import Manners
from farhand_agent.session.mirror import Mirror, MirroredStreams
from farhand_agent.session.pipes import PipeDriver, PipeTunnel
from farhand_agent.session.recording.session import SessionRecording
from farhand_agent.session.recording.streams import RecordedStreams
from farhand_agent.session.roll import Member, Roll
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.shell import CHUNK_BYTES, Program, Streams, login_environment
from farhand_agent.session.subsystems import Subsystem
from farhand_protocol.errors import RefusedError
from farhand_protocol.grants import SSH_USER
from farhand_protocol.identity import public_key_line

__all__ = ["MAX_CHANNELS", "MAX_PIPES", "SessionHost", "SessionTerms", "host_key"]

_log = logging.getLogger(__name__)

MAX_PIPES = 8
MAX_CHANNELS = 16
MAX_KEY_TRIES = 6
LOGIN_TIMEOUT_S = 15
# AES-GCM first, for processors that have it; ChaCha20 for those that do not.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com")
SFTP_SCOPE = "files"


@dataclass
class SessionTerms:
    """What was granted, as the host needs it.

    `forward_to` holds `host:port` destinations, already cut to grant and policy, and grows when the
    session is widened; `relay` is the relay's host and port; `subsystems` are by name, `sftp` not
    among them.  `on_wait` is told of a request (scope, words, seconds) that waits for a cool-down;
    `tell` says a line to every console, and is the host's to set; `roll` has those who joined,
    `mirror` shows the programs' output.
    """

    session: str
    console_key: bytes
    scopes: LiveScopes
    actions: ActionLog
    roots: Roots
    forward_to: set[str]
    subsystems: Mapping[str, Subsystem]
    environment: dict[str, str] = field(default_factory=dict)
    hashes: KnownHashes = field(default_factory=KnownHashes)
    recording: SessionRecording | None = None
    relay: tuple[str, int] | None = None
    on_wait: Callable[[str, str, float], None] = lambda *_: None
    tell: Callable[[str], None] = lambda _: None
    roll: Roll = field(default_factory=Roll)
    mirror: Mirror = field(default_factory=Mirror)


def host_key(seed: bytes) -> asyncssh.SSHKey:
    """Return the device key as asyncssh wants it."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return asyncssh.import_private_key(text)


class SessionHost:
    """Serves the SSH connections of one session.

    Args:
        key: the device key (`host_key`).
        terms: what was granted.
    """

    def __init__(self, key: asyncssh.SSHKey, terms: SessionTerms) -> None:
        self._key = key
        self.terms = terms
        terms.tell = self.tell
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._servers: set[_Server] = set()
        terms.roll.on_gone = self._put_out
        self._busy = 0
        self.manners = Manners()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def connections(self) -> int:
        """Return how many SSH connections are authenticated now."""
        return len(self._connections)

    async def serve(self, driver: PipeDriver) -> None:
        """Serve one SSH connection over a pipe, until either is over.

        Safe to cancel: the connection is then closed.
        """
        try:
            connection = await asyncssh.connect_reverse(
                tunnel=PipeTunnel(driver),
                config=None,
                server_factory=lambda: _Server(self, driver),
                server_host_keys=[self._key],
                server_version="Farhand",
                encryption_algs=list(CIPHERS),
                compression_algs=None,
                public_key_auth=True,
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_host=None,
                gss_kex=False,
                gss_auth=False,
                x509_trusted_certs=None,
                agent_forwarding=False,
                x11_forwarding=False,
                allow_scp=False,
                line_editor=False,
                encoding=None,
                login_timeout=LOGIN_TIMEOUT_S,
                keepalive_interval=0,
            )
        except (OSError, asyncssh.Error) as error:
            _log.info("pipe %d: no SSH connection: %s", driver.number, error)
            driver.end()
            return
        self._connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)
            connection.abort()
            driver.end()

    def tell(self, words: str) -> None:
        """Say a line to whoever sits at the consoles; stock clients show it when asked to."""
        for connection in list(self._connections):
            connection.send_debug(words, always_display=True)

    def begin(self) -> None:
        """Count a channel that works under a scope."""
        self._busy += 1
        self._quiet.clear()

    def finish(self) -> None:
        """Count it out again."""
        self._busy -= 1
        if not self._busy:
            self._quiet.set()

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until no channel works under a scope any more; False when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    def met(self, server: _Server, *, gone: bool) -> None:
        """Note a connection that begins or has ended."""
        (self._servers.discard if gone else self._servers.add)(server)

    def _put_out(self, member: Member | None, why: str) -> None:
        for server in [one for one in self._servers if one.member is member]:
            server.disconnect(why)

    def close(self, why: str = "the session ended", *, expected: bool = True) -> None:
        """End every connection, saying why; `expected` where the technician ended the session."""
        # asyncssh takes the first code for a mere goodbye and shows nobody its words.
        code = asyncssh.DISC_BY_APPLICATION if expected else asyncssh.DISC_SERVICE_NOT_AVAILABLE
        for connection in list(self._connections):
            connection.disconnect(code, why)


class _Server(asyncssh.SSHServer):
    """One connection's decisions."""

    def __init__(self, host: SessionHost, driver: PipeDriver) -> None:
        self.host = host
        self.terms = host.terms
        self.driver = driver
        self.channels = 0
        self._connection: asyncssh.SSHServerConnection | None = None
        self._open = False
        self._tries = 0
        self.member: Member | None = None
        line = public_key_line(host.terms.console_key)
        self._console_key = asyncssh.import_public_key(line).public_data

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self.host.met(self, gone=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.host.met(self, gone=True)

    def disconnect(self, why: str) -> None:
        """End the connection, saying why."""
        if self._connection is not None:
            self._connection.disconnect(asyncssh.DISC_SERVICE_NOT_AVAILABLE, why)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        # Asked before the signature is checked, and again after: nothing opens here.
        self._tries += 1
        if self._tries > MAX_KEY_TRIES and self._connection is not None:
            self._connection.disconnect(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many keys"
            )
            return False
        known = hmac.compare_digest(key.public_data, self._console_key)
        # The last key that was looked at is the one whose signature counts.
        self.member = None if known else self.terms.roll.find(key.public_data)
        known = known and self.terms.roll.leads(None)
        return (known or self.member is not None) and username in (self.terms.session, SSH_USER)

    def auth_completed(self) -> None:
        self._open = True

    def may(self, scope: str) -> bool:
        """Tell whether a scope is open on this connection now."""
        reaches = self.terms.roll.reaches(self.member, scope)
        return self._open and reaches and self.terms.scopes.allows(scope)

    def may_ask(self, least: str) -> bool:
        """Tell whether a subsystem that is for `least` and above is for this connection."""
        if not self._open:
            return False
        if self.member is None or self.terms.roll.leads(self.member):
            return self.terms.roll.leads(self.member)
        return least in ("observer", self.member.mode)

    @property
    def by(self) -> str:
        """The operator who joined and has this connection; empty for the session's own."""
        return self.member.operator if self.member is not None else ""

    async def ready(self, scope: str, what: str) -> bool:
        """Wait until a scope's cool-down is over; False when it was closed meanwhile."""
        if left := self.terms.scopes.cooling_s(scope):
            self.terms.on_wait(scope, what, left)
        return await self.terms.scopes.ready(scope)

    def denied(self, what: str) -> None:
        """Note something that was refused."""
        self.terms.actions.add("denied", what, by=self.by)

    def take_channel(self) -> None:
        """Count one more channel.

        Raises:
            asyncssh.ChannelOpenError: there are too many, or nothing is open yet.
        """
        if not self._open:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not signed in"
            )
        if self.channels >= MAX_CHANNELS:
            self.denied("channel: too many at once")
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many channels")
        self.channels += 1

    def session_requested(self) -> Any:
        assert self._connection is not None
        self.take_channel()
        channel = SessionChannel(self._connection, self.denied)
        return channel, _Process(self)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Any:
        destination = f"{dest_host.lower()}:{dest_port}"
        if not self.may("forward") or destination not in self.terms.forward_to:
            self.denied(f"forward to {destination}")
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "this destination was not granted"
            )
        assert self._connection is not None
        self.take_channel()
        channel = self._connection.create_tcp_channel()
        return channel, self._forward(channel, dest_host, dest_port)

    async def _forward(
        self, channel: asyncssh.SSHTCPChannel[bytes], host: str, port: int
    ) -> Forwarded:
        destination = f"{host.lower()}:{port}"
        ACTING.set(self.by)
        try:
            if not await self.ready("forward", destination):
                raise RefusedError("scope-missing", "forwarding was withdrawn")
            self.terms.actions.add("forward", destination)
            peer = await dial(host, port, relay=self.terms.relay)
        except RefusedError as error:
            self.channels -= 1
            self.denied(f"forward to {destination}: {error.message}")
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, error.message
            ) from error
        except BaseException:
            self.channels -= 1
            raise

        def closed(sent: int, received: int) -> None:
            forget()
            self.channels -= 1
            self.terms.actions.add(
                "forward",
                f"{destination} closed: {sent} bytes there, {received} bytes back",
                size_bytes=sent + received,
                by=self.by,
            )

        forget = self.terms.scopes.hold("forward", channel.abort)
        return Forwarded(peer, closed)

    def unix_connection_requested(self, dest_path: str) -> bool:
        self.denied(f"connect to socket {dest_path}")
        return False

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        self.denied(f"listen on {listen_host}:{listen_port}")
        return False

    def unix_server_requested(self, listen_path: str) -> bool:
        self.denied(f"listen on socket {listen_path}")
        return False

    def tun_requested(self, unit: int | None) -> bool:
        self.denied("network tunnel")
        return False

    def tap_requested(self, unit: int | None) -> bool:
        self.denied("network tunnel")
        return False


class _Process(asyncssh.SSHServerProcess[bytes]):
    """One session channel: a program, or one of the subsystems."""

    def __init__(self, server: _Server) -> None:
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
        self._forget: Callable[[], None] = lambda: None

    # What may be asked for.

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:
        self._has_terminal = self._ask("terminal", "pty")
        return self._has_terminal

    def shell_requested(self) -> bool:
        return self._ask("terminal", "shell")

    def exec_requested(self, command: str) -> bool:
        return self._ask("terminal", f"exec {command}")

    def subsystem_requested(self, subsystem: str) -> bool:
        if subsystem == "sftp":
            scope: str | None = SFTP_SCOPE
        elif (found := self._terms.subsystems.get(subsystem)) is not None and (
            self._server.may_ask(found.least)
        ):
            scope = found.scope
        else:
            self._server.denied(f"subsystem {subsystem}")
            return False
        self._scope, self._wanted = scope, subsystem
        return scope is None or self._ask(scope, f"subsystem {subsystem}")

    def _ask(self, scope: str, what: str) -> bool:
        if self._server.may(scope):
            return True
        self._server.denied(what)
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
        streams: Streams = _ProcessStreams(self)
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

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Send output (see `subsystems.Lines`), or error output."""
        writer = self.stderr if error else self.stdout
        try:
            writer.write(data)
            await writer.drain()
        except asyncssh.Error as lost:
            raise ConnectionResetError(str(lost)) from lost


class _ProcessStreams:
    """A channel's streams, for `Program`."""

    def __init__(self, process: _Process) -> None:
        self._process = process

    async def read(self) -> bytes:
        """Return input from the console; empty at its end."""
        return await self._process.read_input()

    async def write(self, data: bytes, *, error: bool = False) -> None:
        """Write output and wait until there is room for more."""
        await self._process.write(data, error=error)
