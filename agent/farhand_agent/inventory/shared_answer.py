"""One answer for several sections: the first that needs it asks, the others wait for it.

Windows and macOS answer most questions through one slow program each, and sections are collected
beside each other.  What failed is remembered as well, so that nobody waits for it twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from farhand_protocol.errors import FarhandError

__all__ = ["SharedAnswer"]

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """Answers by what was asked.  Meant for a short-lived process: nothing is ever forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, T | FarhandError] = {}

    def get(self, question: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer to a question, asking only when nobody has.

        Raises:
            FarhandError: as `ask` raised it, for everybody.
        """
        with self._lock:
            if question not in self._answers:
                try:
                    self._answers[question] = ask()
                except FarhandError as error:
                    self._answers[question] = error
            answer = self._answers[question]
        if isinstance(answer, FarhandError):
            raise answer
        return answer
