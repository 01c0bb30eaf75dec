"""Dovecot as a private process: an IMAP server on a free port of this machine, TLS only.

Nothing of the machine's own configuration is read, and everything it writes lies in one short
folder of its own.  Run by root it uses the users that its package made, else whoever runs it.
"""

from __future__ import annotations

import contextlib
import getpass
import imaplib
import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import self_signed
from tests.support.stage import free_port

__all__ = ["PASSWORD", "Dovecot", "dovecot_server"]

PASSWORD = "sesame"
_PATIENCE_S = 60
_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{certificate}
ssl_key = <{certificate}
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
disable_plaintext_auth = yes
auth_failure_delay = 0
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


class Dovecot:
    """A running server; every name is a user with `PASSWORD`, and `ca` is what to trust."""

    def __init__(self, port: int, ca: str) -> None:
        self.port = port
        self.ca = ca

    @contextmanager
    def box(self, user: str) -> Iterator[imaplib.IMAP4_SSL]:
        """Sign in as a mail program does."""
        context = ssl.create_default_context(cadata=self.ca)
        box = imaplib.IMAP4_SSL("localhost", self.port, ssl_context=context, timeout=_PATIENCE_S)
        try:
            box.login(user, PASSWORD)
            yield box
        finally:
            box.logout()

    def deliver(self, user: str, *mails: bytes) -> None:
        """Put mails into a mailbox, as they are."""
        with self.box(user) as box:
            for mail in mails:
                status, words = box.append("INBOX", "", "", mail)
                assert status == "OK", words

    def see(self, user: str, numbers: str, *, seen: bool) -> None:
        """Mark mails of the inbox, by their place in it, as seen or unseen."""
        with self.box(user) as box:
            box.select("INBOX")
            status, words = box.store(numbers, "+FLAGS" if seen else "-FLAGS", "\\Seen")
            assert status == "OK", words

    def flags(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """Return the flags of each mail of a folder."""
        with self.box(user) as box:
            box.select(folder, readonly=True)
            _, found = box.uid("fetch", "1:*", "(FLAGS)")
            return [one for one in found if isinstance(one, bytes)]


@contextmanager
def dovecot_server() -> Iterator[Dovecot]:
    """Run one while the block lasts; skips the test where Dovecot is missing."""
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None and os.environ.get("FARHAND_CI") != "1":
        pytest.skip("dovecot is not installed (.ci/apt.txt)")
    assert program is not None, "dovecot is missing"
    is_root = os.geteuid() == 0
    me = getpass.getuser()
    with tempfile.TemporaryDirectory(prefix="fhdc") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("run", "mail"):
            (folder / part).mkdir()
        (folder / "mail").chmod(0o777)
        certificate = self_signed(folder, days=30)
        ca = certificate.read_text().partition("-----BEGIN PRIVATE")[0]
        port = free_port()
        config = _CONFIG.format(
            folder=folder,
            certificate=certificate,
            internal="dovecot" if is_root else me,
            login="dovenull" if is_root else me,
            group="dovecot" if is_root else me,
            uid=65534 if is_root else os.getuid(),
            gid=65534 if is_root else os.getgid(),
            port=port,
            password=PASSWORD,
        )
        (folder / "dovecot.conf").write_text(config)
        process = subprocess.Popen(
            [program, "-F", "-c", str(folder / "dovecot.conf")], stderr=subprocess.DEVNULL
        )
        try:
            server = Dovecot(port, ca)
            _await(server, process, folder / "log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(server: Dovecot, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        said = log.read_text() if log.exists() else ""
        assert process.poll() is None, f"dovecot ended: {said}"
        with contextlib.suppress(OSError, imaplib.IMAP4.error), server.box("ready"):
            return
        assert time.monotonic() < deadline, f"dovecot does not answer: {said}"
        time.sleep(0.1)
