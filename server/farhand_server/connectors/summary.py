"""What another desk is told of a session or a ticket: a summary, a link, minutes and a hash.

Never a one-time code, a transcript or what was said on the ticket.  The summary is the closing note
that a person wrote for the ticket, without anything in it that looks like a code.  Where strangers
read (`is_public`), it is not given out either.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from farhand_server.desk.references import format_number
from farhand_server.relay import Relay
from farhand_server.sessions.rows import Session

__all__ = ["MAX_SUMMARY_CHARS", "of_session", "of_ticket", "without_codes"]

MAX_SUMMARY_CHARS: Final = 2000
# Wider than the alphabet of codes: whoever mistypes one has still said most of it.
_CODE: Final = re.compile(r"\b[0-9]{4,6}[\W_]{0,3}[0-9A-Za-z]{3}[\W_]{0,3}[0-9A-Za-z]{3}\b")


def without_codes(text: str) -> str:
    """Return a text without what looks like a one-time code."""
    return _CODE.sub("[removed]", text)[:MAX_SUMMARY_CHARS]


def of_session(relay: Relay, session: Session, *, ticket: int | None) -> dict[str, Any]:
    """Return what goes into the outbox when a session has ended."""
    minutes = math.ceil(session.active_s / 60)
    lines = [f"Remote session of {minutes} min, ended {(session.ended_at or '')[:16]} UTC."]
    if session.receipt_sha256:
        lines.append(f"Receipt SHA-256: {session.receipt_sha256}")
    return {
        "text": "\n".join(lines),
        "summary": without_codes(session.note.strip()),
        "minutes": minutes,
        "link": _link(relay, ticket, session.session),
    }


def of_ticket(relay: Relay, number: int, note: str) -> dict[str, Any]:
    """Return what goes into the outbox when a ticket was resolved."""
    return {
        "text": f"Resolved as {format_number(number)}.",
        "summary": without_codes(note.strip()),
        "minutes": 0,
        "link": _link(relay, number, format_number(number)),
    }


def _link(relay: Relay, ticket: int | None, what: str) -> dict[str, str]:
    """Return an address by which people here find it; it opens nothing to anybody else."""
    url = relay.settings.url
    named = format_number(ticket) if ticket is not None else what
    return {
        "url": f"{url}/#{named}",
        "title": f"Farhand {named}",
        "global_id": f"system={url}&id={what}",
    }
