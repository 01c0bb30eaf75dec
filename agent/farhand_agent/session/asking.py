"""Questions to the person at the device: one at a time, and silence is no.

    (none)    ask()                       -> standing    shown to the person
    standing  answer(True)                -> (none)      allowed
    standing  answer(False), refuse_all() -> (none)      `consent-refused`
    standing  the time is over            -> (none)      `consent-timeout`

How the question is shown and answered is somebody else's business (farhand_agent.session.command);
an answer without a question means nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from farhand_agent.session.events import Asked, Event
from farhand_protocol.errors import RefusedError

__all__ = ["Asking"]


class Asking:
    """All questions of one session process.

    Args:
        emit: shows the question.
        can_ask: whether anybody may answer.
    """

    def __init__(self, emit: Callable[[Event], None], *, can_ask: bool) -> None:
        self._emit = emit
        self._can_ask = can_ask
        self._answer: asyncio.Future[bool] | None = None
        self._turn = asyncio.Lock()
        self._over = False
        self.asked = False

    def answer(self, allow: bool) -> None:
        """Take the person's answer; without a question it means nothing."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(allow)

    def refuse_all(self) -> None:
        """Answer no, to the question that stands and to all that come."""
        self._over = True
        self.answer(False)

    async def ask(self, asked: Asked, *, within_s: float) -> None:
        """Ask, and wait for yes; questions of others wait their turn.

        Raises:
            RefusedError: `consent-refused`, `consent-timeout`.
        """
        if not self._can_ask:
            raise RefusedError("consent-timeout", "nobody is there to be asked")
        async with self._turn:
            self.asked = True
            self._answer = asyncio.get_running_loop().create_future()
            if self._over:
                self.answer(False)
            else:
                self._emit(asked)
            try:
                async with asyncio.timeout(within_s):
                    allowed = await self._answer
            except TimeoutError as error:
                raise RefusedError("consent-timeout", "nobody answered at the device") from error
            if not allowed:
                raise RefusedError("consent-refused", "the person at the device refused")
