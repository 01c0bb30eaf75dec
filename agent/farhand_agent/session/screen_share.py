"""The screen, shown to whoever may see it: the subsystems `farhand-rfb` and `farhand-rfb-view`.

Each carries RFB, both ways, for one viewer; a process of its own reads the screen and moves the
mouse (screen_process.py).  What it may do is decided here, at every moment, by the live scopes:

    screen      it is shown at all; withdrawn: black, and the end
    control     mouse and keyboard go through; without, they are counted and dropped
    clipboard   what is copied here or there is copied at the other side
    (a prompt)  while the person is asked something: black, and nothing goes through
    (the line)  while it is lost: what was held down is let go

`farhand-rfb-view` shows, and does nothing else whatever the scopes say.  What is shown is recorded
before it is shown, as a stream of its own, where the session is recorded.  An error goes out as a
line of JSON on the error output, before any RFB.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.recording.screen import RecordedScreen
from farhand_agent.session.screen_process import ScreenProcess
from farhand_agent.session.subsystems import PARTING_S, Stream, Subsystem
from farhand_agent.session.terms import SessionTerms
from farhand_protocol.errors import FarhandError, RemoteError

__all__ = ["MAX_SCREENS", "ScreenShares"]

_log = logging.getLogger(__name__)

# Each costs the device a process that encodes pictures.
MAX_SCREENS: Final = 2
# A recording can be entered at a whole picture.
FULL_S: Final = 30.0
# Cool-downs end and lines are lost without a word; so often it is looked whether one was.
_LOOK_S: Final = 0.5
_HELD: Final = ("control", "clipboard")


class ScreenShares:
    """All that shows the screen in one session.

    Args:
        terms: of the session.
        gate: whether the person is asked something.
        name: what viewers show as their title.
    """

    def __init__(self, terms: SessionTerms, gate: PromptGate, *, name: str) -> None:
        self._terms = terms
        self._gate = gate
        self._name = name
        self._open = 0

    def subsystems(self) -> dict[str, Subsystem]:
        """Return the rows of the host's table."""
        return {
            "farhand-rfb": Subsystem("screen", self.serve, "peer", parts=True),
            "farhand-rfb-view": Subsystem("screen", self.serve_view, "peer", parts=True),
        }

    async def serve(self, stream: Stream) -> None:
        """Show the screen to one viewer until it or the scope is over."""
        await self._serve(stream, only_looks=False)

    async def serve_view(self, stream: Stream) -> None:
        """As `serve`, to one who only looks."""
        await self._serve(stream, only_looks=True)

    async def _serve(self, stream: Stream, *, only_looks: bool) -> None:
        if self._open >= MAX_SCREENS:
            error = FarhandError("screen-busy", "the screen is shown to as many as can be")
            await _complain(stream, error)
            return
        self._open += 1
        try:
            await _Share(
                self._terms, self._gate, stream, name=self._name, only_looks=only_looks
            ).run()
        except FarhandError as error:
            _log.info("the screen is not shown: %s", error)
            await _complain(stream, error)
        except OSError as error:
            _log.warning("the screen is not shown: %s", error)
            words = "what shows the screen could not be started"
            await _complain(stream, FarhandError("screen-failed", words))
        finally:
            self._open -= 1


