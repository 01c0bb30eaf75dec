"""The agent's own errors: what can be wrong with its home, its journal and its relay.

Codes that more than one module raises live here, so that they are worded once.  Everything is a
`FarhandError`; who is at fault is said by the class (`farhand_protocol.errors`).
"""

from __future__ import annotations

from farhand_protocol.errors import FarhandError, UsageError

__all__ = [
    "AgentNotRunning",
    "AlreadyRunning",
    "HomeForeign",
    "HomeUnusable",
    "JournalFull",
    "JournalUnusable",
    "LinkLost",
    "NotEnrolled",
]


class NotEnrolled(UsageError):
    """The home holds no enrolment, and the command needs one."""

    def __init__(self, home: str) -> None:
        super().__init__(
            "not-enrolled",
            f"{home} is not the home of an enrolled device",
            hint="run `farhand-agent enrol --home DIR TOKEN` first",
        )


class HomeUnusable(FarhandError):
    """The home or a file in it cannot be read, written or trusted."""

    def __init__(self, message: str, *, hint: str | None = None, detail: str | None = None) -> None:
        super().__init__("home-unusable", message, hint=hint, detail=detail)


class HomeForeign(FarhandError):
    """The home is a console's or a relay's; nothing is written there."""

    def __init__(self, home: str) -> None:
        super().__init__(
            "home-foreign",
            f"{home} belongs to another program",
            hint="give the agent a folder of its own with --home",
        )


class JournalFull(FarhandError):
    """The disk of the home is full: nothing can be journalled, so nothing is accepted."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "journal-full",
            "the disk of the agent's home is full, so nothing can be journalled or accepted",
            hint="make room on that disk; the agent goes on by itself",
            detail=detail,
        )


class JournalUnusable(FarhandError):
    """The journal cannot be opened, read or written for another reason than a full disk."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "journal-failed", "the agent's journal cannot be read or written", detail=detail
        )


class AlreadyRunning(FarhandError):
    """Another agent process holds the home's lock."""

    def __init__(self) -> None:
        super().__init__("already-running", "an agent already runs on this home")


class AgentNotRunning(FarhandError):
    """No resident agent answers on the local socket."""

    def __init__(self) -> None:
        super().__init__(
            "agent-not-running",
            "no agent runs on this home",
            hint="start it with `farhand-agent run --home DIR`",
        )


class LinkLost(FarhandError):
    """The link to the relay ended while something was waiting for it.

    `reason` is the word with which the relay closed it, empty where there was none.
    """

    def __init__(self, detail: str = "", *, reason: str = "") -> None:
        super().__init__("link-lost", "the link to the relay was lost", detail=detail)
        self.reason = reason
