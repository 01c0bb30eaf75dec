"""Questions to the person at the device: one at a time, and silence is no.

    (none)    ask()                       -> standing    shown to the person
    standing  answer(True)                -> (none)      allowed, all of it or some scopes
    standing  answer(False), refuse_all() -> (none)      `consent-refused`
    standing  the time is over, leave()   -> (none)      `consent-timeout`: nobody was there

How the question is shown and answered is somebody else's business, on a terminal
(farhand_agent.session.command) or on a page (farhand_agent.desktop), or on both: each question has
a number, the first answer with that number counts, and every other means nothing.  Where it came
through the door for the computer's people, it carries who gave it, and that is noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from msgspec.structs import replace

from farhand_agent.processes import own_user
from farhand_agent.session.events import Asked, Event
from farhand_agent.session.prompts import PromptGate
from farhand_protocol.errors import RefusedError

__all__ = ["Asking"]


class Asking:
    """All questions of one session process.

    Args:
        emit: shows the question.
        can_ask: whether anybody may answer.
        gate: is open while a question stands.
    """

    def __init__(
        self, emit: Callable[[Event], None], *, can_ask: bool, gate: PromptGate | None = None
    ) -> None:
        self._emit = emit
        self._can_ask = can_ask
        self.gate = gate or PromptGate()
        self._answer: asyncio.Future[frozenset[str] | None] | None = None
        self._scopes: list[str] = []
        self._turn = asyncio.Lock()
        self._over = False
        self._left = False
        self._number = 0
        self._person = ""
        self.asked = False
        # Told of the question, whether it was yes, and the user who answered, before it counts.
        self.on_answer: Callable[[Asked, bool, str], Awaitable[None]] | None = None

    def answer(
        self,
        allow: bool,
        *,
        ask: int | None = None,
        scopes: Collection[str] | None = None,
        person: str = "",
    ) -> bool:
        """Take the person's answer.

        Args:
            allow: whether she said yes.
            ask: the question's number; None means whichever stands.
            scopes: those of the question that she left ticked; None means all.
            person: the user's name, where she is another one than the agent's.

        Returns:
            Whether it counted: not without a question, for another one, or after another answer.
        """
        if self._answer is None or self._answer.done() or ask not in (None, self._number):
            return False
        self._person = person
        left = frozenset(self._scopes if scopes is None else scopes) & frozenset(self._scopes)
        self._answer.set_result(left if allow and (left or not self._scopes) else None)
        return True

    def refuse_all(self) -> None:
        """Answer no, to the question that stands and to all that come."""
        self._over = True
        self.answer(False)

    def leave(self) -> None:
        """Whoever could answer is gone: what stands and what comes is answered by nobody."""
        self._left = True
        self.refuse_all()

    async def ask(self, asked: Asked, *, within_s: float) -> list[str]:
        """Ask, and wait for yes; questions of others wait their turn.

        Returns:
            The scopes that she allowed, in the question's order; never fewer than one, where it
            has any.

        Raises:
            RefusedError: `consent-refused`, `consent-timeout`.
            HomeUnusable: other sessions of the device cannot be told that she is asked.
        """
        if not self._can_ask:
            raise RefusedError("consent-timeout", "nobody is there to be asked")
        async with self._turn:
            async with self.gate.standing():
                self.asked = True
                self._number += 1
                self._scopes, self._person = asked.scopes, ""
                answer = self._answer = asyncio.get_running_loop().create_future()
                if self._over:
                    self.answer(False)
                else:
                    self._emit(replace(asked, ask=self._number, user=own_user()))
                try:
                    async with asyncio.timeout(within_s):
                        allowed = await answer
                except TimeoutError as error:
                    raise RefusedError(
                        "consent-timeout", "nobody answered at the device"
                    ) from error
            if self._person and self.on_answer is not None:
                await self.on_answer(asked, allowed is not None, self._person)
            if allowed is None and self._left:
                raise RefusedError("consent-timeout", "whoever could answer is gone")
            if allowed is None:
                raise RefusedError("consent-refused", "the person at the device refused")
            return [scope for scope in asked.scopes if scope in allowed]
