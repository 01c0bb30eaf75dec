"""The blind splice: two websockets of one session joined, message by message, undecoded.

    offer(session, number)   two tokens, each for one attachment of one side, valid for a minute
    attach                   the first frame of `/pipe` names side, session and token
    joined                   both sides are there: whatever one sends, the other gets
    one side gone            the other is closed with `CLOSE_REATTACH`: ask for new tokens

A side that waits for the other is not read from, and waits as long as its token was good for.
Backpressure goes through: when one side does not take what it is sent, the other is not read
from, so a splice holds at most one write buffer and one read in each direction.
"""

from __future__ import annotations

import logging
import secrets
from typing import Literal

from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.frames import TOKEN_BYTES, Side, parse_attach, write_attach_reply
from farhand_server.clock import Clock
from farhand_server.gateway import heartbeat
from farhand_server.gateway.doorway import Doorway
from farhand_server.gateway.limits import GatewayLimits
from farhand_server.gateway.protocol import (
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CLOSE_RESTART,
    HOLD_PEER,
    Connection,
)
from farhand_server.gateway.timers import TimerWheel

__all__ = ["CLOSE_ENDED", "CLOSE_REATTACH", "MAX_PIPES_PER_SESSION", "Pipes"]

logger = logging.getLogger(__name__)

# Close codes of the private range (RFC 6455 s7.4.2).
CLOSE_REATTACH = 4001
CLOSE_ENDED = 4002

MAX_PIPES_PER_SESSION = 8

_OTHER: dict[Side, Side] = {"device": "console", "console": "device"}
_State = Literal["new", "waiting", "joined", "over"]


class Splice:
    """The two places of one pipe; it lies on the wheel until both are taken."""

    __slots__ = ("_pipes", "deadline", "ends", "number", "session", "tokens")

    def __init__(self, pipes: Pipes, session: str, number: int) -> None:
        self._pipes = pipes
        self.session = session
        self.number = number
        self.tokens: dict[Side, bytes] = {
            "device": secrets.token_bytes(TOKEN_BYTES),
            "console": secrets.token_bytes(TOKEN_BYTES),
        }
        self.ends: dict[Side, PipeEnd] = {}
        self.deadline = 0.0

    def on_deadline(self, now: float) -> None:
        """Give up on a side that never came."""
        self._pipes.drop(self, CLOSE_REATTACH, "pipe-half-open")


class PipeEnd:
    """One websocket on `/pipe`."""

    __slots__ = ("_connection", "_early", "_pipes", "_side", "_splice", "_state", "partner")

    def __init__(self, pipes: Pipes, connection: Connection) -> None:
        self._pipes = pipes
        self._connection = connection
        self._state: _State = "new"
        self._side: Side | None = None
        self._splice: Splice | None = None
        self._early: list[bytes] = []
        self.partner: PipeEnd | None = None

    def on_message(self, data: bytes) -> None:
        """Attach with the first message; copy all others."""
        partner = self.partner
        if partner is not None:
            self._pipes.bytes_spliced += len(data)
            partner._connection.send(data)
        elif self._state == "new":
            self._attach(data)
        elif self._state == "waiting":
            # What came in the same read as the attachment; after it reading is held.
            self._early.append(data)
            if sum(len(part) for part in self._early) > self._pipes.limits.pipe_early_bytes:
                self.close(CLOSE_POLICY, "pipe-early")

    def _attach(self, frame: bytes) -> None:
        try:
            side, session, token = parse_attach(frame)
        except RemoteError as error:
            self._refuse(error.code)
            return
        splice = self._pipes.redeem(side, session, token)
        if splice is None:
            self._connection.send(write_attach_reply(False))
            self._refuse("attach-refused")
            return
        limits = self._pipes.limits
        self._side, self._splice, self._state = side, splice, "waiting"
        self._connection.allow(limits.pipe_message_bytes, write_high_bytes=limits.pipe_write_bytes)
        self._connection.hold(HOLD_PEER)
        heartbeat.begin(self._connection, self._pipes.now(), limits.ping_s)
        self._connection.send(write_attach_reply(True))
        self._pipes.attached(splice, side, self)

    def _refuse(self, code: str) -> None:
        self._pipes.refused += 1
        logger.info("pipe refused from %s: %s", self._connection.address, code)
        self.close(CLOSE_POLICY, code)

    def join(self, partner: PipeEnd) -> None:
        """Copy to `partner` from now on."""
        self._state = "joined"
        self.partner = partner
        early, self._early = self._early, []
        for data in early:
            self._pipes.bytes_spliced += len(data)
            partner._connection.send(data)
        self._connection.release(HOLD_PEER)

    def on_writable(self, writable: bool) -> None:
        """Stop or resume reading from the other side."""
        if self.partner is not None:
            if writable:
                self.partner._connection.release(HOLD_PEER)
            else:
                self.partner._connection.hold(HOLD_PEER)

    def on_deadline(self, now: float) -> None:
        """Give up on a side that never attached; else beat."""
        if self._state == "new":
            self._refuse("attach-timeout")
        elif not heartbeat.beat(self._connection, now, self._pipes.limits.ping_s):
            self._connection.abort()

    def on_lost(self, code: int, reason: str) -> None:
        """Close the other side, telling it whether the pipe may come back."""
        connection = self._connection
        splice, self._splice = self._splice, None
        self._state = "over"
        if splice is None:
            return
        logger.info(
            "pipe %s/%d %s closed: %d %s, in %d out %d bytes, %.1f s",
            splice.session,
            splice.number,
            self._side,
            code,
            reason,
            connection.bytes_in,
            connection.bytes_out,
            self._pipes.now() - connection.opened_at,
        )
        if code in (CLOSE_NORMAL, CLOSE_RESTART, CLOSE_ENDED):
            self._pipes.drop(splice, code, reason)
        else:
            self._pipes.drop(splice, CLOSE_REATTACH, "pipe-detached")

    def close(self, code: int, reason: str) -> None:
        """Close this websocket."""
        self._early = []
        self.partner = None
        self._connection.close(code, reason)


