"""Sends the head of the audit out, every hour and at the end.

What a relay keeps of itself, whoever takes the relay can rewrite; what left it stays.  A head goes
to each place of `--audit-heads` (head_sinks.py) when the audit has grown since it last got there.
A place that does not take it is warned of once, tried again at the next turn, and holds up nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from farhand_protocol.audit import AuditHead
from farhand_protocol.errors import FarhandError
from farhand_server.head_sinks import Sink, parse_sinks
from farhand_server.relay import Relay

__all__ = ["HeadSender", "make_head_sender"]

_log = logging.getLogger(__name__)

LAST_SEND_S: Final = 5.0


def make_head_sender(relay: Relay) -> HeadSender:
    """Return the relay's sender."""
    return HeadSender(relay, parse_sinks(relay.settings.audit_heads))


class HeadSender:
    """Brings heads to their places.

    Args:
        relay: the wiring.
        sinks: the places.

    Attributes:
        troubles: the places that did not take the last head, with the words why.
    """

    def __init__(self, relay: Relay, sinks: list[Sink]) -> None:
        self._relay = relay
        self._sinks = sinks
        self._sent: dict[str, int] = {}
        # One thread at a time, however slow the places are.
        self._turn = asyncio.Lock()
        self.troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Send at the start and after every interval, for ever."""
        while self._sinks:
            await self.send()
            await asyncio.sleep(self._relay.settings.audit_heads_every_s)

    async def finish(self) -> None:
        """Send once more before the relay goes, without holding it up."""
        try:
            async with asyncio.timeout(LAST_SEND_S):
                await self.send()
        except TimeoutError:
            _log.warning("the last head of the audit was not sent in time")

    async def send(self) -> None:
        """Send the present head to each place that does not have it."""
        if not self._sinks:
            return
        async with self._turn:
            try:
                async with self._relay.db.read() as c:
                    head = await self._relay.audit.head(c)
            except FarhandError as error:
                _log.warning("no head of the audit to send: %s", error)
                return
            for sink in self._sinks:
                if self._sent.get(sink.text) != head.seq:
                    await self._send(sink, head)

    async def _send(self, sink: Sink, head: AuditHead) -> None:
        try:
            await asyncio.to_thread(sink.send, head)
        except FarhandError as error:
            if self.troubles.get(sink.text) != error.message:
                self.troubles[sink.text] = error.message
                _log.warning("%s", error)
            return
        self._sent[sink.text] = head.seq
        self.troubles.pop(sink.text, None)
