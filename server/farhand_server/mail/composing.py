"""A mail of ours as bytes: headers that thread everywhere, a plain part, an HTML part, files.

Pure.  Headers are written by our own hand over compat32, since the newer policy folds long
Message-IDs into words that nobody reads.  Sources: RFC 5322, RFC 2045, RFC 3834 for what marks an
automatic mail.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import format_datetime
from typing import Final, NamedTuple

from markdown_it import MarkdownIt

__all__ = ["Draft", "File", "compose", "html_of"]

_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP
_MAX_HEADER_CHARS: Final = 900
_STYLE: Final = "font:15px/1.5 sans-serif;max-width:46em"


class File(NamedTuple):
    """A file that goes along."""

    name: str
    media_type: str
    content: bytes


class Draft(NamedTuple):
    """What a mail is made of; addresses were checked, every other text may hold anything.

    `marker` is the line above which answers are read, `mark` its hashed form for machines; `link`
    the line with the address where its reader answers without an account.
    """

    message_id: str
    sender: str
    sender_name: str
    to: Sequence[str]
    cc: Sequence[str]
    subject: str
    text: str
    at: datetime
    in_reply_to: str = ""
    references: str = ""
    thread_index: str = ""
    thread_topic: str = ""
    auto: str = ""
    language: str = ""
    marker: str = ""
    mark: str = ""
    link: str = ""
    files: Sequence[File] = ()


def html_of(markdown: str) -> str:
    """Return Markdown as HTML: no markup of the writer's own, no images, no dangerous links."""
    renderer = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    renderer.enable("linkify").disable("image")
    return str(renderer.render(markdown))


def compose(draft: Draft) -> bytes:
    """Return a draft as a mail, with CRLF line ends."""
    both = MIMEMultipart("alternative")
    both.attach(_text(_plain_text(draft), "plain"))
    both.attach(_text(_html(draft), "html"))
    mail: Message = both
    if draft.files:
        mail = MIMEMultipart("mixed")
        mail.attach(both)
        for file in draft.files:
            mail.attach(_file(file))
    for name, value in _headers(draft):
        if value:
            mail[name] = value
    out = io.BytesIO()
    # No folding here: what must be folded was.
    BytesGenerator(out, mangle_from_=False, maxheaderlen=0).flatten(mail, linesep="\r\n")
    return out.getvalue()


def _headers(draft: Draft) -> list[tuple[str, str]]:
    own = f"<{draft.sender}>"
    name = _words(draft.sender_name, quote=True)
    fixed = [
        ("Date", format_datetime(draft.at)),
        ("From", f"{name} {own}" if name else own),
        ("To", _addresses(draft.to)),
        ("Cc", _addresses(draft.cc)),
        ("Reply-To", own),
        ("Subject", _words(draft.subject)),
        ("Message-ID", _token(draft.message_id)),
        ("In-Reply-To", _token(draft.in_reply_to)),
        ("References", "\r\n ".join(_token(draft.references, " ").split())),
        ("Thread-Index", _token(draft.thread_index)),
        ("Thread-Topic", _words(draft.thread_topic)),
        ("Content-Language", _token(draft.language)),
        ("X-Farhand-Mark", _token(draft.mark)),
    ]
    if draft.auto:
        fixed += [
            ("Auto-Submitted", draft.auto),
            ("X-Auto-Response-Suppress", "All"),
            ("Precedence", "auto_reply"),
        ]
    return fixed


def _addresses(addresses: Sequence[str]) -> str:
    return ",\r\n ".join(_token(one) for one in addresses)


def _token(text: str, others: str = "") -> str:
    """Return what is printable ASCII of a text; nothing in it can end a header."""
    kept = (one for one in text if one in others or (one.isascii() and one.isprintable()))
    return "".join(kept)[: 2 * _MAX_HEADER_CHARS]


def _words(text: str, *, quote: bool = False) -> str:
    """Return free text as a header carries it, folded."""
    plain = "".join(one if one.isprintable() else " " for one in text).strip()[:_MAX_HEADER_CHARS]
    if not plain.isascii():
        return Header(plain, "utf-8", maxlinelen=75).encode(linesep="\r\n")
    if quote and plain:
        return '"' + plain.replace("\\", "").replace('"', "") + '"'
    return Header(plain, "us-ascii", maxlinelen=75).encode(linesep="\r\n")


def _plain_text(draft: Draft) -> str:
    parts = [draft.marker, draft.text.strip(), draft.link, draft.mark]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(draft: Draft) -> str:
    marker = html_of(draft.marker) if draft.marker else ""
    mark = f'<p style="color:#999;font-size:11px">{_escaped(draft.mark)}</p>' if draft.mark else ""
    body = html_of(draft.text) + (html_of(draft.link) if draft.link else "")
    return (
        f'<!doctype html><html><head><meta charset="utf-8"></head>'
        f'<body style="{_STYLE}">{marker}\n{body}\n{mark}</body></html>\n'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(text: str, kind: str) -> Message:
    part = MIMENonMultipart("text", kind)
    part.set_payload(text.encode("utf-8", "replace").decode(), charset=_UTF8)
    return part


def _file(file: File) -> Message:
    main, _, sub = file.media_type.partition("/")
    fits = main.isalnum() and sub.replace("-", "").replace(".", "").replace("+", "").isalnum()
    if not fits or main in ("multipart", "message"):
        main, sub = "application", "octet-stream"
    part = MIMEBase(main, sub)
    part.set_payload(file.content)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", file.name))
    return part
