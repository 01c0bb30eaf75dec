"""One SSH connection to a host: commands with a deadline and bounded output, root's rights, files.

What is secret goes to a command's stdin, never onto its command line, where everybody on the host
could read it.  How root's rights are had is found out once:

    root              signed in as root
    sudo              sudo asks for nothing
    sudo, password    sudo asks; it is told the password first, each time (-k), so that what follows
                      on stdin belongs to the command whatever sudo remembers
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko

from farhand_console.deploy.host_keys import HostKeys
from farhand_console.deploy.target import Target
from farhand_protocol.errors import FarhandError, RefusedError

__all__ = ["Connection", "Done", "SignIn"]

_CONNECT_S: Final = 20.0
_COMMAND_S: Final = 300.0
_MAX_OUTPUT_BYTES: Final = 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SignIn:
    """How to sign in; the fields that hold secrets are not shown.

    Attributes:
        key: the private key's file; None for ssh-agent and the usual files.
        passphrase: of the key.
        sudo_password: for sudo, where it asks.
    """

    key: Path | None = None
    passphrase: str | None = None
    sudo_password: str | None = None

    def __repr__(self) -> str:
        return f"SignIn(key={self.key!r})"

    def load_key(self) -> paramiko.PKey | None:
        """Return the named private key, None where none was named.

        Raises:
            FarhandError: `key-passphrase`, `key-malformed`.
        """
        if self.key is None:
            return None
        secret = self.passphrase.encode() if self.passphrase else None
        try:
            # It is annotated as text, and handed on to cryptography, which wants bytes.
            return paramiko.PKey.from_path(self.key, secret)  # type: ignore[arg-type]
        except (paramiko.PasswordRequiredException, TypeError) as error:
            raise FarhandError(
                "key-passphrase", f"{self.key} needs its passphrase", hint="set FARHAND_PASSPHRASE"
            ) from error
        except (paramiko.SSHException, OSError, ValueError) as error:
            raise FarhandError("key-malformed", f"{self.key} is no key for SSH") from error


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    def last_words(self) -> str:
        """Return the last line that it complained with."""
        lines = [line for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else f"status {self.status}"


class Connection:
    """A context manager; blocking, for one thread.

    Args:
        target: the host.
        keys: whose host key counts.
        sign_in: how.
    """

    def __init__(self, target: Target, keys: HostKeys, sign_in: SignIn) -> None:
        self.target = target
        self._keys = keys
        self._sign_in = sign_in
        self._client = paramiko.SSHClient()
        self._prefix: list[str] | None = None
        self._password = b""

    def __enter__(self) -> Connection:
        try:
            self._connect()
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _connect(self) -> None:
        target, key = self.target, self._sign_in.load_key()
        self._keys.teach(self._client)
        try:
            self._client.connect(
                target.host,
                target.port,
                target.user,
                pkey=key,
                passphrase=self._sign_in.passphrase,
                allow_agent=key is None,
                look_for_keys=key is None,
                timeout=_CONNECT_S,
                banner_timeout=_CONNECT_S,
                auth_timeout=_CONNECT_S,
                channel_timeout=_CONNECT_S,
            )
        except paramiko.BadHostKeyException as error:
            raise RefusedError(
                "deploy-host-key-changed",
                f"{target.known_name} shows another key than the one that is known",
                hint="somebody may be in between; find out before you go on",
            ) from error
        except (paramiko.AuthenticationException, paramiko.PasswordRequiredException) as error:
            raise FarhandError(
                "deploy-signin", f"{target.text} does not let this key in", detail=str(error)
            ) from error
        except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
            raise FarhandError(
                "deploy-unreachable",
                f"{target.text} cannot be reached by SSH",
                detail=f"{type(error).__name__}: {error}",
            ) from error

    def run(
        self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float = _COMMAND_S
    ) -> Done:
        """Run a command as the user who signed in.

        Args:
            words: the command, each word as it is to arrive.
            stdin: what it may read.
            timeout_s: seconds until it is given up.

        Raises:
            FarhandError: `deploy-lost` when the connection ends, or the command does not.
        """
        deadline = time.monotonic() + timeout_s
        transport = self._client.get_transport()
        try:
            if transport is None:
                raise EOFError
            channel = transport.open_session(timeout=_CONNECT_S)
            with channel:
                channel.settimeout(timeout_s)
                channel.exec_command(shlex.join(words))
                for start in range(0, len(stdin), _CHUNK_BYTES):
                    channel.sendall(stdin[start : start + _CHUNK_BYTES])
                channel.shutdown_write()
                output = self._read(channel.recv, channel, deadline)
                complaints = self._read(channel.recv_stderr, channel, deadline)
                channel.status_event.wait(max(0.0, deadline - time.monotonic()))
                if not channel.exit_status_ready():
                    raise TimeoutError
                status = channel.recv_exit_status()
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise FarhandError(
                "deploy-lost",
                f"{self.target.text} did not answer to the end",
                detail=f"{type(error).__name__}: {error}",
            ) from error
        return Done(status, output, complaints)

    @staticmethod
    def _read(read: object, channel: paramiko.Channel, deadline: float) -> str:
        kept = bytearray()
        while True:
            channel.settimeout(max(0.01, deadline - time.monotonic()))
            piece = read(_CHUNK_BYTES)  # type: ignore[operator]
            if not piece:
                return kept.decode("utf-8", "replace")
            kept += piece[: max(0, _MAX_OUTPUT_BYTES - len(kept))]
            if time.monotonic() >= deadline:
                raise TimeoutError

    def run_as_root(
        self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float = _COMMAND_S
    ) -> Done:
        """Run a command as root; as `run`.

        Raises:
            RefusedError: `deploy-sudo` where root's rights cannot be had.
        """
        prefix = self.require_root()
        return self.run([*prefix, *words], stdin=self._password + stdin, timeout_s=timeout_s)

    def require_root(self) -> list[str]:
        """Find out how root's rights are had here, before anything is done with them.

        Returns:
            What stands before a command.

        Raises:
            RefusedError: `deploy-sudo` where they cannot be had.
        """
        if self._prefix is None:
            self._prefix, self._password = self._find_root()
        return self._prefix

    def _find_root(self) -> tuple[list[str], bytes]:
        if self.run(["id", "-u"]).stdout.strip() == "0":
            return [], b""
        if self.run(["sudo", "-n", "true"]).status == 0:
            return ["sudo", "-n", "--"], b""
        password = self._sign_in.sudo_password
        if password is not None:
            line = password.encode() + b"\n"
            asking = ["sudo", "-S", "-k", "-p", "", "--"]
            if self.run([*asking, "true"], stdin=line).status == 0:
                return asking, line
        raise RefusedError(
            "deploy-sudo",
            f"{self.target.text} may not become root",
            hint="sign in as root, let sudo ask for nothing, or give its password: --ask-sudo",
        )

    def upload(self, data: bytes, path: str) -> None:
        """Write a file that only the user may read.

        Raises:
            FarhandError: `deploy-lost`; `deploy-upload` when it did not arrive whole.
        """
        done = self.run(["sh", "-c", 'umask 077 && cat > "$1"', "sh", path], stdin=data)
        if done.status:
            raise FarhandError(
                "deploy-upload", f"{self.target.text} took no file: {done.last_words()}"
            )
