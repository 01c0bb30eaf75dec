"""A host that is played: a real SSH server of paramiko's, whose commands a test answers.

It keeps every command line and what was sent to its stdin, so that a test can look for secrets.
"""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

__all__ = ["Answer", "PlayedHost"]

Answer = Callable[[list[str], bytes], tuple[int, str, str]]
_WAIT_S = 30.0


class _Session(paramiko.ServerInterface):
    def __init__(self, host: PlayedHost) -> None:
        self._host = host

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = key.asbytes() == self._host.user_key.asbytes()
        return AUTH_SUCCESSFUL if fits else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._host.serve, args=(channel, command), daemon=True).start()
        return True


class PlayedHost:
    """A context manager on a free port."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[tuple[str, bytes]] = []
        self.host_key = paramiko.ECDSAKey.generate()
        self.user_key = paramiko.ECDSAKey.generate()
        self.key_file = folder / "id"
        self.user_key.write_private_key_file(str(self.key_file))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> PlayedHost:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(_WAIT_S)
        for transport in self._transports:
            transport.close()
            transport.join(_WAIT_S)

    @property
    def target(self) -> str:
        """How it is reached."""
        return f"ada@127.0.0.1:{self.port}"

    def known_hosts(self, key: paramiko.PKey | None = None) -> str:
        """A line for a known_hosts file."""
        shown = key or self.host_key
        return f"[127.0.0.1]:{self.port} {shown.get_name()} {shown.get_base64()}\n"

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return  # closed
            transport = paramiko.Transport(peer)
            self._transports.append(transport)
            transport.add_server_key(self.host_key)
            try:
                transport.start_server(server=_Session(self))
            except (paramiko.SSHException, OSError, EOFError):
                continue  # the console did not like our key

    def serve(self, channel: paramiko.Channel, command: bytes) -> None:
        """Answer one command."""
        stdin = b""
        while piece := channel.recv(65_536):
            stdin += piece
        self.commands.append((command.decode(), stdin))
        status, stdout, stderr = self.answer(shlex.split(command.decode()), stdin)
        try:
            channel.sendall(stdout.encode())
            channel.sendall_stderr(stderr.encode())
            channel.send_exit_status(status)
            channel.close()
        except (paramiko.SSHException, OSError, EOFError):
            return  # the console has heard enough and is gone
