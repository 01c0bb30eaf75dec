"""What was done in a session, in order, as the receipt will list it.

The list is bounded twice, by entries and by the bytes that they take in the receipt; what does not
fit is counted and never silently lost.  Text from the console is kept as it came (bounded): whoever
shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime

import msgspec

from farhand_agent.session.action_file import ActionFile
from farhand_protocol.grants import Action, ActionKind
from farhand_protocol.instants import format_instant

__all__ = ["ACTING", "MAX_ACTIONS", "MAX_DETAIL_CHARS", "ActionKind", "ActionLog"]

MAX_ACTIONS = 5000
MAX_DETAIL_CHARS = 1000
# As JSON, where a control character is six bytes.  In its envelope it is a third more, and beside
# it lie the grants: together they must stay below MAX_ENVELOPE_BYTES.
MAX_ACTIONS_BYTES = 2 * 1024 * 1024
# The operator who joined and for whom this task works; empty for the session's own.  What a task
# starts, threads included, works for the same one.
ACTING: ContextVar[str] = ContextVar("farhand_acting", default="")


class ActionLog:
    """Collects the actions of one session.

    Args:
        clock: returns the time as an aware datetime.
        on_action: is told of each action, those past the bound included; must not block.
        file: keeps them for a session process that comes after this one; what it holds already
            comes first.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        on_action: Callable[[Action], None] | None = None,
        *,
        file: ActionFile | None = None,
    ) -> None:
        self._clock = clock
        self._on_action = on_action
        self._file = file
        self.actions: list[Action] = list(file.actions[:MAX_ACTIONS]) if file else []
        self.omitted = file.omitted if file else 0
        self._bytes = sum(map(_size, self.actions))

    async def settle(self) -> None:
        """Wait until what was noted would survive a loss of power."""
        if self._file is not None:
            await self._file.settle()

    def add(
        self,
        kind: ActionKind,
        detail: str,
        *,
        size_bytes: int | None = None,
        sha256: str | None = None,
        by: str | None = None,
        message: str = "",
        facts: Mapping[str, str | int] | None = None,
    ) -> None:
        """Note one action.

        Args:
            kind: what it was.
            detail: command, path, destination or what was refused; cut at `MAX_DETAIL_CHARS`.
            size_bytes, sha256: of a file that was read or written whole.
            by: the operator who joined and did it; that of the task where it is None.
            message, facts: the sentence of farhand_agent.deeds that `detail` is in English, and
                what fills it in; texts among the facts are cut as the detail is.
        """
        detail = _bounded(detail)
        said = {
            name: _bounded(value) if isinstance(value, str) else value
            for name, value in (facts or {}).items()
        }
        action = Action(
            at=format_instant(self._clock().replace(microsecond=0)),
            kind=kind,
            detail=detail,
            size_bytes=size_bytes,
            sha256=sha256,
            by=ACTING.get() if by is None else by,
            message=message or msgspec.UNSET,
            facts=said or msgspec.UNSET,
        )
        self._bytes += _size(action)
        if len(self.actions) < MAX_ACTIONS and self._bytes <= MAX_ACTIONS_BYTES:
            self.actions.append(action)
            if self._file is not None:
                self._file.append(action)
        else:
            self.omitted += 1
            if self._file is not None:
                self._file.omit(self.omitted)
        if self._on_action is not None:
            self._on_action(action)


def _bounded(text: str) -> str:
    # A command may hold lone surrogates (bytes of a path that are no UTF-8); JSON cannot.
    return text[:MAX_DETAIL_CHARS].encode("utf-8", "backslashreplace").decode()


def _size(action: Action) -> int:
    """Return what an action takes of the bound: its bytes in the receipt, and a comma."""
    return len(msgspec.json.encode(action)) + 1
