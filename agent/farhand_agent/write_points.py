"""The journal's write points: each write has one, and tests end the process before or after it."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CLOCK_RAISED",
    "LOG_WRITTEN",
    "META_SET",
    "OFFER_REFUSED",
    "ORDER_ACCEPTED",
    "ORDER_FINAL",
    "ORDER_RUNNING",
    "OUTBOX_ACKED",
    "SECTION_ACKED",
    "SESSION_ENDED",
    "SESSION_GRANTED",
    "SESSION_RESUMED",
    "SESSION_STOPPING",
    "WRITE_POINTS",
]

ORDER_ACCEPTED: Final = "order-accepted"
ORDER_RUNNING: Final = "order-running"
ORDER_FINAL: Final = "order-final"
OFFER_REFUSED: Final = "offer-refused"
OUTBOX_ACKED: Final = "outbox-acked"
SESSION_GRANTED: Final = "session-granted"
SESSION_RESUMED: Final = "session-resumed"
SESSION_STOPPING: Final = "session-stopping"
SESSION_ENDED: Final = "session-ended"
SECTION_ACKED: Final = "section-acked"
CLOCK_RAISED: Final = "clock-raised"
LOG_WRITTEN: Final = "log-written"
META_SET: Final = "meta-set"
WRITE_POINTS: Final = (
    ORDER_ACCEPTED,
    ORDER_RUNNING,
    ORDER_FINAL,
    OFFER_REFUSED,
    OUTBOX_ACKED,
    SESSION_GRANTED,
    SESSION_RESUMED,
    SESSION_STOPPING,
    SESSION_ENDED,
    SECTION_ACKED,
    CLOCK_RAISED,
    LOG_WRITTEN,
    META_SET,
)
