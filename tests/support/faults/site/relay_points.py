"""The relay's write points: what each transaction stores that somebody will rely on.

A point is named by the statement that makes its transaction matter, so the product needs no names
for them, and it does not matter whether one thing is written in a transaction or many.  Read by
`sitecustomize` inside the relay's process, and by the tests.
"""

from __future__ import annotations

import re

__all__ = ["RELAY_POINTS", "points_of"]

# Name to what its SQL begins with; statements are looked at with single spaces.
RELAY_POINTS = {
    "answer-claimed": "INSERT INTO idempotency_keys ",
    "answer-kept": "UPDATE idempotency_keys SET status",
    "audit-appended": "INSERT INTO audit ",
    "device-enrolled": "INSERT INTO devices ",
    "message-appended": "INSERT INTO ticket_messages ",
    "order-accepted": "INSERT INTO orders ",
    "order-advanced": "UPDATE orders SET state",
    "receipt-stored": "UPDATE sessions SET .*receipt_sha256=",
    "result-stored": "UPDATE orders SET .*result=",
    "section-stored": "INSERT INTO sections ",
    "session-active": "UPDATE sessions SET .*started_at=",
    "session-ended": "UPDATE sessions SET .*ended_at=",
    "session-opened": "INSERT INTO sessions ",
    "signin-used": "UPDATE api_tokens SET used_at",
    "ticket-made": "INSERT INTO tickets ",
    "time-recorded": "INSERT INTO time_entries ",
    "token-used": "UPDATE enrolment_tokens SET uses_left",
}
_PATTERNS = {name: re.compile(start) for name, start in RELAY_POINTS.items()}


def points_of(statement: str) -> list[str]:
    """Return the points that a SQL statement passes."""
    line = " ".join(statement.split())
    return [name for name, pattern in _PATTERNS.items() if pattern.match(line)]
