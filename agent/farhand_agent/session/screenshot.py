"""One picture of the person's screen, which she takes, looks over and sends, or does not.

The subsystem `farhand-screenshot` is open to whoever holds the grant's key, whatever the scopes: it
can ask and do nothing.  The picture is made, shown and blackened by her own page's process
(farhand_agent.desktop); here arrives only what she sends.  JSON lines:

    {"screenshot": true, "reason": TEXT}
        -> {"picture": {"sha256", "size_bytes", "width", "height"}}
           {"part": BASE64} ...                     in order, until `size_bytes` are there
        -> {"error": {"code", "message"}}           screenshot-refused, -timeout, -nobody, -busy

    state     page                                  deadline             console leaves
    none      -                                     -                    -
    asked     taken -> looking; refuse -> none      LOOK_S: timeout      none: withdrawn
    looking   parts; send -> none; refuse -> none   SEND_S: timeout      none: withdrawn

The page answers with lines of farhand_agent.session.events, which count for the number that stands:

    {"shot": ID, "answer": "taken" | "refuse"}
    {"shot": ID, "part": N, "data": BASE64}         N from 0, in order
    {"shot": ID, "answer": "send"}                  all parts are there
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.events import Event, ShotAsked, ShotOver
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.rates import Rate
from farhand_agent.session.subsystems import Lines
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError
from farhand_protocol.pictures import MAX_PICTURE_BYTES, PART_BYTES, Picture, read_png

__all__ = ["LOOK_S", "SEND_S", "ScreenshotDesk"]

# As long as any question stands, and then as long as somebody needs to blacken what is hers alone.
LOOK_S: Final = 60.0
SEND_S: Final = 300.0
MAX_REASON_CHARS: Final = 300
# A console that keeps asking would wear the person down.
MAX_PER_MINUTE: Final = 4
_MAX_REQUEST_BYTES: Final = 4 * 1024


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    screenshot: bool
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)] = ""


class ScreenshotDesk:
    """Asks for pictures, and takes those that she sends.

    Args:
        actions: where it is noted what became of each.
        gate: is open while one is asked for.
        emit: shows the question; must not block.
        session: its id.
        operator: returns who asks, by name.
        has_page: whether a page is there to look the picture over on.
        look_s: how long the question stands.
        send_s: how long she may look it over.
    """

    def __init__(
        self,
        actions: ActionLog,
        gate: PromptGate,
        emit: Callable[[Event], None],
        *,
        session: str,
        operator: Callable[[], str],
        has_page: Callable[[], bool],
        look_s: float = LOOK_S,
        send_s: float = SEND_S,
    ) -> None:
        self._actions = actions
        self._gate = gate
        self._emit = emit
        self._session = session
        self._operator = operator
        self._has_page = has_page
        self._look_s = look_s
        self._send_s = send_s
        self._count = 0
        self._is_closed = False
        self._rate = Rate(MAX_PER_MINUTE)
        self._standing = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._taken = asyncio.Event()
        self._answer: asyncio.Future[bytes | None] | None = None

    def hear(self, fields: Mapping[str, object]) -> bool:
        """Take one line of the page; False when it is about no picture that stands."""
        answer = self._answer
        if not self._standing or fields.get("shot") != self._standing:
            return False
        if answer is None or answer.done():
            return False
        match fields:
            case {"part": int(number), "data": str(data)}:
                return self._take_part(number, data)
            case {"answer": "taken"}:
                self._taken.set()
                return True
            case {"answer": "refuse"}:
                answer.set_result(None)
                return True
            case {"answer": "send"} if self._parts:
                answer.set_result(b"".join(self._parts))
                return True
        return False

    def close(self) -> None:
        """Ask for nothing more: the session ends."""
        self._is_closed = True
        if self._answer is not None:
            self._answer.cancel()

    async def serve(self, lines: Lines) -> None:
        """Hold one conversation: one request, one picture or refusal."""
        line = await lines.read_line(_MAX_REQUEST_BYTES)
        try:
            request = _request(line)
            if self._standing:
                raise RemoteError("screenshot-busy", "another picture is being asked for")
            self._rate.take()
            if self._is_closed:
                raise RemoteError("session-ended", "the session is ending")
            if not self._has_page():
                raise RefusedError(
                    "screenshot-nobody", "no page is open at the device to look a picture over on"
                )
            data = await self._wanted(request.reason, lines)
            picture = read_png(data)
        except FarhandError as error:
            answer = {"error": {"code": error.code, "message": error.message}}
            await lines.write(msgspec.json.encode(answer) + b"\n")
            return
        sha256 = hashlib.sha256(data).hexdigest()
        self._note_sent(picture, data, sha256)
        await _write_picture(lines, data, picture, sha256)

    async def _wanted(self, reason: str, lines: Lines) -> bytes:
        self._count += 1
        shot = self._standing = self._count
        self._parts, self._size = [], 0
        self._taken = asyncio.Event()
        answered = self._answer = asyncio.get_running_loop().create_future()
        over = "withdrawn"
        try:
            async with self._gate.standing():
                self._emit(
                    ShotAsked(
                        session=self._session,
                        shot=shot,
                        operator=self._operator(),
                        reason=reason,
                        answer_within_s=round(self._look_s),
                        send_within_s=round(self._send_s),
                    )
                )
                data = await self._wait(answered, lines)
            over = "sent"
            return data
        except RefusedError as error:
            over = error.code.removeprefix("screenshot-")
            words = "a picture of the screen"
            self._actions.add("denied", words, message="shot-refused", facts={})
            raise
        finally:
            self._standing, self._answer, self._parts = 0, None, []
            answered.cancel()
            self._emit(ShotOver(session=self._session, shot=shot, answer=over))

    async def _wait(self, answered: asyncio.Future[bytes | None], lines: Lines) -> bytes:
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(_leaves(lines))
            taken = group.create_task(self._taken.wait())
            ends: set[asyncio.Future[Any]] = {answered, leaving}
            await asyncio.wait(
                {*ends, taken}, timeout=self._look_s, return_when=asyncio.FIRST_COMPLETED
            )
            if taken.done() and not answered.done():
                await asyncio.wait(ends, timeout=self._send_s, return_when=asyncio.FIRST_COMPLETED)
            is_left = leaving.done()
            leaving.cancel()
            taken.cancel()
        if answered.cancelled() or (is_left and not answered.done()):
            raise RemoteError("session-ended", "the question was taken back")
        if not answered.done():
            raise RefusedError("screenshot-timeout", "nobody answered at the device")
        data = answered.result()
        if data is None:
            raise RefusedError("screenshot-refused", "the person at the device refused")
        return data

    def _take_part(self, number: int, data: str) -> bool:
        try:
            part = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return False
        if number != len(self._parts) or not 0 < len(part) <= PART_BYTES:
            return False
        if self._size + len(part) > MAX_PICTURE_BYTES:
            return False
        self._parts.append(part)
        self._size += len(part)
        return True

    def _note_sent(self, picture: Picture, data: bytes, sha256: str) -> None:
        size = f"{picture.width}x{picture.height}"
        self._actions.add(
            "view",
            f"a picture of the screen, {size}, sent by the person",
            size_bytes=len(data),
            sha256=sha256,
            message="shot-sent",
            facts={"size": size},
        )


async def _leaves(lines: Lines) -> None:
    """Return when the console says anything more, its end included: that takes the request back."""
    try:
        await lines.read_line(_MAX_REQUEST_BYTES)
    except Exception:
        return  # however the line ended, nobody waits for the picture any more


async def _write_picture(lines: Lines, data: bytes, picture: Picture, sha256: str) -> None:
    head = {
        "sha256": sha256,
        "size_bytes": len(data),
        "width": picture.width,
        "height": picture.height,
    }
    await lines.write(msgspec.json.encode({"picture": head}) + b"\n")
    for at in range(0, len(data), PART_BYTES):
        part = base64.b64encode(data[at : at + PART_BYTES]).decode()
        await lines.write(msgspec.json.encode({"part": part}) + b"\n")


def _request(line: bytes) -> _Request:
    try:
        request = msgspec.json.decode(line, type=_Request)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise RemoteError("screenshot-malformed", "this asks for no picture") from error
    if not request.screenshot:
        raise RemoteError("screenshot-malformed", "this asks for no picture")
    return request
