"""A forwarded connection to the device's own remote desktop, while the person is asked something.

    carrying   a prompt stands, here or in another session    -> stalled    nothing is read on
    stalled    none stands any more                           -> carrying   what was kept goes first

What comes in the very moment is kept and not passed on: one piece from each end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from asyncssh.forward import SSHForwarder

from farhand_agent.session.prompts import PromptGate

__all__ = ["LOOK_S", "Stall", "Stallable"]

# That another session's prompt is gone is told to nobody; so often it is looked.
LOOK_S: Final = 0.5


class Stallable(SSHForwarder):
    """One end, which reads nothing while it is stalled, whatever its peer has room for."""

    def __init__(self, peer: SSHForwarder | None = None) -> None:
        super().__init__(peer)
        self.must_wait: Callable[[], bool] = lambda: False
        self._is_stalled = False
        self._is_full = False
        self._kept: list[bytes] = []

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Carry bytes over, or keep them."""
        if self.must_wait():
            self._kept.append(data)
        else:
            super().data_received(data, datatype)

    def pause_reading(self) -> None:
        """Read nothing: the other end is full."""
        self._is_full = True
        if not self._is_stalled and self._transport is not None:
            super().pause_reading()

    def resume_reading(self) -> None:
        """Read on, where nothing else speaks against it."""
        self._is_full = False
        if not self._is_stalled and self._transport is not None:
            super().resume_reading()

    def stall(self, wanted: bool) -> None:
        """Stall this end, or let it go on."""
        if wanted == self._is_stalled or self._transport is None:
            return
        self._is_stalled = wanted
        if wanted:
            if not self._is_full:
                super().pause_reading()
            return
        kept, self._kept = self._kept, []
        for data in kept:
            super().data_received(data)
        if not self._is_full:
            super().resume_reading()


class Stall:
    """Stalls the two ends of one connection while a prompt stands.

    Args:
        gate: whether one does.
        ends: of the connection.
    """

    def __init__(self, gate: PromptGate, *ends: Stallable) -> None:
        self._gate = gate
        self._ends = ends
        self._timer: asyncio.TimerHandle | None = None
        self._forget = gate.heed(self._on_change)
        for end in ends:
            end.must_wait = self.look

    def begin(self) -> None:
        """Look from now on, until `end`."""
        self.look()
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self.begin)

    def _on_change(self, _: bool) -> None:
        self.look()

    def look(self) -> bool:
        """Stall or go on, as it is now; tells whether it is stalled."""
        is_open = self._gate.is_open
        for end in self._ends:
            end.stall(is_open)
        return is_open

    def end(self) -> None:
        """Look no more."""
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