class _Share:
    """One viewer."""

    def __init__(
        self,
        terms: SessionTerms,
        gate: PromptGate,
        stream: Stream,
        *,
        name: str,
        only_looks: bool,
    ) -> None:
        self._terms = terms
        self._gate = gate
        self._stream = stream
        self._only_looks = only_looks
        self._recorded: RecordedScreen | None = None
        self._begin = {
            "do": "begin",
            "name": name,
            "full_s": FULL_S if terms.recording is not None else 0.0,
            **self._rights(),
        }
        self._told = self._rights()
        self._black = b""
        self._began_at = time.monotonic()
        self._is_shown = False
        self._held: dict[str, Callable[[], None]] = {}
        self._failure: FarhandError | None = None
        self._process: ScreenProcess

    async def run(self) -> None:
        """Show the screen.

        Raises:
            FarhandError: it cannot be shown, or not on.
            OSError: the process cannot be started.
        """
        try:
            async with ScreenProcess(self._begin, self._hear) as self._process:
                forget = self._gate.heed(lambda _: self._tell_rights())
                try:
                    await self._carry()
                finally:
                    forget()
                    for let_go in self._held.values():
                        let_go()
        finally:
            if self._recorded is not None:
                self._recorded.end()
            self._note_end()
        await self._part()
        if self._failure is not None:
            raise self._failure

    async def _carry(self) -> None:
        """Carry both ways until one side, the scope or the process is over."""
        ends = (self._to_process, self._to_viewer, self._stream.withdrawn.wait)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch_rights())
            tasks = [group.create_task(self._until_over(end)) for end in ends]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, *tasks):
                task.cancel()

    async def _until_over(self, carry: Callable[[], Any]) -> None:
        """Run until it is over, in whichever way."""
        try:
            await carry()
        except ConnectionError:
            return
        except FarhandError as error:
            self._failure = error

    async def _to_process(self) -> None:
        while data := await self._stream.read_input():
            self._tell_rights()
            await self._process.send(data)

    async def _to_viewer(self) -> None:
        while (frame := await self._process.receive()) is not None:
            kind, data = frame
            if kind == "B":
                self._black = data
            elif kind == "J":
                self._hear(data)
            else:
                self._begin_shown()
                if self._recorded is not None:
                    await self._recorded.write(data, is_full=kind == "K")
                await self._stream.write(data)
        if self._failure is None:
            # It goes by itself only after words, so that this is no end that anybody wanted.
            self._failure = FarhandError("screen-failed", "what shows the screen broke off")

    async def _part(self) -> None:
        """Blacken the viewer, where its picture was taken away and not by itself given up."""
        if not self._black or not (self._stream.withdrawn.is_set() or self._failure is not None):
            return
        try:
            async with asyncio.timeout(PARTING_S / 2):
                await self._stream.write(self._black)
        except (TimeoutError, ConnectionResetError):
            _log.info("a viewer took no last picture")

    # What the process says.

    def _hear(self, data: bytes) -> None:
        try:
            fields = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise RemoteError("screen-failed", "the screen's process said no JSON") from error
        if isinstance(told := fields.get("error"), dict):
            hint = told.get("hint")
            self._failure = FarhandError(
                str(told.get("code")), str(told.get("message")), hint=str(hint) if hint else None
            )
            return
        match fields.get("event"):
            case "size":
                self._take_size(fields)
            case "control":
                self._note("mouse and keyboard are used", "screen-control")
            case "clipboard":
                self._note_clipboard(fields)
            case "over":
                self._note_input(fields)

    def _take_size(self, fields: Mapping[str, Any]) -> None:
        width, height = int(fields["width"]), int(fields["height"])
        if self._recorded is not None:
            self._recorded.resize(width, height)
        elif self._terms.recording is not None:
            self._recorded = self._terms.recording.record_screen(width, height)

    # What it may.

    def _rights(self) -> dict[str, bool]:
        may = {
            scope: self._stream.may(scope) and not self._only_looks
            for scope in ("control", "clipboard")
        }
        return {**may, "frozen": self._gate.is_open}

    def _tell_rights(self) -> None:
        """Say what it may do now, where that changed: before anything that is sent later."""
        rights = self._rights()
        if rights != self._told:
            self._told = rights
            self._process.tell({"do": "rights", **rights})
        for scope in _HELD:
            if rights[scope] and scope not in self._held:
                self._held[scope] = self._terms.scopes.hold(scope, self._on_gone(scope))

    async def _watch_rights(self) -> None:
        """Notice what nobody tells: that a cool-down is over, that the line is lost or back."""
        while True:
            self._tell_rights()
            await asyncio.sleep(_LOOK_S)

    def _on_gone(self, scope: str) -> Callable[[], None]:
        def gone() -> None:
            self._held.pop(scope, None)
            self._tell_rights()

        return gone

    # What the receipt says.

    def _begin_shown(self) -> None:
        if self._is_shown:
            return
        self._is_shown = True
        self._began_at = time.monotonic()
        if self._recorded is not None:
            self._note("shown, and recorded", "screen-shown-recorded")
        else:
            self._note("shown, and not recorded", "screen-shown")

    def _note_end(self) -> None:
        if self._is_shown:
            seconds = round(time.monotonic() - self._began_at)
            self._note(f"shown no longer, after {seconds} s", "screen-over", seconds=seconds)

    def _note_input(self, fields: Mapping[str, Any]) -> None:
        used, dropped = int(fields["used"]), int(fields["dropped"])
        if used or dropped:
            words = f"mouse and keyboard: {used} went through, {dropped} did not"
            self._note(words, "screen-input", used=used, dropped=dropped)

    def _note_clipboard(self, fields: Mapping[str, Any]) -> None:
        size = int(fields["bytes"])
        if fields.get("to") == "device":
            words = f"the technician put {size} bytes into the clipboard"
            self._note(words, "clipboard-put", received=size)
        else:
            words = f"{size} bytes of the clipboard went to the technician"
            self._note(words, "clipboard-taken", sent=size)

    def _note(self, words: str, message: str, **facts: int) -> None:
        self._terms.actions.add("screen", words, message=message, facts=facts)


async def _complain(stream: Stream, error: FarhandError) -> None:
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    try:
        await stream.complain(msgspec.json.encode({"error": told}) + b"\n")
    except ConnectionResetError:
        _log.info("nobody is there to be told of %s", error.code)
