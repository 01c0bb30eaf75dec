"""A session channel in front of asyncssh's: a closed list of requests, and an end that is one.

asyncssh answers channel requests by the name of a method, some of them before asking anybody
(`x11-req`, `env`, agent forwarding), starts a file server of its own at the name `sftp`, and ends
the connection at a malformed request.  Here only the requests of `_ANSWERED` get that far; all
others are refused and noted, malformed ones among them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import asyncssh
from asyncssh.packet import Boolean, PacketDecodeError, SSHPacket, String

__all__ = ["MAX_PACKET_BYTES", "WINDOW_BYTES", "SessionChannel"]

_log = logging.getLogger(__name__)

WINDOW_BYTES = 2 * 1024 * 1024
MAX_PACKET_BYTES = 32 * 1024

_ANSWERED = {"pty-req", "env", "shell", "exec", "subsystem", "window-change", "signal"}
# Sent unasked by common clients; refused, but nothing that anybody asked for.
_UNREMARKABLE = {"eow@openssh.com", "keepalive@openssh.com", "break"}


class SessionChannel(asyncssh.SSHServerChannel[bytes]):
    """A session channel that answers a closed list of requests.

    Args:
        connection: that it belongs to.
        denied: notes what was refused.
    """

    def __init__(
        self, connection: asyncssh.SSHServerConnection, denied: Callable[[str], None]
    ) -> None:
        super().__init__(
            connection,
            asyncio.get_running_loop(),
            True,  # allow_pty: asked of `_Process.pty_requested`
            False,
            False,
            0,
            1024,
            None,
            "strict",
            WINDOW_BYTES,
            MAX_PACKET_BYTES,
        )
        self._denied = denied

    def get_subsystem(self) -> str | None:
        """Say nothing: at the name `sftp` asyncssh would start its own server."""
        return None

    def _service_next_request(self) -> None:
        request = self._request_queue[0][0]
        if request in _ANSWERED:
            waiting = len(self._request_queue)
            try:
                super()._service_next_request()
                return
            except PacketDecodeError as error:
                if len(self._request_queue) < waiting:
                    raise  # it was a request behind this one, and is answered already
                _log.info("a malformed %s: %s", request, error)
                request += " (malformed)"
        if request not in _UNREMARKABLE:
            self._denied(f"request {request}")
        self._report_response(False)

    def cut(self, why: str) -> None:
        """End the channel at once, unsent output included; the other side is told why."""
        if self._send_state not in ("close_pending", "closed"):
            self._send_request(
                b"exit-signal", String(b"KILL"), Boolean(False), String(why), String(b"en")
            )
        elif self._send_state == "close_pending":
            self._send_buf.clear()
            self._close_send()
        self.abort()

    def _process_env_request(self, packet: SSHPacket) -> bool:
        name, value = packet.get_string(), packet.get_string()
        packet.check_end()
        text = name.decode("utf-8", "backslashreplace")
        allowed = text in ("LANG", "TERM") or text.startswith("LC_")
        if not allowed or not text.replace("_", "").isalnum() or len(name) + len(value) > 1024:
            self._denied(f"env {text}")
            return False
        if b"\0" in value or len(self._env) >= 32:
            return False
        self._env[name] = value
        return True
