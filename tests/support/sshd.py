"""OpenSSH's server as an ordinary process: on a free port, with keys and files of its own.

It lets one key in as whoever runs the tests, and is ended by its process id.  Run by root it wants
an empty folder /run/sshd, at its start and for each connection: made where it is missing, and left
there as the package's own service leaves it, because a neighbour may need it still.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.support.stage import free_port

__all__ = ["Sshd"]

_SEPARATION = Path("/run/sshd")
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/pid
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PrintMotd no
SetEnv FARHAND_LANG=en
"""


class Sshd:
    """A context manager; `target` is how it is reached, `key` what it lets in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.target = f"{getpass.getuser()}@127.0.0.1:{self.port}"
        self.key = folder / "key"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True, timeout=60)
        shutil.copyfile(folder / "key.pub", folder / "authorized_keys")
        (folder / "config").write_text(_CONFIG.format(port=self.port, folder=folder))
        deadline = time.monotonic() + 60
        while True:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return self
            except OSError:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.05)

    def _start(self) -> None:
        if os.geteuid() == 0:
            _SEPARATION.mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program is not None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", str(self._folder / "config")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self._folder / "log").read_text(errors="replace")

    def host_key_line(self, *, of: Path | None = None) -> str:
        """Return a line for a known_hosts file."""
        words = (of or self._folder / "host_key.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {' '.join(words)}\n"

    def fingerprint(self) -> str:
        """Return the host key's fingerprint, as ssh-keygen shows it."""
        words = ["ssh-keygen", "-l", "-f", str(self._folder / "host_key.pub")]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()[1]
