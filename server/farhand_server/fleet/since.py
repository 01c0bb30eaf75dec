"""Since when: what people write to say it.

2026-03-01T08:00:00Z     a time (RFC 3339)
2026-03-01               the beginning of that day, in UTC
today, yesterday         the same
30m 24h 7d 2w            so long ago
s-...                    when that session began
FH-12                    when that ticket was made
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import is_session_id
from farhand_protocol.instants import parse_instant
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import sessions, tickets

__all__ = ["parse_since", "since_when"]

_AGO: Final = re.compile(r"([0-9]{1,4})([mhdw])\Z", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TICKET: Final = re.compile(r"fh-([0-9]{1,9})\Z", re.IGNORECASE | re.ASCII)


async def since_when(c: AsyncConnection, relay: Relay, text: str) -> datetime:
    """Return the time that `text` says.

    Raises:
        FarhandError: `since-invalid`, or `not-found` for a session or ticket that is not there.
    """
    ref = text.strip()
    if is_session_id(ref.lower()):
        begun = select(sessions.c.started_at, sessions.c.created_at).where(
            sessions.c.tenant == relay.tenant, sessions.c.id == ref.lower()
        )
        session = (await c.execute(begun)).first()
        if session is None:
            raise not_found("session", ref)
        return parse_instant(session.started_at or session.created_at)
    if match := _TICKET.match(ref):
        made = await c.scalar(
            select(tickets.c.created_at).where(
                tickets.c.tenant == relay.tenant, tickets.c.number == int(match[1])
            )
        )
        if made is None:
            raise not_found("ticket", ref)
        return parse_instant(made)
    return parse_since(text, relay.now())


def parse_since(text: str, now: datetime) -> datetime:
    """Read a time, a day, or how long ago.

    Raises:
        FarhandError: `since-invalid`.
    """
    text = text.strip()
    if ago := _AGO.match(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text.lower() in ("today", "yesterday"):
        return midnight - timedelta(days=text.lower() == "yesterday")
    try:
        return parse_instant(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except (FarhandError, OverflowError) as error:
        raise FarhandError(
            "since-invalid",
            f"{text[:40]!r} is neither a time nor a length of time",
            hint="write 7d, 24h, yesterday, 2026-03-01T08:00:00Z, or a session or ticket",
        ) from error
