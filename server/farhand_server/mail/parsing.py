"""A mail's bytes into what it says: never raises, and takes time in proportion to the bytes.

What is wrong with a mail is listed in `defects` by stable words, and the rest of it stands.  What
cannot be a message of a ticket says why in `quarantine`:

| quarantine | |
|---|---|
| `no-headers` | not a mail: empty, or it begins with something else |
| `no-sender` | nobody wrote it: no address in From, Sender or envelope, and no bounce |
| `too-large` | more than `MAX_MAIL_BYTES` |
| `too-many-parts`, `too-deep` | more parts, or parts in parts, than are looked at |
| `not-understood` | this module failed, which is a fault of it; the raw mail shows where |
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from farhand_server.mail.addresses import normalise_address, read_addresses
from farhand_server.mail.authentication import read_results
from farhand_server.mail.bodies import read_body
from farhand_server.mail.bounces import read_bounce
from farhand_server.mail.charsets import guess_text
from farhand_server.mail.classes import classify
from farhand_server.mail.dates import read_date
from farhand_server.mail.headers import clean_line, decode_header, unfold
from farhand_server.mail.limits import MAX_DEFECTS, MAX_MAIL_BYTES
from farhand_server.mail.message_ids import find_ids
from farhand_server.mail.monitoring import read_monitoring
from farhand_server.mail.parsed import Address, ParsedMail
from farhand_server.mail.parts import Part, TooMuch, read_header_block, read_parts
from farhand_server.mail.subjects import MAX_SUBJECT_CHARS

__all__ = ["parse"]

_LOG = logging.getLogger(__name__)

_ONCE: Final = ("from", "subject", "date", "message-id", "to", "content-type")
_DELIVERED: Final = ("delivered-to", "x-original-to", "envelope-to")
_MAX_DELIVERED: Final = 20
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}\Z")
_MAX_LANGUAGES: Final = 3
_THREAD_INDEX = re.compile(r"[A-Za-z0-9+/=]{1,1000}\Z")
_BODY = re.compile(rb"\r?\n\r?\n")


def parse(raw: bytes, envelope_from: str | None = None) -> ParsedMail:
    """Return what a mail says.

    Args:
        raw: the mail as it came, of any size.
        envelope_from: `MAIL FROM` of the delivery, "" for the null sender; None where the mail was
            fetched, and then its Return-Path counts.
    """
    try:
        return _parse(raw, envelope_from)
    except Exception as error:
        # A mail that we fail at must not stop the next one: it is kept, and shown to a person.
        _LOG.warning("a mail is not understood: %s", type(error).__name__)
        return ParsedMail(
            quarantine="not-understood", body_sha256=_body_sha256(raw), defects=("not-understood",)
        )


def _parse(raw: bytes, envelope_from: str | None) -> ParsedMail:
    digest = _body_sha256(raw)
    if len(raw) > MAX_MAIL_BYTES:
        return _quarantined(raw, envelope_from, digest, "too-large")
    try:
        root = read_parts(raw.lstrip(b"\r\n"))
    except TooMuch as error:
        return _quarantined(raw, envelope_from, digest, error.reason)
    head = _Head(root, envelope_from)
    if not any(True for _ in root.header_names()):
        return ParsedMail(quarantine="no-headers", body_sha256=digest, defects=head.told())
    mail = head.mail(digest)
    body = read_body(root)
    bounce = read_bounce(
        root,
        sender=mail.sender,
        return_path=mail.return_path,
        subject=mail.subject,
        text=body.text,
    )
    if mail.sender is None and bounce is None and mail.return_path != "":
        head.defects.append("no-sender")
        return msgspec.structs.replace(mail, quarantine="no-sender", defects=head.told())
    head.defects += body.defects
    return msgspec.structs.replace(
        mail,
        text=body.text,
        html=body.html,
        files=body.files,
        protection=body.protection,
        bounce=bounce,
        monitoring=read_monitoring(sender=mail.sender, subject=mail.subject, text=body.text),
        auto=classify(
            root, sender=mail.sender, return_path=mail.return_path, bounced=bounce is not None
        ),
        authentication=read_results(root.headers("authentication-results")),
        defects=head.told(),
    )


def _quarantined(raw: bytes, envelope_from: str | None, digest: str, reason: str) -> ParsedMail:
    # Whoever looks through the quarantine wants to see from whom it is and what it is about.
    head = _Head(read_header_block(raw), envelope_from)
    mail = head.mail(digest)
    head.defects.append(reason)
    return msgspec.structs.replace(mail, quarantine=reason, defects=head.told())


def _body_sha256(raw: bytes) -> str:
    end = _BODY.search(raw)
    body = raw[end.end() :] if end is not None else raw
    # The same mail has other line ends by LMTP than by IMAP, and perhaps an empty line more.
    return hashlib.sha256(body.replace(b"\r\n", b"\n").rstrip(b"\n")).hexdigest()


class _Head:
    """Reads the headers, and notes what is wrong with them."""

    def __init__(self, root: Part, envelope_from: str | None) -> None:
        self._root = root
        self._envelope = envelope_from
        self.defects: list[str] = []

    def told(self) -> tuple[str, ...]:
        """Return the defects, each once."""
        return tuple(dict.fromkeys(self.defects))[:MAX_DEFECTS]

    def mail(self, digest: str) -> ParsedMail:
        """Return what the headers say, without the body."""
        root = self._root
        names = list(root.header_names())
        self.defects += [f"{name}-twice" for name in _ONCE if names.count(name) > 1]
        if root.cut:
            self.defects.append("headers-cut")
        authors = self._addresses("from")
        if len(authors) > 1:
            self.defects.append("from-several")
        return_path = self._return_path()
        message_id = self._message_id()
        return ParsedMail(
            message_id=message_id,
            in_reply_to=self._ids("in-reply-to"),
            references=self._ids("references"),
            sender=self._sender(authors, return_path),
            authors=authors,
            reply_to=self._addresses("reply-to"),
            to=self._addresses("to"),
            cc=self._addresses("cc"),
            delivered_to=self._delivered(),
            return_path=return_path,
            subject=self._line("subject"),
            date=self._date(),
            languages=self._languages(),
            thread_index=self._thread_index(),
            thread_topic=self._line("thread-topic"),
            body_sha256=digest,
        )

    def _line(self, name: str) -> str:
        text, good = decode_header(self._root.header(name))
        if not good:
            self.defects.append(f"{name}-encoding")
        return clean_line(text, max_chars=MAX_SUBJECT_CHARS)

    def _addresses(self, name: str) -> tuple[Address, ...]:
        found, good = read_addresses(",".join(self._root.headers(name)))
        if not good:
            self.defects.append(f"{name}-malformed")
        return found

    def _sender(self, authors: tuple[Address, ...], return_path: str | None) -> Address | None:
        if authors:
            return authors[0]
        self.defects.append("from-missing")
        if named := self._addresses("sender"):
            return named[0]
        return Address(return_path) if return_path else None

    def _return_path(self) -> str | None:
        given: Iterable[str] = (
            self._root.headers("return-path") if self._envelope is None else (self._envelope,)
        )
        for value in given:
            inner = unfold(value).strip("<> ")
            if not inner:
                return ""
            if mail := normalise_address(inner):
                return mail
        return None

    def _ids(self, name: str) -> tuple[str, ...]:
        value = " ".join(self._root.headers(name))
        return find_ids(guess_text(value.encode("utf-8", "surrogateescape")))

    def _message_id(self) -> str:
        found = self._ids("message-id")
        if not self._root.header("message-id"):
            self.defects.append("message-id-missing")
        elif len(found) != 1:
            self.defects.append("message-id-malformed")
        return found[0] if found else ""

    def _delivered(self) -> tuple[str, ...]:
        mails: dict[str, Any] = {}
        for name in _DELIVERED:
            for value in self._root.headers(name):
                mails.update((one.mail, None) for one in read_addresses(value)[0])
        return tuple(mails)[:_MAX_DELIVERED]

    def _date(self) -> Any:
        value = self._root.header("date")
        found = read_date(unfold(value))
        if found is None:
            self.defects.append("date-malformed" if value else "date-missing")
        return found

    def _languages(self) -> tuple[str, ...]:
        tags = (tag.strip() for tag in self._root.header("content-language").split(","))
        return tuple(tag for tag in tags if _LANGUAGE.match(tag))[:_MAX_LANGUAGES]

    def _thread_index(self) -> str:
        value = "".join(self._root.header("thread-index").split())
        return value if _THREAD_INDEX.match(value) else ""
