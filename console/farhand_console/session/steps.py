"""Instructions to the person at the device, one after the other, and what became of each.

asked -> done                    the next one is asked
asked -> cannot, with a word why the rest is not asked, unless the caller wants to go on
asked -> unanswered              nobody answered in time: the step is withdrawn
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal

import asyncssh
import msgspec

from farhand_console.session.channel import Channel, open_channel, raise_error
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["MAX_STEPS", "MAX_STEP_CHARS", "StepDone", "ask_steps", "read_steps"]

MAX_STEPS: Final = 200
MAX_STEP_CHARS: Final = 1000
_SUBSYSTEM: Final = "farhand-steps"
_WITHDRAW_S: Final = 10.0


class StepDone(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one step."""

    number: int
    text: str
    answer: Literal["done", "cannot", "unanswered"]
    why: str
    asked_at: str
    answered_at: str


def read_steps(text: str) -> list[str]:
    """Return the steps of a file: one to a line, without empty lines and those that begin with #.

    Raises:
        UsageError: `step-malformed` when there are none, too many, or one is too long.
    """
    steps = [line.strip() for line in text.splitlines()]
    return check_steps([one for one in steps if one and not one.startswith("#")])


def check_steps(steps: list[str]) -> list[str]:
    """Check steps before anybody is asked.

    Raises:
        UsageError: `step-malformed`.
    """
    if not 1 <= len(steps) <= MAX_STEPS:
        raise UsageError("step-malformed", f"1 to {MAX_STEPS} steps can be asked for")
    if any(not one.strip() or len(one) > MAX_STEP_CHARS for one in steps):
        raise UsageError("step-malformed", f"a step has 1 to {MAX_STEP_CHARS} characters")
    return steps


async def ask_steps(
    connection: asyncssh.SSHClientConnection,
    steps: list[str],
    *,
    within_s: float,
    go_on: bool,
    told: Callable[[StepDone], None],
) -> list[StepDone]:
    """Ask for each step in turn.

    Args:
        connection: to the device.
        steps: checked.
        within_s: how long each may stand.
        go_on: whether the rest is asked for after one that was not done.
        told: is called after each answer.

    Raises:
        FarhandError: `step-busy`, `too-fast`, `session-lost`.
    """
    answered = []
    async with open_channel(connection, _SUBSYSTEM) as channel:
        for number, text in enumerate(steps, 1):
            await channel.send({"step": text, "number": number, "of": len(steps)})
            done = _read(number, text, await _answer(channel, within_s))
            answered.append(done)
            told(done)
            if done.answer != "done" and not go_on:
                break
    return answered


async def _answer(channel: Channel, within_s: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(within_s):
            answer = await channel.receive()
    except TimeoutError:
        await channel.send({"withdraw": True})
        async with asyncio.timeout(_WITHDRAW_S):
            answer = await channel.receive()
    if answer is None:
        raise FarhandError("session-lost", "the session ended before there was an answer")
    raise_error(answer)
    return answer


def _read(number: int, text: str, answer: dict[str, Any]) -> StepDone:
    word = answer.get("answer")
    if word not in ("done", "cannot", "withdrawn"):
        raise FarhandError("session-lost", "the device's answer cannot be read")
    return StepDone(
        number=number,
        text=text,
        answer="unanswered" if word == "withdrawn" else word,
        why=str(answer.get("why", ""))[:1000],
        asked_at=str(answer.get("asked_at", ""))[:40],
        answered_at=str(answer.get("answered_at", ""))[:40],
    )