class Pipes:
    """All splices of this node.

    Args:
        clock: its monotonic time is used.
        wheel: the node's timer wheel.
        limits: bounds.
    """

    def __init__(self, *, clock: Clock, wheel: TimerWheel, limits: GatewayLimits) -> None:
        self._clock = clock
        self._wheel = wheel
        self.limits = limits
        self._doorway: Doorway | None = None
        self._splices: dict[tuple[str, int], Splice] = {}
        self._by_token: dict[bytes, tuple[Splice, Side]] = {}
        self.bytes_spliced = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._splices)

    def now(self) -> float:
        """Return the monotonic time."""
        return self._clock.monotonic()

    def use(self, doorway: Doorway) -> None:
        """Tell this doorway which connections have shown a token."""
        self._doorway = doorway

    def make_endpoint(self, connection: Connection) -> PipeEnd:
        """Return the endpoint of a new websocket on `/pipe`."""
        self._wheel.set(connection, self.now() + self.limits.prove_s)
        return PipeEnd(self, connection)

    def offer(self, session: str, number: int) -> Splice:
        """Draw two fresh tokens for one pipe; what was attached there before is closed.

        Raises:
            FarhandError: `pipe-number` when `number` is not 0 to 7, `relay-full` when the node has
                no room for another pipe.
        """
        if not 0 <= number < MAX_PIPES_PER_SESSION:
            raise FarhandError("pipe-number", "a session has the pipes 0 to 7")
        old = self._splices.get((session, number))
        if old is not None:
            self.drop(old, CLOSE_REATTACH, "pipe-replaced")
        elif len(self._splices) >= self.limits.pipes:
            raise FarhandError("relay-full", "this relay has no room for another pipe")
        splice = Splice(self, session, number)
        self._splices[session, number] = splice
        for side, token in splice.tokens.items():
            self._by_token[token] = (splice, side)
        self._wheel.set(splice, self.now() + self.limits.pipe_token_s)
        return splice

    def free_number(self, session: str) -> int:
        """Return the highest pipe of a session that nobody holds.

        Consoles count from 0, so the two meet last.

        Raises:
            FarhandError: `session-busy` when all eight are taken.
        """
        for number in reversed(range(MAX_PIPES_PER_SESSION)):
            if (session, number) not in self._splices:
                return number
        raise FarhandError("session-busy", "all eight pipes of the session are taken")

    def redeem(self, side: Side, session: str, token: bytes) -> Splice | None:
        """Take a token, which then is used up whatever comes of it; None if it gives no place."""
        found = self._by_token.pop(token, None)
        if found is None:
            return None
        splice, its_side = found
        del splice.tokens[its_side]
        return splice if (its_side, splice.session) == (side, session) else None

    def attached(self, splice: Splice, side: Side, end: PipeEnd) -> None:
        """Put an end in its place, and join both when the other is there."""
        if self._doorway is not None:
            self._doorway.proved(end._connection)
        splice.ends[side] = end
        other = splice.ends.get(_OTHER[side])
        if other is not None:
            self._wheel.cancel(splice)
            end.partner, other.partner = other, end
            other.join(end)
            end.join(other)

    def drop(self, splice: Splice, code: int, reason: str) -> None:
        """Forget a splice and close what is attached to it."""
        if self._splices.get((splice.session, splice.number)) is splice:
            del self._splices[splice.session, splice.number]
        self._wheel.cancel(splice)
        for token in splice.tokens.values():
            self._by_token.pop(token, None)
        splice.tokens.clear()
        ends, splice.ends = splice.ends, {}
        for end in ends.values():
            end.close(code, reason)

    def drop_half_open(self, session: str) -> None:
        """Let go of the pipes of a session at which a console waits for the device."""
        for number in range(MAX_PIPES_PER_SESSION):
            splice = self._splices.get((session, number))
            if splice is not None and "device" not in splice.ends:
                self.drop(splice, CLOSE_REATTACH, "pipe-half-open")

    def end_session(self, session: str) -> None:
        """Close every pipe of a session that is over."""
        for number in range(MAX_PIPES_PER_SESSION):
            splice = self._splices.get((session, number))
            if splice is not None:
                self.drop(splice, CLOSE_ENDED, "session-ended")

    def drain(self) -> None:
        """Close every pipe because the node stops."""
        for splice in list(self._splices.values()):
            self.drop(splice, CLOSE_RESTART, "relay-restart")
