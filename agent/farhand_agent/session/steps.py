"""Instructions to the person, one at a time: what only she can do at the machine.

The subsystem `farhand-steps` is open to whoever holds the grant's key, whatever the scopes; it can
ask and do nothing.  JSON lines:

    {"step": TEXT, "number": I, "of": N}   shown to the person, until one of these:
        -> {"id", "answer": "done", "why": "", "asked_at", "answered_at"}
        -> {"id", "answer": "cannot", "why": TEXT, ...}
        -> {"id", "answer": "withdrawn", ...}      the console said {"withdraw": true}
    anything else, or while another step stands
        -> {"error": {"code", "message"}}

    state      console asks   person answers        console withdraws, or leaves
    none       standing       (means nothing)       -
    standing   step-busy      none: done, cannot    none: withdrawn

The text is the technician's and is escaped where it is shown.  An answer counts only for the step
that stands, by its id; silence is no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.rates import Rate
from farhand_agent.session.subsystems import Lines
from farhand_protocol.errors import RemoteError
from farhand_protocol.instants import format_instant

__all__ = ["MAX_STEP_CHARS", "MAX_WHY_CHARS", "Step", "StepDesk"]

MAX_STEP_CHARS: Final = 1000
MAX_WHY_CHARS: Final = 500
MAX_STEPS: Final = 1000
_MAX_REQUEST_BYTES: Final = 16 * 1024
_SHOWN_CHARS: Final = 200


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    step: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_STEP_CHARS)]
    number: Annotated[int, msgspec.Meta(ge=1, le=MAX_STEPS)] = 1
    of: Annotated[int, msgspec.Meta(ge=1, le=MAX_STEPS)] = 1


@dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction that stands."""

    id: int
    number: int
    of: int
    text: str


class StepDesk:
    """Shows steps and takes answers.

    Args:
        actions: where steps and answers are noted.
        now: the session's time.
        show: is told of a step that stands; must not block.
        over: is told (id, answer) when it stands no more; must not block.
    """

    def __init__(
        self,
        actions: ActionLog,
        now: Callable[[], datetime],
        show: Callable[[Step], None],
        over: Callable[[int, str], None],
    ) -> None:
        self._actions = actions
        self._now = now
        self._show = show
        self._over = over
        self._count = 0
        self._is_closed = False
        self._rate = Rate()
        self._answered: asyncio.Future[tuple[str, str]] | None = None
        self.standing: Step | None = None

    def answer(self, step: object, answer: object, why: object = "") -> bool:
        """Take the person's answer; False when it is about no step that stands."""
        if (
            self.standing is None
            or self.standing.id != step
            or answer not in ("done", "cannot")
            or self._answered is None
            or self._answered.done()
        ):
            return False
        text = why.strip()[:MAX_WHY_CHARS] if isinstance(why, str) and answer == "cannot" else ""
        text = text.encode("utf-8", "replace").decode()
        self._answered.set_result((str(answer), text))
        return True

    def close(self) -> None:
        """Withdraw what stands and show nothing more: the session ends."""
        self._is_closed = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(("withdrawn", ""))

    async def serve(self, lines: Lines) -> None:
        """Hold one conversation with a console until it leaves."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(lines.read_line(_MAX_REQUEST_BYTES))
            while line := await reading:
                # The next line is read while the step stands: it, or the end, withdraws the step.
                reading = group.create_task(lines.read_line(_MAX_REQUEST_BYTES))
                try:
                    answer = await self._ask(_request(line), reading)
                except RemoteError as error:
                    answer = {"error": {"code": error.code, "message": error.message}}
                else:
                    if answer["answer"] == "withdrawn" and reading.done() and reading.result():
                        reading = group.create_task(lines.read_line(_MAX_REQUEST_BYTES))
                await lines.write(msgspec.json.encode(answer) + b"\n")

    async def _ask(self, request: _Request, reading: asyncio.Task[bytes]) -> dict[str, Any]:
        if self._is_closed:
            raise RemoteError("session-ended", "the session is ending")
        if self.standing is not None:
            raise RemoteError("step-busy", "another step stands")
        self._rate.take()
        self._count += 1
        step = Step(
            id=self._count, number=request.number, of=max(request.number, request.of),
            text=request.step.strip(),
        )  # fmt: skip
        asked_at = self._stamp()
        answered = self._answered = asyncio.get_running_loop().create_future()
        self.standing = step
        what = step.text[:_SHOWN_CHARS]
        self._actions.add("step", f"asked for: {what}", message="step-asked", facts={"what": what})
        self._show(step)
        answer, why = "withdrawn", ""
        try:
            await asyncio.wait({answered, reading}, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                answer, why = answered.result()
        finally:
            self.standing, self._answered = None, None
            answered.cancel()
            self._over(step.id, answer)
        said, facts = answer, {"what": what}
        if why:
            said, facts["why"] = f"{answer}: {why[:_SHOWN_CHARS]}", why[:_SHOWN_CHARS]
        message = "step-cannot-why" if why and answer == "cannot" else f"step-{answer}"
        self._actions.add("step", f"{said} ({what})", message=message, facts=facts)
        return {
            "id": step.id,
            "answer": answer,
            "why": why,
            "asked_at": asked_at,
            "answered_at": self._stamp(),
        }

    def _stamp(self) -> str:
        return format_instant(self._now().replace(microsecond=0))


def _request(line: bytes) -> _Request:
    try:
        request = msgspec.json.decode(line, type=_Request)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise RemoteError("step-malformed", "this is no step") from error
    if not request.step.strip():
        raise RemoteError("step-malformed", "a step has words")
    return request
