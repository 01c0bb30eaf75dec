"""The live set of scopes of one session, and everything that runs under each.

Every hook of the SSH host asks here at the moment of the request, so that withdrawing a scope works
on open connections.  asyncssh does not close what already runs; whoever opens a channel under a
scope therefore leaves a way to end it here, and withdrawing the scope calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

__all__ = ["LiveScopes"]

_log = logging.getLogger(__name__)


class LiveScopes:
    """What this session may do right now; starts closed.

    Args:
        granted: scope names, as consented.
    """

    def __init__(self, granted: Iterable[str]) -> None:
        self._granted = set(granted)
        self._running: dict[int, tuple[str, Callable[[], None]]] = {}
        self._next = 0

    @property
    def granted(self) -> list[str]:
        """Return the scopes that are open now, sorted."""
        return sorted(self._granted)

    def allows(self, scope: str) -> bool:
        """Tell whether `scope` is open at this moment."""
        return scope in self._granted

    def hold(self, scope: str, end: Callable[[], None]) -> Callable[[], None]:
        """Note something that runs under a scope.

        Args:
            scope: the scope it needs; when that is withdrawn already, `end` is called at once.
            end: ends it; called at most once, must not block.

        Returns:
            A function that forgets it again, to be called when it ended by itself.
        """
        if scope not in self._granted:
            self._call(end)
            return lambda: None
        self._next += 1
        key = self._next
        self._running[key] = (scope, end)

        def forget() -> None:
            self._running.pop(key, None)

        return forget

    def withdraw(self, scope: str) -> None:
        """Close a scope and end what runs under it; a scope never comes back this way."""
        self._granted.discard(scope)
        for key, (held, end) in list(self._running.items()):
            if held == scope:
                self._running.pop(key, None)
                self._call(end)

    def withdraw_all(self) -> None:
        """Close every scope and end everything."""
        for scope in self.granted:
            self.withdraw(scope)

    def _call(self, end: Callable[[], None]) -> None:
        try:
            end()
        except OSError as error:
            # A channel that is gone already raises; the others must still be ended.
            _log.info("ending a channel: %s", error)
