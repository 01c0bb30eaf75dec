"""Where heads of the audit are sent to, out of reach of whoever holds the relay.

    file:PATH               one JSON line is appended (a mounted share, or what a shipper reads)
    syslog:HOST:PORT        one UDP datagram, RFC 5424, facility 13 (log audit), severity 5
    mail:ADDRESS@SMTP       one message; SMTP is HOST[:PORT] (25), STARTTLS where offered

A setting names several with spaces between.  Everything here blocks for at most `SINK_TIMEOUT_S`
at a time; the caller brings a thread.  None of it asks for a password: a sink that needs one is a
relay of the organisation's own, on its own network.
"""

from __future__ import annotations

import os
import smtplib
import socket
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Final, Literal

from farhand_protocol.audit import AuditHead, encode_head
from farhand_protocol.complaints import plain_reason
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["MAX_SINKS", "SINK_TIMEOUT_S", "Sink", "parse_sinks"]

MAX_SINKS: Final = 4
SINK_TIMEOUT_S: Final = 5.0
# RFC 5424 s6.2.1: facility 13 (log audit) * 8 + severity 5 (notice).
_PRIORITY: Final = 13 * 8 + 5


@dataclass(frozen=True, kw_only=True)
class Sink:
    """One place; `text` as it was configured.

    `target` is the path or the mail address, `host` and `port` those of syslog or SMTP.
    """

    kind: Literal["file", "syslog", "mail"]
    text: str
    target: str = ""
    host: str = ""
    port: int = 0

    def send(self, head: AuditHead) -> None:
        """Send one head; blocks.

        Raises:
            FarhandError: `audit-sink`, when it is known not to have arrived.
        """
        try:
            match self.kind:
                case "file":
                    self._append(encode_head(head) + b"\n")
                case "syslog":
                    self._datagram(head)
                case "mail":
                    self._mail(head)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise FarhandError(
                "audit-sink",
                f"the head of the audit did not reach {self.text}: {_why(error)}",
            ) from error

    def examine(self) -> None:
        """See whether heads could arrive, without sending one; blocks.

        Raises:
            FarhandError: `audit-sink`.
        """
        try:
            match self.kind:
                case "file":
                    self._append(b"")
                case "syslog":
                    # Nobody answers a datagram; that the name is known is all that shows.
                    socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
                case "mail":
                    with self._smtp() as smtp:
                        smtp.noop()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise FarhandError(
                "audit-sink",
                f"heads of the audit do not reach {self.text}: {_why(error)}",
            ) from error

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.target, flags, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _datagram(self, head: AuditHead) -> None:
        name = socket.gethostname() or "-"
        text = f"<{_PRIORITY}>1 {head.at} {name} farhand-server - audit-head - "
        family, kind, _, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as datagrams:
            datagrams.settimeout(SINK_TIMEOUT_S)
            datagrams.sendto(text.encode() + encode_head(head), address)

    def _smtp(self) -> smtplib.SMTP:
        smtp = smtplib.SMTP(self.host, self.port, timeout=SINK_TIMEOUT_S)
        smtp.ehlo()
        if smtp.has_extn("starttls"):
            smtp.starttls()
            smtp.ehlo()
        return smtp

    def _mail(self, head: AuditHead) -> None:
        # Lines as they are: the message can be kept as a file, and read as one.
        message = EmailMessage(policy=SMTP.clone(max_line_length=998))
        message["Subject"] = f"Farhand audit head {head.seq} of {head.owner}"
        message["From"] = message["To"] = self.target
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(
            encode_head(head).decode() + "\n\n"
            "Keep this message: farhand audit verify --heads FILE tells from it whether a record\n"
            "of the audit was changed or cut off since.\n"
        )
        with self._smtp() as smtp:
            smtp.send_message(message)


def parse_sinks(text: str) -> list[Sink]:
    """Read the setting.

    Raises:
        UsageError: `audit-sink-malformed`.
    """
    words = text.split()
    if len(words) > MAX_SINKS:
        raise _malformed(f"more than {MAX_SINKS} places")
    return [_parse(word) for word in words]


def _parse(word: str) -> Sink:
    kind, _, rest = word.partition(":")
    match kind:
        case "file" if rest and Path(rest).is_absolute():
            return Sink(kind="file", text=word, target=rest)
        case "syslog":
            host, port = _host_port(rest, None)
            return Sink(kind="syslog", text=word, host=host, port=port)
        case "mail":
            address, _, server = rest.rpartition("@")
            if "@" in address.strip("@") and address.isprintable() and address.isascii():
                host, port = _host_port(server, 25)
                return Sink(kind="mail", text=word, target=address, host=host, port=port)
    raise _malformed(repr(word[:80]))


def _why(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        # A stranger's words, in a log and on a terminal.
        return f"its mail server answered {error.smtp_code} {ascii(error.smtp_error)[:200]}"
    if isinstance(error, smtplib.SMTPException):
        return f"its mail server did not take it ({type(error).__name__})"
    return plain_reason(error)


def _host_port(text: str, default: int | None) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon and default is not None:
        host, port = text, str(default)
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise _malformed(repr(text[:80]))
    return host, int(port)


def _malformed(what: str) -> UsageError:
    return UsageError(
        "audit-sink-malformed",
        f"{what} is no place to send heads of the audit to",
        hint="file:/PATH, syslog:HOST:PORT or mail:ADDRESS@SMTP-HOST[:PORT]",
    )
