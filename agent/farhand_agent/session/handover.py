"""The operator of a session goes and leaves it to a peer who joined.

The subsystem `farhand-handover` is for whoever opened the session.  The console sends
`{"hand_over": true}` and gets `{"handed_over": OPERATOR}`, the peer who joined first, or
`{"error": "handover-nobody"}`, and the session is as it was.

    first    a peer is in, journalled   -> over    the peer leads; the first key opens nothing
    over     the answer is written      -> gone    the first operator's connections end

There is no way back: she may not join again, and when the peer has to go the session ends.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from farhand_agent.session.grant import read_grant
from farhand_agent.session.joining import SessionJoining
from farhand_agent.session.onlookers import tell_handed_over
from farhand_agent.session.roll import Roll
from farhand_agent.session.subsystems import Lines
from farhand_protocol.envelopes import encode_envelope
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant

__all__ = ["SessionHandover"]

_log = logging.getLogger(__name__)

_MAX_LINE: Final = 1024
_GONE: Final = "session-ended: you handed the session over"


class SessionHandover:
    """Serves `farhand-handover` for one session.

    Args:
        grant: with which the session was opened.
        roll: who is in it.
        joining: writes down who has it.
    """

    def __init__(self, grant: Grant, roll: Roll, joining: SessionJoining) -> None:
        self._grant = grant
        self._roll = roll
        self._joining = joining
        self._lock = asyncio.Lock()

    async def serve(self, lines: Lines) -> None:
        """Hold one conversation: one wish, one answer."""
        try:
            wish = msgspec.json.decode(await lines.read_line(_MAX_LINE), type=dict[str, bool])
        except (FarhandError, msgspec.MsgspecError, RecursionError) as error:
            _log.info("a wish to hand over cannot be read: %s", error)
            return
        async with self._lock:
            peers = [one for one in self._roll.members if one.mode == "peer"]
            if wish.get("hand_over") is not True or self._roll.lead or not peers:
                await lines.write(b'{"error":"handover-nobody"}\n')
                return
            peer = peers[0]
            await self._joining.hand_over(peer)
        try:
            await lines.write(msgspec.json.encode({"handed_over": peer.operator}) + b"\n")
        except OSError as error:
            _log.info("the first operator was gone already: %s", error)
        finally:
            self._roll.on_gone(None, _GONE)
        await self._joining.tell_relay(peer)
        if self._grant.transcript is None:
            await tell_handed_over(read_grant(encode_envelope(peer.envelope)), self._grant.operator)
