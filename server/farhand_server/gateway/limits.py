"""Every bound of the gateway in one struct, and the two counters that enforce rates.

`TokenBucket` paces what comes in (new connections); `Windows` counts misdeeds per key in a sliding
time (wrong codes, burned codes).  Both live in one node's memory: with several nodes each allows
its share, while one-time use itself is decided by rows in the database.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from farhand_protocol.frames import MAX_PIPE_MESSAGE_BYTES
from farhand_protocol.messages import MAX_MESSAGE_BYTES

__all__ = ["GatewayLimits", "TokenBucket", "Windows"]


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway allows; docs/limits.md has a row for each."""

    # Connections of a node; those that have not proved a key; of these, from one address.
    connections: int = 50_000
    unproved: int = 4_096
    unproved_per_address: int = 1_024
    guests: int = 1_000
    guests_per_address: int = 20
    # New links per second (measured: about 2,000 on one core), beyond it HTTP 503.
    accept_rate: float = 1_000.0
    accept_burst: int = 2_000
    # Devices per second that a node can take back after a restart; sets the reconnect window.
    capacity: float = 900.0
    drain_rate: float = 1_000.0

    prove_s: float = 10.0
    ping_s: int = 30
    handle_s: float = 30.0

    message_bytes: int = MAX_MESSAGE_BYTES
    # Keys that no organisation vouches for have no large messages to send.
    stranger_message_bytes: int = 64 * 1024
    inbox_messages: int = 64
    inbox_bytes: int = 1536 * 1024
    flood_messages: int = 4_096
    inbound_bytes: int = 256 * 1024 * 1024
    outbound_bytes: int = 4 * 1024 * 1024
    workers: int = 64

    pipe_message_bytes: int = MAX_PIPE_MESSAGE_BYTES
    pipe_write_bytes: int = 256 * 1024
    pipe_early_bytes: int = 512 * 1024
    pipe_token_s: float = 60.0
    pipes: int = 4_096

    conflict_probe_s: float = 5.0
    conflicts: int = 3
    conflict_window_s: float = 600.0

    nameplate_s: int = 600
    nameplate_rest_s: int = 24 * 3600
    wrong_codes_per_technician: int = 5
    wrong_codes_per_address: int = 10
    wrong_codes_window_s: float = 600.0
    wrong_codes_per_tenant: int = 100
    wrong_codes_tenant_window_s: float = 3600.0
    burns_per_device: int = 3
    burns_window_s: float = 900.0
    nameplates_per_guest_address: int = 20
    mailbox_body_bytes: int = 48 * 1024
    mailbox_phase_s: float = 20.0
    # Consent is asked within it: 60 s for the person, and time for the wire.
    mailbox_request_s: float = 100.0


class TokenBucket:
    """Lets `rate` things per second through, `burst` at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one; False when there is none."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Windows:
    """Counts events per key in a sliding window.

    Args:
        limit: how many events are allowed within `period_s`.
        period_s: length of the window in seconds.
        keys: how many keys are remembered; the one that was idle longest goes first, so a flood of
            made-up keys costs bounded memory.
    """

    __slots__ = ("_events", "_keys", "_limit", "_period_s")

    def __init__(self, limit: int, period_s: float, *, keys: int = 10_000) -> None:
        self._limit = limit
        self._period_s = period_s
        self._keys = keys
        self._events: dict[str, deque[float]] = {}

    def count(self, key: str, now: float) -> int:
        """Return how many events of `key` lie in the window."""
        events = self._events.get(key)
        if events is None:
            return 0
        while events and events[0] <= now - self._period_s:
            events.popleft()
        if not events:
            del self._events[key]
            return 0
        return len(events)

    def add(self, key: str, now: float) -> int:
        """Note an event and return the count."""
        self.count(key, now)
        # Moved to the end, so that the first key is the one idle longest.
        events = self._events.pop(key, None)
        if events is None:
            events = deque(maxlen=self._limit + 1)
            if len(self._events) >= self._keys:
                del self._events[next(iter(self._events))]
        events.append(now)
        self._events[key] = events
        return len(events)

    def wait_s(self, key: str, now: float) -> int:
        """Return 0 when `key` is under its limit, else the whole seconds until it is."""
        if self.count(key, now) < self._limit:
            return 0
        oldest = self._events[key][-self._limit]
        return max(1, math.ceil(oldest + self._period_s - now))
