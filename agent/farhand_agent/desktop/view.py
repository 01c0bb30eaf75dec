"""What one session process told, as the page shows it.  Pure: events go in, a state stands here.

    starting   code                      -> code       (a new code takes the place of the last)
    any        request                   -> asked      until decided, session, refused, or answered
    any        session                   -> open       scopes, actions, words, steps, pictures
    open       end                       -> ended
    starting, code, asked   refused      -> refused    `consent-refused`, `code-expired`, ...
    starting, code          stopped here -> ended      nothing was opened
    any        failed, nothing more      -> failed
    open       paused                    -> paused

`revision` counts changes, so that a browser can wait for the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec.structs

from farhand_agent.session.events import (
    ActionSeen,
    Asked,
    CodeShown,
    Decided,
    Ended,
    Event,
    Failed,
    LineChanged,
    Opened,
    Paused,
    PolicyChanged,
    Refused,
    Restarting,
    Said,
    ScopesChanged,
    ShotAsked,
    ShotOver,
    StepOver,
    StepShown,
    Waiting,
)

__all__ = ["MAX_SHOWN_ACTIONS", "MAX_SHOWN_LINES", "Phase", "SessionView"]

Phase: TypeAlias = Literal[
    "starting", "code", "asked", "open", "ended", "refused", "failed", "paused"
]
MAX_SHOWN_ACTIONS: Final = 200
MAX_SHOWN_LINES: Final = 200


class SessionView:
    """The state of one session, for its page.

    Args:
        name: of the watch or the session; part of the page's address.
        now: a steady clock.
    """

    def __init__(self, name: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.name = name
        self.revision = 0
        self.code: CodeShown | None = None
        self.code_until = 0.0
        self.asked: Asked | None = None
        self.asked_until = 0.0
        self._asked_shown_at: float | None = None
        self.opened: Opened | None = None
        self.scopes: list[str] = []
        self.actions: deque[ActionSeen] = deque(maxlen=MAX_SHOWN_ACTIONS)
        self.lines: deque[Said] = deque(maxlen=MAX_SHOWN_LINES)
        self.step: StepShown | None = None
        self.shot: ShotAsked | None = None
        self.shot_until = 0.0
        self.waiting: Waiting | None = None
        self.line: LineChanged | None = None
        self.policy: PolicyChanged | None = None
        self.decided: Decided | None = None
        self.over: Ended | Refused | Failed | Paused | None = None
        self.is_restarting = False
        self.is_lost = False
        self.is_stopped = False
        self.requests: list[Asked] = []

    @property
    def phase(self) -> Phase:
        """Return which page is shown."""
        match self.over:
            case Ended():
                return "ended"
            case Refused():
                return "refused"
            case Failed():
                return "failed"
            case Paused():
                return "paused"
        if self.is_lost:
            return "ended" if self.is_stopped else "failed"
        if self.asked is not None:
            return "asked"
        if self.opened is not None:
            return "open"
        return "code" if self.code is not None else "starting"

    @property
    def is_over(self) -> bool:
        """Whether nothing can be done here any more."""
        return self.over is not None or self.is_lost

    @property
    def session(self) -> str:
        """Return the session's id, empty before there is one."""
        if self.opened is not None:
            return self.opened.session
        return self.asked.session if self.asked is not None else ""

    @property
    def operator(self) -> str:
        """Return who is here, or asks to be."""
        if self.opened is not None:
            return self.opened.operator
        return self.requests[-1].operator if self.requests else ""

    def left_s(self, until: float) -> int:
        """Return how many seconds are left of something, never fewer than none."""
        return max(0, round(until - self._now()))

    def asked_shown(self) -> None:
        """Note that a browser has the question now; the first time counts."""
        if self.asked is not None and self._asked_shown_at is None:
            self._asked_shown_at = self._now()

    def is_read(self, within_s: float) -> bool:
        """Tell whether the question stood in a browser for so long; not where it never did."""
        shown_at = self._asked_shown_at
        return shown_at is not None and self._now() - shown_at >= within_s

    def answered(self, asked: Asked) -> None:
        """Take the question away that the person has just answered; the next may stand already."""
        if self.asked is asked:
            self.asked = None
            self.revision += 1

    def lost(self) -> None:
        """Nothing more will come: the session's process is gone."""
        if self.over is None:
            self.is_lost = True
        self._end_prompts()
        self.revision += 1

    def changed(self) -> None:
        """Count a change that was made beside the events."""
        self.revision += 1

    def apply(self, event: Event) -> None:
        """Take one event."""
        self.revision += 1
        match event:
            case CodeShown():
                self.code = event
                self.code_until = self._now() + event.expires_in_s
            case PolicyChanged():
                self.policy = event
            case Asked():
                self.asked, self.decided = event, None
                self._asked_shown_at = None
                self.asked_until = self._now() + event.answer_within_s
                self.requests = [*self.requests[-3:], event]
            case Decided():
                self.asked, self.decided = None, event
            case Opened():
                self.asked, self.opened = None, event
                self.scopes = list(event.scopes)
            case ScopesChanged():
                self.scopes = list(event.scopes)
            case LineChanged():
                self.line = event
            case Restarting():
                self.is_restarting = True
            case Waiting():
                self.waiting = event
            case Said():
                self.lines.append(event)
            case StepShown():
                self.step = event
            case StepOver():
                self.step = None
            case ShotAsked():
                self.shot = event
                self.shot_until = self._now() + event.answer_within_s
            case ShotOver():
                self.shot = None
            case ActionSeen():
                self.actions.append(event)
                if event.message == "join-handed-over" and self.opened is not None:
                    heir = str(event.facts.get("to", ""))
                    self.opened = msgspec.structs.replace(self.opened, operator=heir)
            case Refused() | Ended() | Failed() | Paused():
                self.over = event
                self._end_prompts()

    def _end_prompts(self) -> None:
        self.asked, self.step, self.shot = None, None, None
