"""Sends a recording's chunks to the relay while the session lasts, and takes its witnesses.

A few chunks are on their way at once, in order.  A chunk leaves the spool when the relay has
countersigned its head; a countersignature that is not the known relay's counts for nothing.  A lost
link costs a repetition.  What is left when the session ends is the resident agent's to send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from farhand_agent.session.recording.recorder import Recorder
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.messages import DeviceMessage, Nack, RecordingChunk, RelayMessage, Witnessed
from farhand_protocol.recording import Witness, check_witness, open_head

__all__ = ["RecordingUpload"]

_log = logging.getLogger(__name__)

WINDOW: Final = 4
PAUSE_S: Final = 1.0

Ask = Callable[[Callable[[int], DeviceMessage]], Awaitable[RelayMessage]]


class RecordingUpload:
    """Uploads one recording.

    Args:
        recorder: whose spool is sent; told of progress.
        ask: sends a message over the session's control link and returns its answer.
        relay_key: the pinned key of the relay; None on a guest device.
        pause_s: before a failed chunk is sent again.
    """

    def __init__(
        self,
        recorder: Recorder,
        ask: Ask,
        *,
        relay_key: bytes | None,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._recorder = recorder
        self._ask = ask
        self._relay_key = relay_key
        self._pause_s = pause_s
        self._is_refused = False
        self._empty = asyncio.Event()
        self._empty.set()

    async def run(self) -> None:
        """Send until cancelled, or until the relay refuses the recording."""
        spool, spooled = self._recorder.spool, self._recorder.spooled
        while not self._is_refused:
            spooled.clear()
            waiting = (await asyncio.to_thread(spool.waiting))[:WINDOW]
            if not waiting:
                self._empty.set()
                await spooled.wait()
                continue
            self._empty.clear()
            if not await self._send(waiting):
                await asyncio.sleep(self._pause_s)

    async def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more; False when the time is over or the relay refuses."""
        self._recorder.spooled.set()
        try:
            async with asyncio.timeout(timeout_s):
                while await asyncio.to_thread(self._recorder.spool.waiting):
                    if self._is_refused:
                        return False
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _send(self, indexes: list[int]) -> bool:
        """Send some chunks; True when all of them are witnessed."""
        # Sent in order, because tasks start in order; the answers are awaited together.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send_one(index)) for index in indexes]
        return all(task.result() for task in tasks)

    async def _send_one(self, index: int) -> bool:
        spool = self._recorder.spool
        try:
            head, ciphertext = await asyncio.to_thread(spool.get, index)
            answer = await self._ask(
                lambda seq: RecordingChunk(
                    seq=seq, session=spool.session, head=head, ciphertext=ciphertext
                )
            )
            if isinstance(answer, Nack):
                return self._nack(answer)
            self._check(head, answer)
        except (FarhandError, OSError) as error:
            _log.info("chunk %d of the recording waits: %s", index, error)
            return False
        await asyncio.to_thread(spool.drop, index)
        self._recorder.moved()
        return True

    def _nack(self, answer: Nack) -> bool:
        # A gap only means that an earlier chunk was lost on the way, and that one goes first.
        if answer.code != "recording-gap" and not self._is_refused:
            self._is_refused = True
            self._empty.set()
            _log.warning("the relay refuses the recording: %s", answer.code[:60])
            self._recorder.refused("the relay refuses the recording")
        return False

    def _check(self, head: bytes, answer: RelayMessage) -> None:
        if not isinstance(answer, Witnessed):
            raise RemoteError("message-malformed", "the relay's answer fits no chunk")
        if self._relay_key is None:
            return
        witness = Witness(at=answer.at, relay_key=self._relay_key, signature=answer.signature)
        check_witness(open_head(head), witness, relay_key=self._relay_key)
