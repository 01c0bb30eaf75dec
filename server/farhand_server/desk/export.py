"""A ticket as a file that outlives the desk: mbox for mail programs, HTML for people.

Pure.  Everything in it is foreign text: HTML is escaped, mail headers are encoded by the standard
library, and an mbox's `From ` lines are quoted.  Sources: RFC 5322, RFC 4155.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from email.header import Header
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr

from farhand_protocol.instants import parse_instant
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.timeline import Message

__all__ = ["export_html", "export_mbox"]

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}"
    "article{border-top:1px solid #999;padding:.5rem 0}pre{white-space:pre-wrap;font:inherit}"
    "header{color:#444}"
)
_FACTS = ("state", "kind", "queue", "priority", "requester", "owner", "created_at", "resolved_at")


def export_mbox(ticket: Ticket, messages: Sequence[Message]) -> bytes:
    """Return the thread as an mbox, one mail for each message, oldest first.

    Args:
        ticket: whose thread it is.
        messages: in the order they were written.

    Returns: bytes; empty without messages.
    """
    mails = []
    for message in messages:
        mail = MIMEText(message.body, "plain", "utf-8")
        mail["Subject"] = Header(f"[{message.ticket}] {ticket.title}", "utf-8").encode()
        mail["From"] = formataddr((message.author, "desk@invalid"))
        mail["Date"] = format_datetime(parse_instant(message.at))
        mail["Message-ID"] = f"<{message.ticket.lower()}.{message.seq}@invalid>"
        mail["X-Farhand-Kind"] = message.kind
        at = parse_instant(message.at).strftime("%a %b %d %H:%M:%S %Y")
        mails.append(f"From desk@invalid {at}\n".encode() + _quoted(mail.as_bytes()) + b"\n")
    return b"".join(mails)


def _quoted(mail: bytes) -> bytes:
    lines = mail.split(b"\n")
    return b"\n".join(
        b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in lines
    )


def export_html(ticket: Ticket, messages: Sequence[Message]) -> bytes:
    """Return the thread as one page without scripts or anything from elsewhere."""
    title = html.escape(f"{ticket.number}: {ticket.title}")
    facts = "".join(
        f"<dt>{name.replace('_', ' ')}</dt><dd>{html.escape(str(value))}</dd>"
        for name in _FACTS
        if (value := getattr(ticket, name)) is not None
    )
    thread = "".join(
        f"<article><header>{html.escape(one.at)} {html.escape(one.author)} "
        f"({html.escape(one.kind)}, {html.escape(one.ticket)})</header>"
        f"<pre>{html.escape(one.body)}</pre></article>"
        for one in messages
    )
    page = (
        f"<!doctype html><html><head><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><dl>{facts}</dl>{thread}</body></html>"
    )
    return page.encode()
