"""The jump port: `ssh -J` for stock clients, and nothing else that SSH can do.

The only module of the relay that parses SSH.  A client signs in with a jump key (accounts/
jump_keys.py) and may then open `direct-tcpip` to a device on which that account has an open
session; the channel's bytes go into one of the session's pipes.  Inside them runs the client's own
SSH connection to the device, with the device's host key and the session's key, so this port sees
no more than the splice does.  Shells, subsystems, remote and other forwarding are refused.

The host key is a key of its own (`jump.key` in the home), vouched for by the relay key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncssh

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import parse_public_key_line
from farhand_server.accounts.authorisation import Actor
from farhand_server.errors import not_permitted
from farhand_server.gateway.jump_pipe import JumpPipe
from farhand_server.tasks import Tasks

__all__ = [
    "MAX_JUMP_CHANNELS",
    "MAX_JUMP_CONNECTIONS",
    "MAX_JUMP_CONNECTIONS_PER_ADDRESS",
    "JumpPort",
]

_log = logging.getLogger(__name__)

MAX_JUMP_CONNECTIONS: Final = 512
MAX_JUMP_CONNECTIONS_PER_ADDRESS: Final = 64
MAX_JUMP_CHANNELS: Final = 16
_MAX_KEY_TRIES: Final = 6
_LOGIN_S: Final = 15
_KEEPALIVE_S: Final = 30
# After the client's end of stream the device may still say goodbye, for this long.
_GOODBYE_S: Final = 5.0
_CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
)

FindActor = Callable[[bytes], Awaitable[Actor | None]]
MakePipe = Callable[
    [Actor, str, Callable[[bytes], None], Callable[[bool], None]], Awaitable[JumpPipe]
]


class JumpPort:
    """The listener.

    Args:
        host_key: OpenSSH private key bytes.
        find_actor: returns whose jump key this raw public key is, or None.
        make_pipe: returns the pipe to a device, named by id or name, for (actor, name, deliver,
            on_writable); raises FarhandError where there is none to have.
        tasks: owner of the work of each channel.
    """

    def __init__(
        self, host_key: bytes, *, find_actor: FindActor, make_pipe: MakePipe, tasks: Tasks
    ) -> None:
        self._host_key = asyncssh.import_private_key(host_key)
        self.find_actor = find_actor
        self.make_pipe = make_pipe
        self.tasks = tasks
        self._listener: asyncssh.SSHAcceptor | None = None
        self._by_address: Counter[str] = Counter()
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            FarhandError: `listen-failed`.
        """
        try:
            self._listener = await asyncssh.listen(
                host,
                port,
                config=None,
                server_factory=lambda: _Gate(self),
                server_host_keys=[self._host_key],
                server_version="Farhand",
                encryption_algs=list(_CIPHERS),
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
                allow_pty=False,
                allow_scp=False,
                line_editor=False,
                encoding=None,
                login_timeout=_LOGIN_S,
                keepalive_interval=_KEEPALIVE_S,
                reuse_address=True,
            )
        except (OSError, asyncssh.Error) as error:
            raise FarhandError(
                "listen-failed", f"the jump port {host}:{port} cannot be listened on: {error}"
            ) from error
        return self._listener.get_port()

    async def stop(self) -> None:
        """Accept nothing more and close what is open."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        for connection in list(self._connections):
            connection.disconnect(asyncssh.DISC_BY_APPLICATION, "the relay stops")

    def enter(self, connection: asyncssh.SSHServerConnection, address: str) -> bool:
        """Count a connection in; False when there are too many."""
        full = (
            len(self._connections) >= MAX_JUMP_CONNECTIONS
            or self._by_address[address] >= MAX_JUMP_CONNECTIONS_PER_ADDRESS
        )
        self._connections.add(connection)
        self._by_address[address] += 1
        return not full

    def leave(self, connection: asyncssh.SSHServerConnection, address: str) -> None:
        """Count it out."""
        self._connections.discard(connection)
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]


class _Gate(asyncssh.SSHServer):
    """One client's decisions."""

    def __init__(self, port: JumpPort) -> None:
        self._port = port
        self._address = ""
        self._connection: asyncssh.SSHServerConnection
        self._tries = 0
        self._key = b""
        self._actor: Actor | None = None
        self._open = False
        self._channels = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._address = str((conn.get_extra_info("peername") or ("?",))[0])
        if not self._port.enter(conn, self._address):
            conn.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.leave(self._connection, self._address)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        # Asked before the signature is checked, and again after: nothing opens here.
        self._tries += 1
        if self._tries > _MAX_KEY_TRIES:
            self._connection.disconnect(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many keys"
            )
            return False
        try:
            text = key.export_public_key("openssh").decode("ascii").strip()
            self._key = parse_public_key_line(text)
            self._actor = await self._port.find_actor(self._key)
        except FarhandError as error:
            _log.info("jump from %s: %s", self._address, error)
            self._actor = None
        return self._actor is not None

    def auth_completed(self) -> None:
        self._open = self._actor is not None

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Any:
        if not self._open or self._actor is None:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not signed in"
            )
        if dest_port != 22:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "only port 22 of a device"
            )
        if self._channels >= MAX_JUMP_CHANNELS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many channels")
        # Counted before the session is looked for: those that wait are channels as well.
        self._channels += 1
        return self._carry(self._actor.name, dest_host)

    async def _carry(self, who: str, name: str) -> asyncssh.SSHTCPSession[bytes]:
        carried = _Carried(self._leave)
        try:
            # Asked for each channel: a connection that stands outlives no key and no right.
            actor = await self._port.find_actor(self._key)
            if actor is None or actor.name != who:
                raise not_permitted("this jump key has ended")
            pipe = await self._port.make_pipe(
                actor, name, carried.deliver, carried.set_device_writable
            )
        except FarhandError as error:
            self._leave()
            _log.info("jump from %s by %s refused: %s", self._address, who, error)
            # No name of a device, no word of whether it exists.
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_CONNECT_FAILED, "you have no open session on such a device"
            ) from error
        carried.pipe = pipe
        self._port.tasks.spawn(_run(pipe, carried), name=f"jump {pipe.session}")
        return carried

    def _leave(self) -> None:
        self._channels -= 1

    def session_requested(self) -> bool:
        return False

    def unix_connection_requested(self, dest_path: str) -> bool:
        return False

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return False

    def unix_server_requested(self, listen_path: str) -> bool:
        return False

    def tun_requested(self, unit: int | None) -> bool:
        return False

    def tap_requested(self, unit: int | None) -> bool:
        return False


