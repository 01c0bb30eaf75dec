"""Whether something waits for the person's own hand: a question, or a picture that she looks over.

Whoever injects input or shows her screen to somebody else asks here: while `is_open`, what is
injected must not reach her machine, and her screen is not sent, so that nobody at the other end can
answer in her place.  Prompts may overlap; the gate is open until the last one is closed, in this
process and in those of the device's other sessions (device_prompts.py).  It asks nothing itself
(asking.py, screenshot.py).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from farhand_agent.session.device_prompts import DevicePrompts

__all__ = ["PromptGate"]

_log = logging.getLogger(__name__)


class PromptGate:
    """The prompts of a device, as one session process sees them.

    Args:
        device: tells the other processes, and of them; without, this one is alone.
    """

    def __init__(self, device: DevicePrompts | None = None) -> None:
        self._device = device
        self._standing = 0
        self._heeders: list[Callable[[bool], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether a prompt stands just now, here or in another session."""
        return self._standing > 0 or (self._device is not None and self._device.is_elsewhere())

    def heed(self, on_change: Callable[[bool], None]) -> Callable[[], None]:
        """Tell somebody of each change from now on.

        That a prompt of another session is gone is told to nobody; whoever freezes looks again.

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

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[None]:
        """Hold the gate open for as long as a prompt stands.

        It begins when all sessions of the device have frozen.

        Raises:
            HomeUnusable: the others cannot be told.
        """
        self._standing += 1
        try:
            if self._standing == 1:
                self._tell()
                if self._device is not None:
                    self._device.begin()
            if self._device is not None:
                await self._device.tell()
            yield
        finally:
            self._standing -= 1
            if not self._standing:
                if self._device is not None:
                    self._device.end()
                self._tell()

    async def look(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Tell everybody what stands now: another session's process says that one begins."""
        self._tell()
        return {}

    def _tell(self) -> None:
        is_open = self.is_open
        for on_change in list(self._heeders):
            try:
                on_change(is_open)
            except OSError as error:
                # One that is gone must not keep the others from freezing.
                _log.warning("a prompt could not be told of: %s", error)
