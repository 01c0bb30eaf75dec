"""What was granted, as the session's SSH end needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.files import Roots
from farhand_agent.session.files_flow import KnownHashes
from farhand_agent.session.mirror import Mirror
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.recording.session import SessionRecording
from farhand_agent.session.roll import Roll
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.subsystems import Subsystem

__all__ = ["SessionTerms"]


@dataclass
class SessionTerms:
    """What was granted.

    `forward_to` holds `host:port` destinations, already cut to grant and policy, and grows when the
    session is widened; `relay` is the relay's host and port; `subsystems` are by name, `sftp` not
    among them.  `on_wait` is told of a request (scope, words, seconds) that waits for a cool-down;
    `tell` says a line to every console, and is the host's to set; `roll` has those who joined,
    `mirror` shows the programs' output; `prompts` says whether the person is asked something.
    """

    session: str
    console_key: bytes
    scopes: LiveScopes
    actions: ActionLog
    roots: Roots
    forward_to: set[str]
    subsystems: Mapping[str, Subsystem]
    environment: dict[str, str] = field(default_factory=dict)
    hashes: KnownHashes = field(default_factory=KnownHashes)
    recording: SessionRecording | None = None
    relay: tuple[str, int] | None = None
    on_wait: Callable[[str, str, float], None] = lambda *_: None
    tell: Callable[[str], None] = lambda _: None
    roll: Roll = field(default_factory=Roll)
    mirror: Mirror = field(default_factory=Mirror)
    prompts: PromptGate = field(default_factory=PromptGate)
