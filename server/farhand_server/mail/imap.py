"""One folder on an IMAP server, read step by step: everything here blocks, and wants a thread.

Reading marks nothing (`BODY.PEEK`); a mail is marked or moved by `settle` alone, which is called
once it is kept.  What a server says is bounded where the protocol allows it: the size of a mail is
asked for first, and then no more bytes than are taken.  Sources: RFC 3501, RFC 6851 for MOVE.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from imap_tools import BaseMailBox, ImapToolsError, MailBox, MailBoxStartTls, MailBoxUnencrypted

from farhand_protocol.complaints import plain_reason
from farhand_protocol.errors import FarhandError
from farhand_server.mail.mailboxes import Server
from farhand_server.mail.oauth import Credential

__all__ = ["IMAP_TIMEOUT_S", "MAX_AT_ONCE", "Folder", "Found", "reason_of", "tls_context"]

IMAP_TIMEOUT_S: Final = 30.0
# Of one folder in one turn; the next turn goes on.
MAX_AT_ONCE: Final = 200
_SEEN: Final = "\\Seen"  # RFC 3501 s2.3.2
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,15})")


class Found(NamedTuple):
    """One mail of a folder; `content` is its beginning only when it is larger than was asked."""

    size: int
    content: bytes


def tls_context(ca: str) -> ssl.SSLContext:
    """Return what checks a mail server's certificate: the system's roots, and one of the admin's.

    Raises:
        FarhandError: `mail-server` for a certificate that cannot be read.
    """
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError) as error:
            raise FarhandError("mail-server", "the certificate to trust cannot be read") from error
    return context


def reason_of(error: Exception) -> str:
    """Return why a mail server could not be used, in one line: the system's words, or its own."""
    if isinstance(error, OSError) and error.strerror:
        return plain_reason(error)[:200]
    said = "".join(one if one.isprintable() else " " for one in str(error))
    return " ".join(said.split())[:200] or type(error).__name__


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (ImapToolsError, imaplib.IMAP4.error, OSError, EOFError, ValueError) as error:
        raise FarhandError("mail-unreachable", f"{what}: {reason_of(error)}") from error


class Folder:
    """A signed-in connection with its folder open; close it with `close`.

    Args:
        server: where and as whom.
        credential: hers.

    Raises:
        FarhandError: `mail-unreachable`, `mail-server`.
    """

    def __init__(self, server: Server, credential: Credential) -> None:
        self._server = server
        with _translated("the IMAP server cannot be read"):
            self._box = self._connect(server)
        try:
            with _translated("the IMAP server refused the sign-in or the folder"):
                sign_in = self._box.xoauth2 if credential.is_token else self._box.login
                sign_in(server.user, credential.secret, initial_folder=None)
                self._box.folder.set(server.folder)
                status = self._box.client.response("UIDVALIDITY")[1]
                self.uid_validity = int((status or [b"0"])[0] or 0)
                self.last_uid = self._last_uid()
        except BaseException:
            self.abort()
            raise

    @staticmethod
    def _connect(server: Server) -> BaseMailBox:
        if server.security == "plain":
            return MailBoxUnencrypted(server.host, server.port, timeout=IMAP_TIMEOUT_S)
        context = tls_context(server.ca)
        if server.security == "starttls":
            return MailBoxStartTls(
                server.host, server.port, timeout=IMAP_TIMEOUT_S, ssl_context=context
            )
        return MailBox(server.host, server.port, timeout=IMAP_TIMEOUT_S, ssl_context=context)

    def _last_uid(self) -> int:
        """Return the highest UID that any mail of the folder has, or had."""
        said = self._box.client.response("UIDNEXT")[1]
        if said and said[0]:
            return int(said[0]) - 1
        # A server need not say it (RFC 3501 s6.3.1).
        return max((int(one) for one in self._box.uids("ALL")), default=0)

    def unread(self, *, after: int, archive: int) -> list[int]:
        """Return the UIDs to take, lowest first, `MAX_AT_ONCE` at most.

        Args:
            after: those above this one.
            archive: up to this one the folder was filled before it was read at all: of that, what
                nobody has seen is taken; an old archive does not become tickets.
        """
        since = max(after, archive)
        with _translated("the folder cannot be searched"):
            found = [int(one) for one in self._box.uids(f"UID {since + 1}:*")]
            # `N:*` holds the last mail even when it is below N (RFC 3501 s6.4.8).
            taken = [one for one in found if one > since]
            if after < archive:
                unseen = self._box.uids(f"UNSEEN UID {after + 1}:{archive}")
                taken += [int(one) for one in unseen]
        return sorted(taken)[:MAX_AT_ONCE]

    def fetch(self, uid: int, *, limit: int) -> Found | None:
        """Return a mail, or its beginning where it has more than `limit` bytes; None if it went."""
        with _translated("a mail cannot be fetched"):
            _, sized = self._box.client.uid("fetch", str(uid), "(RFC822.SIZE)")
            match = next((m for one in sized if (m := _SIZE.search(_head(one)))), None)
            if match is None:
                return None
            size = int(match[1])
            asked = f"(BODY.PEEK[]<0.{limit if size <= limit else 64 * 1024}>)"
            _, answered = self._box.client.uid("fetch", str(uid), asked)
        content = next((one[1] for one in answered if isinstance(one, tuple)), None)
        if content is None:
            return None
        return Found(size, bytes(content))

    def settle(self, uid: int) -> None:
        """Mark a kept mail as seen, or move it where the server's settings say."""
        with _translated("a kept mail cannot be marked"):
            if self._server.moved_to:
                if not self._box.folder.exists(self._server.moved_to):
                    self._box.folder.create(self._server.moved_to)
                self._box.move(str(uid), self._server.moved_to)
            else:
                self._box.flag(str(uid), _SEEN, True)

    def close(self) -> None:
        """Sign out; a connection that is gone is gone."""
        with contextlib.suppress(ImapToolsError, imaplib.IMAP4.error, OSError, EOFError):
            self._box.logout()
        self.abort()

    def abort(self) -> None:
        """Cut the connection at once, also from another thread while one waits in it."""
        with contextlib.suppress(OSError, AttributeError):
            self._box.client.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, imaplib.IMAP4.error, AttributeError):
            self._box.client.shutdown()


def _head(part: object) -> bytes:
    if isinstance(part, tuple):
        part = part[0]
    return part if isinstance(part, bytes) else b""
