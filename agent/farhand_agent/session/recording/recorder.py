"""Turns what happens in a session into sealed chunks on the disk.

    lines      streams and events append them, in the order in which things happened
    a chunk    is cut after `CUT_S` or `MAX_PLAINTEXT_BYTES`, whichever comes first: encrypted,
               signed, spooled; only then the next one is cut
    the end    a chunk that says `final`, even with nothing in it

What was not recorded is not shown: whoever writes to a console waits in `Recorder.room` while the
buffer is full.  The spool is bounded.  While the relay takes chunks a full spool only slows the
session; when it has taken none for `stall_s` the recording is stalled, and policy says what that
means: `stop` ends the session, `flag` notes it among the session's actions, and what then finds the
spool full is dropped and counted in the next chunk that is written.  A disk that takes no chunk is
the same as a stall.

A session that another process takes up goes on with its chain.  Where the process before was killed
up to `CUT_S` are missing; the recording says so, and is not complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from farhand_agent.session.recording.plan import RecordingPlan
from farhand_agent.session.recording.spool import ChainState, Spool
from farhand_protocol.casts import (
    EVENTS,
    CastHeader,
    Code,
    Origin,
    StreamKind,
    Term,
    encode_cast_event,
    encode_cast_header,
)
from farhand_protocol.grants import Action, RecordingMark
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.recording import FIRST, MAX_PLAINTEXT_BYTES, RecordingHead, seal_head

__all__ = ["MAX_SPOOL_BYTES", "Recorder"]

_log = logging.getLogger(__name__)

CUT_S: Final = 2.0
STALL_S: Final = 30.0
# Half a minute of a busy terminal is some MiB; a line that is down for longer than that is a stall.
MAX_SPOOL_BYTES: Final = 64 * 1024 * 1024
MAX_BUFFER_BYTES: Final = 256 * 1024
# Events do not wait; past this much even they are dropped and counted.
_HARD_BUFFER_BYTES: Final = 4 * MAX_BUFFER_BYTES


class Recorder:
    """Records one session.

    Args:
        plan: to whom it is sealed, and what a stall means.
        session, tenant: what is recorded.
        signer: the device key.
        spool: where chunks wait; made by the caller.
        now: the session's time.
        on_stall: told once for each stall, in English words and by the name of the sentence in
            farhand_agent.deeds; must not block.
        cut_s, stall_s, spool_bytes: see the constants.
    """

    def __init__(
        self,
        plan: RecordingPlan,
        *,
        session: str,
        tenant: str,
        signer: Signer,
        spool: Spool,
        now: Callable[[], datetime],
        on_stall: Callable[[str, str], None],
        cut_s: float = CUT_S,
        stall_s: float = STALL_S,
        spool_bytes: int = MAX_SPOOL_BYTES,
    ) -> None:
        self.plan = plan
        self.session = session
        self.spool = spool
        self._tenant = tenant
        self._signer = signer
        self._device = device_id(signer.public_key)
        self._now = now
        self._on_stall = on_stall
        self._cut_s = cut_s
        self._stall_s = stall_s
        self._spool_bytes = spool_bytes
        self._loop = asyncio.get_running_loop()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped_bytes = 0
        self._dropped_ever = False
        self._streams = 0
        self._begun = now().timestamp()
        self._last_at: dict[int, float] = {}
        self._index = 0
        self._previous = FIRST
        self._final = False
        self._ended = False
        self._stalled = False
        self._moved_at = self._loop.time()
        self._full = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._moved = asyncio.Event()
        self._cutting = asyncio.Lock()
        self.spooled = asyncio.Event()
        if (state := spool.chain()) is not None:
            self._go_on(state)
        if not self._index:
            self._open(EVENTS, "events", Term(cols=80, rows=24), title="what was done", command="")

    def _go_on(self, state: ChainState) -> None:
        self._index, self._previous = state.index, state.previous
        self._streams, self._begun = state.streams, state.begun
        self._dropped_ever = state.dropped
        self._last_at[EVENTS] = self._loop.time()
        if not state.paused:
            self._drop(1)  # nobody knows how much it was; at least so much

    # What is recorded.

    def open_stream(self, kind: StreamKind, term: Term, *, title: str, command: str = "") -> int:
        """Begin a stream and return its number."""
        self._streams += 1
        self._open(self._streams, kind, term, title=title, command=command)
        return self._streams

    def _open(self, stream: int, kind: StreamKind, term: Term, *, title: str, command: str) -> None:
        self._last_at[stream] = self._loop.time()
        now = self._now().timestamp()
        header = CastHeader(
            version=3,
            term=term,
            timestamp=int(now),
            title=title[:200],
            command=command[:1000],
            farhand=Origin(
                kind=kind,
                session=self.session,
                stream=stream,
                at_s=max(0.0, round(now - self._begun, 3)),
            ),
        )
        self._append(encode_cast_header(stream, header))

    def write(self, stream: int, code: Code, data: str) -> None:
        """Record one line of a stream; `data` fits a line (see farhand_protocol.casts)."""
        at = self._loop.time()
        interval_s, self._last_at[stream] = at - self._last_at.get(stream, at), at
        self._append(encode_cast_event(stream, interval_s, code, data))

    def close_stream(self, stream: int) -> None:
        """Forget a stream that has ended."""
        self._last_at.pop(stream, None)

    def event(self, action: Action) -> None:
        """Record one action of the session."""
        self.write(EVENTS, "e", msgspec.json.encode(action).decode())

    async def room(self) -> None:
        """Wait until more may be recorded; returns at once where it would be dropped anyway."""
        await self._roomy.wait()

    def _append(self, line: bytes) -> None:
        if self._final:
            return  # programs and subsystems have ended; what is left is the closing itself
        if self._is_dropping() or self._bytes + len(line) > _HARD_BUFFER_BYTES:
            self._drop(len(line))
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= MAX_PLAINTEXT_BYTES:
            self._full.set()
        if self._bytes >= MAX_BUFFER_BYTES:
            self._roomy.clear()

    def _drop(self, size: int) -> None:
        self._dropped_bytes += size
        self._dropped_ever = True

    # What the upload tells.

    def moved(self) -> None:
        """The relay has witnessed a chunk."""
        self._moved_at = self._loop.time()
        if self._stalled:
            self._stalled = False
            _log.info("the recording goes on")
        self._moved.set()

    def refused(self, words: str) -> None:
        """The relay will never take this recording."""
        self._stall(words, "recording-refused")

    # The writer.

    async def run(self) -> None:
        """Cut chunks until cancelled; the first at once, so that a recording is known to exist."""
        while True:
            self._watch()
            while self._lines:
                await self._wait_for_spool()
                if self._lines and not await self._cut():
                    break
            try:
                async with asyncio.timeout(self._cut_s):
                    await self._full.wait()
            except TimeoutError:
                continue  # whatever there is by now makes a chunk

    async def finish(self) -> RecordingMark:
        """Write what is left and the end; nothing is recorded after it.

        Returns:
            What the receipt says; `complete` is False where the end could not be written.
        """
        written = True
        while written and self._bytes > MAX_PLAINTEXT_BYTES:
            written = await self._cut()
        self._final = True
        written = written and await self._cut(final=True)
        self._roomy.set()
        return RecordingMark(
            id=self.session,
            head_sha256=self._previous,
            chunks=self._index,
            complete=written and not self._dropped_ever,
        )

    async def pause(self) -> None:
        """Write what is left, but no end: another process goes on.

        What cannot be written is lost, and the recording will not be complete.
        """
        written = True
        while written and self._lines:
            written = await self._cut()
        if written:
            await asyncio.to_thread(self.keep_chain, paused=True)

    def keep_chain(self, *, paused: bool = False) -> None:
        """Store where the chain stands, for a process that takes up the session.  Blocks.

        Raises:
            OSError: the disk is full.
        """
        state = ChainState(
            index=self._index,
            previous=self._previous,
            streams=self._streams,
            begun=self._begun,
            dropped=self._dropped_ever,
            paused=paused,
        )
        self.spool.keep_chain(state)

    def _watch(self) -> None:
        """Notice a stall."""
        waits = self.spool.size_bytes > 0
        if not waits:
            self._moved_at = self._loop.time()
        elif not self._stalled and self._loop.time() - self._moved_at >= self._stall_s:
            self._stall("the relay takes no more of the recording", "recording-full")

    def _stall(self, words: str, message: str) -> None:
        if not self._stalled:
            self._stalled = True
            self._on_stall(words, message)
        self._moved.set()

    def _is_dropping(self) -> bool:
        return self._stalled and self.spool.size_bytes >= self._spool_bytes

    async def _wait_for_spool(self) -> None:
        """Wait for room in the spool; when the recording is stalled, give up what waits for it."""
        while self.spool.size_bytes >= self._spool_bytes and not self._stalled:
            self._moved.clear()
            left_s = self._stall_s - (self._loop.time() - self._moved_at)
            try:
                async with asyncio.timeout(max(left_s, 0.0)):
                    await self._moved.wait()
            except TimeoutError:
                self._watch()
        if self._is_dropping():
            self._give_up()

    def _give_up(self) -> None:
        self._drop(self._bytes)
        self._lines.clear()
        self._bytes = 0
        self._settled()

    async def _cut(self, *, final: bool = False) -> bool:
        """Make one chunk of the oldest lines; False where the disk took none."""
        async with self._cutting:
            if self._ended or not (self._lines or final):
                return not self._ended
            lines, size = [], 0
            while self._lines and size + len(self._lines[0]) <= MAX_PLAINTEXT_BYTES:
                size += len(self._lines[0])
                lines.append(self._lines.popleft())
            self._bytes -= size
            dropped, self._dropped_bytes = self._dropped_bytes, 0
            try:
                await asyncio.to_thread(self._write, b"".join(lines), dropped, final)
            except OSError as error:
                self._dropped_bytes += dropped
                self._drop(size)
                self._settled()
                words = f"the recording cannot be written: {error.strerror or error}"
                self._stall(words, "recording-unwritten")
                return False
            self._ended = final
            self._settled()
            self.spooled.set()
            return True

    def _settled(self) -> None:
        if self._bytes < MAX_PLAINTEXT_BYTES:
            self._full.clear()
        if self._bytes < MAX_BUFFER_BYTES:
            self._roomy.set()

    def _write(self, plaintext: bytes, dropped: int, final: bool) -> None:
        ciphertext = self.plan.seal(plaintext)
        head, digest = seal_head(
            RecordingHead(
                tenant=self._tenant,
                session=self.session,
                device=self._device,
                device_key=self._signer.public_key,
                index=self._index,
                previous=self._previous,
                sha256=hashlib.sha256(ciphertext).hexdigest(),
                size_bytes=len(ciphertext),
                dropped_bytes=dropped,
                keep_days=self.plan.keep_days,
                final=final,
                at=format_instant(self._now()),
            ),
            self._signer,
        )
        self.spool.put(self._index, head, ciphertext)
        self._index += 1
        self._previous = digest
        try:
            if final:
                self.spool.end_chain()
            else:
                self.keep_chain()
        except OSError as error:
            # The chunk is there.  Only a process that takes up this session would miss its place:
            # it begins anew, which the relay refuses.
            _log.warning("the place in the recording was not kept: %s", error)
