"""What was understood of one mail: the structs that the rest of the mail package hands on.

Everything in here was written by a stranger and is bounded and cleaned (no control characters, no
lone surrogates, no NUL), but not judged: a `From` can be anybody's.  `html` is exactly as hostile
as it came; it goes to nobody but through `mail.rendering`.  What could not be understood is named
in `defects`; a mail that could not be understood at all says why in `quarantine` and has nothing
else that can be trusted to be there.  The raw bytes are the caller's and are kept whatever is said
here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

__all__ = [
    "Address",
    "AuthResult",
    "AutoClass",
    "AutoKind",
    "Bounce",
    "FailedRecipient",
    "MailFile",
    "MonitoringEvent",
    "ParsedMail",
    "Protection",
]

AutoKind = Literal["person", "reply", "generated", "bulk", "list", "bounce", "loop"]
Protection = Literal["", "signed", "encrypted"]


class Address(msgspec.Struct, frozen=True):
    """One address: `mail` in the form that addresses are compared in (lower case, IDN as ASCII)."""

    mail: str
    name: str = ""


class MailFile(msgspec.Struct, frozen=True, kw_only=True):
    """A part that is kept as a file and never opened.

    `name` is one safe, printable file name, unlike those of its neighbours; `media_type` is what
    the sender claims.  `inline_cid` is the Content-ID, without brackets, of a part that the HTML
    may show; it is empty for all others.
    """

    place: int
    name: str
    media_type: str
    content: bytes
    inline_cid: str = ""


class AutoClass(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a person wrote this mail, and what says that none did."""

    kind: AutoKind = "person"
    reasons: tuple[str, ...] = ()

    @property
    def auto(self) -> bool:
        """Tell whether no person wrote it: it is kept, never answered, and reopens nothing."""
        return self.kind != "person"


class FailedRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """One address that a bounce is about.

    `permanent` is None where the bounce does not say; `delayed` means that the other side still
    tries, so nothing has failed yet.
    """

    mail: str
    status: str = ""
    permanent: bool | None = None
    delayed: bool = False
    words: str = ""


class Bounce(msgspec.Struct, frozen=True, kw_only=True):
    """A report that a mail did not arrive.

    `original_ids` are the Message-IDs of what came back, likeliest first; which of them are ours
    says `mail.message_ids.read_message_id`, or the table of sent mail.  `original_subject` may
    hold a ticket's tag.
    """

    original_ids: tuple[str, ...] = ()
    original_subject: str = ""
    recipients: tuple[FailedRecipient, ...] = ()

    @property
    def permanent(self) -> bool:
        """Tell whether somebody's address failed for good."""
        return any(one.permanent and not one.delayed for one in self.recipients)


class MonitoringEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A mail of a monitoring program: mails with one `fingerprint` are about one trouble."""

    program: Literal["nagios", "icinga", "check_mk"]
    state: Literal["problem", "recovery", "other"]
    fingerprint: str
    host: str
    service: str = ""
    summary: str = ""


class AuthResult(msgspec.Struct, frozen=True, kw_only=True):
    """One result of an `Authentication-Results` header, which anybody may have written.

    `header` counts them from the topmost one; `server` is who says so, `domain` of whom.
    """

    header: int
    server: str
    method: str
    result: str
    domain: str


class ParsedMail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail.

    Message-IDs stand with their angle brackets.  `references` goes from the root to the newest.
    `return_path` is None where nothing says it and "" for the null sender.  `text` is what a
    person reads, history and signature included (`mail.folding` says what of it to fold), made of
    the HTML where there is no plain text.  `body_sha256` is over the body as it came: with mailbox
    and Message-ID it tells whether the same mail came twice.
    """

    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    sender: Address | None = None
    authors: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    delivered_to: tuple[str, ...] = ()
    return_path: str | None = None
    subject: str = ""
    date: datetime | None = None
    text: str = ""
    html: str = ""
    files: tuple[MailFile, ...] = ()
    protection: Protection = ""
    languages: tuple[str, ...] = ()
    thread_index: str = ""
    thread_topic: str = ""
    auto: AutoClass = AutoClass()
    authentication: tuple[AuthResult, ...] = ()
    bounce: Bounce | None = None
    monitoring: MonitoringEvent | None = None
    body_sha256: str = ""
    defects: tuple[str, ...] = ()
    quarantine: str = ""
