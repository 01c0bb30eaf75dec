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

One connection's decisions stand in connection.py, its programs in channel_process.py.  asyncssh
takes a connection down when a callback or a channel's task raises, so nothing there lets an
exception out, and channel.py puts a closed list in front of what it answers by itself.
"""

from __future__ import annotations

import asyncio
import logging

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farhand_agent.session.connection import SessionConnection
from farhand_agent.session.fillers import leave_out_fillers
from farhand_agent.session.manners import Manners
from farhand_agent.session.pipes import PipeDriver, PipeTunnel
from farhand_agent.session.roll import Member
from farhand_agent.session.terms import SessionTerms

__all__ = ["MAX_PIPES", "SessionHost", "host_key"]

_log = logging.getLogger(__name__)

MAX_PIPES = 8
LOGIN_TIMEOUT_S = 15
# AES-GCM first, for processors that have it; ChaCha20 for those that do not.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com")


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
        self._servers: set[SessionConnection] = set()
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
                server_factory=lambda: SessionConnection(self, driver),
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
        leave_out_fillers(connection)
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

    def met(self, server: SessionConnection, *, gone: bool) -> None:
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
