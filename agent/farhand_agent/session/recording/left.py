"""Sends what dead session processes left of their recordings, when a link is there.

The resident agent does it, and on a guest device the next session process.  The chunks are sealed
and signed already, and nothing here opens or checks one: the resident agent holds neither age nor a
signature check.  So it takes the relay's word that a chunk is stored.  That
costs nothing: the device signed the chain, and a relay that drops a chunk leaves a visible gap.

A recording that the relay refuses stays where it is until the space is needed (`spool.make_room`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from farhand_agent.config import Home
from farhand_agent.notices import say
from farhand_agent.session.recording.spool import Spool, leftovers
from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import DeviceMessage, Nack, RecordingChunk, RelayMessage, Witnessed

__all__ = ["LeftRecordings"]

_PAUSE_S: Final = 30.0

Ask = Callable[[Callable[[int], DeviceMessage]], Awaitable[RelayMessage]]


class LeftRecordings:
    """Looks after the spools of one home.

    Args:
        home: of the device.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._refused: set[str] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the spools soon."""
        self._wake.set()

    async def deliver(self, ask: Ask) -> None:
        """Send over a link for as long as it lasts; runs until cancelled.

        Args:
            ask: sends a message over it and returns the answer.

        Raises:
            LinkLost, RemoteError: the link must be closed.
        """
        while True:
            self._wake.clear()
            await self.send_all(ask)
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def send_all(self, ask: Ask) -> None:
        """Send everything that is left now.

        Raises:
            LinkLost, RemoteError: as `ask`.
        """
        for spool in await asyncio.to_thread(leftovers, self._home):
            if spool.session not in self._refused:
                await self._send(spool, ask)

    async def _send(self, spool: Spool, ask: Ask) -> None:
        for index in await asyncio.to_thread(spool.waiting):
            try:
                head, ciphertext = await asyncio.to_thread(spool.get, index)
            except (OSError, FarhandError) as error:
                self._give_up(spool, str(error))
                return

            def build(
                seq: int, head: bytes = head, ciphertext: bytes = ciphertext
            ) -> RecordingChunk:
                return RecordingChunk(
                    seq=seq, session=spool.session, head=head, ciphertext=ciphertext
                )

            answer = await ask(build)
            if not isinstance(answer, Witnessed):
                code = answer.code[:60] if isinstance(answer, Nack) else "no answer that fits"
                self._give_up(spool, code)
                return
            await asyncio.to_thread(spool.drop, index)
        await asyncio.to_thread(spool.close)

    def _give_up(self, spool: Spool, why: str) -> None:
        self._refused.add(spool.session)
        say(f"the rest of the recording of {spool.session} stays on this device: {why}")
