"""Whether something waits for the person's own hand: a question, or a picture that she looks over.

Whoever injects input or shows her screen to somebody else asks here: while `is_open`, what is
injected must not reach her machine, and her screen is not sent, so that nobody at the other end can
answer in her place.  Prompts may overlap; the gate is open until the last one is closed.  It asks
nothing itself (asking.py, screenshot.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["PromptGate"]

_log = logging.getLogger(__name__)


class PromptGate:
    """The prompts of one session process."""

    def __init__(self) -> None:
        self._standing = 0
        self._heeders: list[Callable[[bool], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether a prompt stands just now."""
        return self._standing > 0

    def heed(self, on_change: Callable[[bool], None]) -> Callable[[], None]:
        """Tell somebody of each change from now on.

        Args:
            on_change: is called with `is_open`, before the prompt is shown and after it is gone;
                must not block.

        Returns:
            A function that ends that.
        """
        self._heeders.append(on_change)

        def forget() -> None:
            if on_change in self._heeders:
                self._heeders.remove(on_change)

        return forget

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Hold the gate open for as long as a prompt stands."""
        self._standing += 1
        if self._standing == 1:
            self._tell()
        try:
            yield
        finally:
            self._standing -= 1
            if not self._standing:
                self._tell()

    def _tell(self) -> None:
        for on_change in list(self._heeders):
            try:
                on_change(self.is_open)
            except OSError as error:
                # One that is gone must not keep the others from freezing.
                _log.warning("a prompt could not be told of: %s", error)
