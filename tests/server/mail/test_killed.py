"""A real relay that is killed while mail comes in: each mail is one ticket in the end.

Once while a mail server brings mails over LMTP, which brings again what had no 250; once while it
reads a mailbox over IMAP.
"""

from __future__ import annotations

import contextlib
import smtplib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.mail.desk_mail import DESK, letter
from tests.server.mail.dovecot import PASSWORD, dovecot_server
from tests.support.stage import Process, Stage, free_port

PATIENCE_S = 90
MAILS = 20


def mail(name: str, number: int) -> bytes:
    """One of many mails; nobody wrote two of them."""
    return letter(
        f"{name} {number}",
        sender=f"{name}{number}@customer.example",
        message_id=f"<{name}-{number}@customer.example>",
        subject=f"{name} {number}",
    )


class Books:
    """What the relay wrote down, read beside it."""

    def __init__(self, home: Path) -> None:
        self._path = home / "farhand.db"

    def titles(self) -> list[str]:
        return [row[0] for row in self._rows("SELECT title FROM tickets ORDER BY title")]

    def kept(self, source: str) -> int:
        rows = self._rows("SELECT count(*) FROM mails WHERE source = ?", source)
        return int(str(rows[0][0]))

    def _rows(self, query: str, *values: str) -> list[tuple[str]]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=PATIENCE_S)) as books:
            return list(books.execute(query, values))


def wait(relay: Process, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline or relay.popen.poll() is not None:
            raise relay.failed("it did not come to that")
        time.sleep(0.02)


def bring(port: int, numbers: list[int], *, stop: Callable[[int], bool]) -> list[int]:
    """Bring mails over LMTP, and return those of which nobody said that they are kept."""
    left = list(numbers)
    with contextlib.suppress(smtplib.SMTPException, OSError):
        peer = smtplib.LMTP("127.0.0.1", port, timeout=PATIENCE_S)
        with contextlib.closing(peer):
            for number in numbers:
                if stop(number):
                    # Killed after the last dot and before the answer.
                    peer.ehlo()
                    peer.mail(f"lmtp{number}@customer.example")
                    peer.rcpt(DESK)
                    peer.putcmd("data")
                    peer.getreply()
                    peer.send(mail("lmtp", number) + b".\r\n")
                    return left
                raw = mail("lmtp", number)
                peer.sendmail(f"lmtp{number}@customer.example", [DESK], raw)
                left.remove(number)
    return left


@pytest.mark.timeout(300)
def test_a_relay_that_is_killed_neither_loses_nor_doubles_mail() -> None:
    with Stage() as stage, dovecot_server() as dovecot:
        stage.init_relay()
        port = free_port()
        with (stage.relay_home / "config.toml").open("a") as config:
            config.write(f'mail_listen = "lmtp://127.0.0.1:{port}"\n')
        relay = stage.start_relay()
        admin = stage.console("admin")
        admin.login(stage.signin_token)
        admin.json("mail", "add", "desk", "--address", DESK)
        books = Books(stage.relay_home)

        left = bring(port, list(range(MAILS)), stop=lambda number: number == MAILS // 2)
        relay.popen.kill()
        relay.end()
        assert len(left) == MAILS // 2

        dovecot.deliver("desk", *(mail("imap", number) for number in range(MAILS)))
        relay = stage.start_relay()
        (stage.folder / "ca.pem").write_text(dovecot.ca)
        admin.run(
            "mail", "set", "desk", "--imap", f"localhost:{dovecot.port}", "--user", "desk",
            "--ca", str(stage.folder / "ca.pem"), "--password-stdin",
            stdin=f"{PASSWORD}\n".encode(),
        )  # fmt: skip
        wait(relay, lambda: books.kept("imap") >= 1)
        relay.popen.kill()
        relay.end()

        relay = stage.start_relay()
        assert bring(port, left, stop=lambda _: False) == []
        expected = sorted(
            f"{name} {number}" for name in ("lmtp", "imap") for number in range(MAILS)
        )
        wait(relay, lambda: len(books.titles()) >= len(expected))
        status = admin.json("mail", "status")
        assert (status["waiting_in"], status["quarantined"]) == (0, 0)
        assert books.titles() == expected
        assert admin.json("mail", "quarantine", "list")["items"] == []
        seen = dovecot.flags("desk")
        wait(relay, lambda: all(b"\\Seen" in one for one in dovecot.flags("desk")))
        assert len(seen) == MAILS
        refused = admin.refused("mail", "hold", "1")
        assert refused == "not-found", "what came in is not held"