class _Carried(asyncssh.SSHTCPSession[bytes]):
    """One `direct-tcpip` channel; whatever it gets goes into the pipe, and back."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self.pipe: JumpPipe | None = None
        self._leave = leave
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._channel = None
        if self.pipe is not None:
            self.pipe.end()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self.pipe is not None:
            self.pipe.send(data)

    def eof_received(self) -> bool:
        # The client's SSH has said its last word; the device's may be on its way.
        if self.pipe is not None:
            asyncio.get_running_loop().call_later(_GOODBYE_S, self.pipe.end)
        return True

    def pause_writing(self) -> None:
        if self.pipe is not None:
            self.pipe.reading.clear()

    def resume_writing(self) -> None:
        if self.pipe is not None:
            self.pipe.reading.set()

    def deliver(self, data: bytes) -> None:
        """Take bytes from the device."""
        if self._channel is not None:
            self._channel.write(data)

    def set_device_writable(self, writable: bool) -> None:
        """Stop or resume reading from the client."""
        if self._channel is not None:
            (self._channel.resume_reading if writable else self._channel.pause_reading)()

    def close(self) -> None:
        """Close the channel after what was written."""
        if self._channel is not None:
            self._channel.close()


async def _run(pipe: JumpPipe, carried: _Carried) -> None:
    try:
        await pipe.run()
    finally:
        carried.close()
        _log.info("session %s: jump closed: %s", pipe.session, pipe.reason or "done")
