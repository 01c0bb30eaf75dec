"""The recording of one open session: its recorder, its upload, and what happens in a stall.

begin    -> recording    folder and chain are there, both tasks run
finish   -> ended        the end is written; the receipt gets its mark; the upload goes on
leave    -> paused       what is left is written, but no end (see `Recorder.pause`)
close    -> gone         what the relay has not witnessed is left to the resident agent
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from farhand_agent.config import Home
from farhand_agent.session.recording.plan import RecordingPlan
from farhand_agent.session.recording.recorder import Recorder
from farhand_agent.session.recording.screen import RecordedScreen
from farhand_agent.session.recording.spool import Spool, make_room
from farhand_agent.session.recording.streams import RecordedStreams
from farhand_agent.session.recording.upload import Ask, RecordingUpload
from farhand_agent.session.shell import Streams
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.grants import Action, RecordingMark
from farhand_protocol.keys import Signer

__all__ = ["STALLED", "SessionRecording"]

_log = logging.getLogger(__name__)

# The reason of a session that ended because its recording could not go on.
STALLED: Final = "recording-stalled"
SETTLE_S: Final = 5.0


class SessionRecording:
    """Records one session, in the task group that is passed in.

    Args:
        plan: what policy says.
        home: of the device.
        session, tenant: what is recorded.
        signer: the device key.
        relay_key: the relay's pinned key; None on a guest device.
        ask: sends a message over the session's control link and returns its answer.
        now: the session's time.
        note: notes a stall among the session's actions, in a sentence.
        stop: ends the session for a reason.
        group: where its tasks run.
    """

    def __init__(
        self,
        plan: RecordingPlan,
        home: Home,
        *,
        session: str,
        tenant: str,
        signer: Signer,
        relay_key: bytes | None,
        ask: Ask,
        now: Callable[[], datetime],
        note: Callable[[str, str], None],
        stop: Callable[[str], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._plan = plan
        self._home = home
        self._session = session
        self._tenant = tenant
        self._signer = signer
        self._relay_key = relay_key
        self._ask = ask
        self._now = now
        self._note = note
        self._stop = stop
        self._group = group
        self._recorder: Recorder | None = None
        self._upload: RecordingUpload | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Start recording, or go on where another process left.

        Raises:
            RefusedError: `recording-impossible` when the disk does not take it.
        """
        spool = Spool(self._home.recordings / self._session)
        try:
            dropped = await asyncio.to_thread(make_room, self._home)
            await asyncio.to_thread(spool.make)
            recorder = Recorder(
                self._plan,
                session=self._session,
                tenant=self._tenant,
                signer=self._signer,
                spool=spool,
                now=self._now,
                on_stall=self._on_stall,
            )
            # From here on whoever takes up the session knows that there was something.
            await asyncio.to_thread(recorder.keep_chain)
        except OSError as error:
            raise RefusedError(
                "recording-impossible", "this device cannot write the recording", detail=str(error)
            ) from error
        for session in dropped:
            _log.warning("the recording of %s never reached the relay and was dropped", session)
        self._recorder = recorder
        self._upload = RecordingUpload(self._recorder, self._ask, relay_key=self._relay_key)
        self._tasks = [
            self._group.create_task(self._recorder.run(), name="recorder"),
            self._group.create_task(self._upload.run(), name="recording-upload"),
        ]

    def event(self, action: Action) -> None:
        """Record one action of the session."""
        if self._recorder is not None:
            self._recorder.event(action)

    def record(
        self, streams: Streams, *, command: str | None, size: tuple[int, int] | None, term: str
    ) -> RecordedStreams:
        """Return a channel's streams with the recorder in between.

        Raises:
            FarhandError: `recording-impossible` before `begin`.
        """
        if self._recorder is None:
            raise FarhandError("recording-impossible", "the recording has not begun")
        return RecordedStreams(streams, self._recorder, command=command, size=size, term=term)

    def record_screen(self, width: int, height: int) -> RecordedScreen:
        """Begin the recording of a screen of this size, in pixels.

        Raises:
            FarhandError: `recording-impossible` before `begin`.
        """
        if self._recorder is None:
            raise FarhandError("recording-impossible", "the recording has not begun")
        return RecordedScreen(self._recorder, width, height)

    async def finish(self) -> RecordingMark | None:
        """Write the recording's end; returns what the receipt says of it."""
        return None if self._recorder is None else await self._recorder.finish()

    async def leave(self) -> None:
        """Write what is left and let go of it, for the next process of this session."""
        if self._recorder is not None:
            await self._recorder.pause()
        await self.close(settle_s=0.0)

    async def close(self, *, settle_s: float = SETTLE_S) -> None:
        """Give the upload a moment, then let go; the rest is left in the spool."""
        if self._upload is not None and self._recorder is not None:
            if not await self._upload.settle(settle_s):
                _log.info("the rest of the recording waits on this device")
            for task in self._tasks:
                task.cancel()
            await asyncio.to_thread(self._recorder.spool.close)

    def _on_stall(self, words: str, message: str) -> None:
        self._note(words, message)
        if self._plan.stall == "stop":
            self._stop(STALLED)
