"""The live set of scopes of one session, and everything that runs under each.

Every hook of the SSH host asks here at the moment of the request, so that withdrawing a scope works
on open connections.  asyncssh does not close what already runs; whoever opens a channel under a
scope therefore leaves a way to end it here, and withdrawing the scope calls it.

    closed     widen()                  -> open, or cooling for a while
    cooling    the time is over         -> open         what was asked meanwhile waits, and goes on
    open, cooling  withdraw()           -> closed       what runs under it is ended at once
    closed     widen() after a new yes  -> open, cooling

Above all that stands a gate: while it is `shut`, nothing is open, whatever was granted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

__all__ = ["LiveScopes"]

_log = logging.getLogger(__name__)


class LiveScopes:
    """What this session may do right now.

    Args:
        granted: scope names, as consented.
        cool_down_s: for scopes that open only so many seconds from now.
    """

    def __init__(
        self, granted: Iterable[str], *, cool_down_s: Mapping[str, float] | None = None
    ) -> None:
        self._granted: dict[str, asyncio.Event] = {}  # set when the scope is withdrawn
        self._opens_at: dict[str, float] = {}
        self._withdrawn: dict[str, str] = {}
        self._running: dict[int, tuple[str, Callable[[], None]]] = {}
        self._next = 0
        self._shut = ""
        for scope in granted:
            self.widen(scope, cool_down_s=(cool_down_s or {}).get(scope, 0.0))

    @property
    def granted(self) -> list[str]:
        """Return the scopes that are open now, sorted."""
        return sorted(self._granted)

    def allows(self, scope: str) -> bool:
        """Tell whether `scope` is open at this moment, or will be after its cool-down."""
        return scope in self._granted and not self._shut

    def shut(self, why: str) -> None:
        """Shut the gate: end what runs under any scope, and let nothing begin.

        Args:
            why: told to whoever worked under one; not empty.
        """
        self._shut = why
        for scope, gone in self._granted.items():
            gone.set()
            self._granted[scope] = asyncio.Event()
        self._end_running(None)

    def reopen(self) -> None:
        """Open the gate; what was granted is open again."""
        self._shut = ""

    def cooling_s(self, scope: str) -> float:
        """Return for how long requests under `scope` still wait; 0 when they need not."""
        return max(0.0, self._opens_at.get(scope, 0.0) - time.monotonic())

    async def ready(self, scope: str) -> bool:
        """Wait until a scope's cool-down is over; False when it is closed or is closed meanwhile.

        Safe to cancel.
        """
        while (gone := self._granted.get(scope)) is not None and not self._shut:
            left = self.cooling_s(scope)
            if not left:
                return True
            try:
                async with asyncio.timeout(left):
                    await gone.wait()
            except TimeoutError:
                continue
            return False
        return False

    def why_closed(self, scope: str) -> str:
        """Say why a scope was withdrawn; empty when it was not."""
        return self._withdrawn.get(scope, "") or self._shut

    def hold(self, scope: str, end: Callable[[], None]) -> Callable[[], None]:
        """Note something that runs under a scope.

        Args:
            scope: the scope it needs; when that is withdrawn already, `end` is called at once.
            end: ends it; called at most once, must not block.

        Returns:
            A function that forgets it again, to be called when it ended by itself.
        """
        if not self.allows(scope):
            self._call(end)
            return lambda: None
        self._next += 1
        key = self._next
        self._running[key] = (scope, end)

        def forget() -> None:
            self._running.pop(key, None)

        return forget

    def widen(self, scope: str, *, cool_down_s: float = 0.0) -> None:
        """Open a scope, after a cool-down; one that is open stays as it is."""
        if scope in self._granted:
            return
        self._granted[scope] = asyncio.Event()
        self._opens_at[scope] = time.monotonic() + cool_down_s
        self._withdrawn.pop(scope, None)

    def withdraw(self, scope: str, why: str = "") -> None:
        """Close a scope and end what runs under it.

        Args:
            scope: nothing happens where it is not open.
            why: told to whoever worked under it.
        """
        gone = self._granted.pop(scope, None)
        if gone is None:
            return
        self._withdrawn[scope] = why
        gone.set()
        self._end_running(scope)

    def withdraw_all(self, why: str = "") -> None:
        """Close every scope and end everything."""
        for scope in self.granted:
            self.withdraw(scope, why)

    def _end_running(self, scope: str | None) -> None:
        """End what runs under one scope, or under any."""
        for key, (held, end) in list(self._running.items()):
            if scope in (held, None):
                self._running.pop(key, None)
                self._call(end)

    def _call(self, end: Callable[[], None]) -> None:
        try:
            end()
        except OSError as error:
            # A channel that is gone already raises; the others must still be ended.
            _log.info("ending a channel: %s", error)
