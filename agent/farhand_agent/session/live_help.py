"""What goes on between the two people of a session: words, instructions, and the small tools.

It puts chat, steps, pictures and tools beside each other under their subsystem names, and gives the
person a way in where no terminal shows the session: the session's process listens on an owner-only
socket (farhand_agent.local), one JSON request and one answer at a time:

    {"do": "say", "text": TEXT}                            -> {"said": ID}
    {"do": "step", "step": ID, "answer": "done" | "cannot", "why": TEXT}
                                                           -> {"taken": true | false}
    {"do": "talk"}       -> {"operator", "lines": [LINE, ...], "step": {...} | null}

`talk` answers with the last lines only; a conversation may be longer than one answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from farhand_agent.config import Home
from farhand_agent.local_server import Handler, LocalServer
from farhand_agent.session.actions import ActionLog
from farhand_agent.session.chat import ChatLine, ChatRoom
from farhand_agent.session.events import Event, Said, StepOver, StepShown
from farhand_agent.session.files_roots import Roots
from farhand_agent.session.prompts import PromptGate
from farhand_agent.session.restart import MachineRestart
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.screenshot import ScreenshotDesk
from farhand_agent.session.steps import Step, StepDesk
from farhand_agent.session.subsystems import Subsystem
from farhand_agent.session.tools.commands import ToolCommands
from farhand_agent.session.tools.desk import ToolDesk
from farhand_protocol.errors import FarhandError

__all__ = ["HelpTerms", "LiveHelp"]

_log = logging.getLogger(__name__)

# An answer on the local socket has 64 KiB at least; so many lines of any length fit into what the
# asking side reads.
_LINES_TOLD: Final = 50


@dataclass(frozen=True, kw_only=True)
class HelpTerms:
    """One session, as far as the people in it need it."""

    home: Home
    session: str
    operator: str
    scopes: LiveScopes
    actions: ActionLog
    roots: Roots
    restart: MachineRestart
    environment: Mapping[str, str]
    now: Callable[[], datetime]
    emit: Callable[[Event], None]
    on_wait: Callable[[str, str, float], None]
    gate: PromptGate = field(default_factory=PromptGate)
    has_page: Callable[[], bool] = lambda: False


class LiveHelp:
    """Chat, steps and tools of one session.

    Args:
        terms: of the session.
    """

    def __init__(self, terms: HelpTerms) -> None:
        self._terms = terms
        self.operator = terms.operator
        self.chat = ChatRoom(terms.actions, terms.now, self._on_said)
        self.steps = StepDesk(terms.actions, terms.now, self._on_step, self._on_step_over)
        self.screenshots = ScreenshotDesk(
            terms.actions,
            terms.gate,
            terms.emit,
            session=terms.session,
            operator=lambda: self.operator,
            has_page=terms.has_page,
        )
        self._tools = ToolDesk(
            scopes=terms.scopes,
            actions=terms.actions,
            roots=terms.roots,
            restart=terms.restart,
            commands=ToolCommands(terms.environment),
            on_wait=terms.on_wait,
        )
        self._listening = AsyncExitStack()

    def subsystems(self) -> dict[str, Subsystem]:
        """Return the rows of the host's table."""
        return {
            "farhand-chat": Subsystem(None, self.chat.serve),
            "farhand-steps": Subsystem(None, self.steps.serve),
            "farhand-screenshot": Subsystem(None, self.screenshots.serve),
            "farhand-tools": Subsystem(None, self._tools.serve),
        }

    async def open(self, others: Mapping[str, Handler] | None = None) -> None:
        """Listen for what the person says outside this session's terminal.

        Args:
            others: what else may be asked there, by its `do`.
        """
        handlers = {"say": self._say, "step": self._step, "talk": self._talk, **(others or {})}
        server = LocalServer(self._terms.home, handlers, session=self._terms.session)
        try:
            await self._listening.enter_async_context(server)
        except (OSError, FarhandError) as error:
            # The session is as good without; whoever has its terminal can still speak.
            _log.warning("nobody can speak from another terminal: %s", error)

    def close(self) -> None:
        """Take nothing more from either side: the session ends."""
        self.chat.close()
        self.steps.close()
        self.screenshots.close()

    async def leave(self) -> None:
        """Stop listening."""
        self.close()
        await self._listening.aclose()

    def say(self, text: object) -> None:
        """Say something for the person; what cannot be said is told on her screen."""
        try:
            self.chat.say("person", text)
        except FarhandError as error:
            _log.warning("not sent: %s", error.message)

    # What comes over the local socket.

    async def _say(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"said": self.chat.say("person", request.get("text")).id}

    async def _step(self, request: dict[str, Any]) -> dict[str, Any]:
        standing = self.steps.standing
        step = request.get("step") or (standing.id if standing else None)
        return {"taken": self.steps.answer(step, request.get("answer"), request.get("why", ""))}

    async def _talk(self, _request: dict[str, Any]) -> dict[str, Any]:
        step = self.steps.standing
        return {
            "operator": self.operator,
            "lines": msgspec.to_builtins(self.chat.lines[-_LINES_TOLD:]),
            "step": None if step is None else _shown(step),
        }

    # What the person is told.

    def _on_said(self, line: ChatLine) -> None:
        operator = self.operator if line.who == "technician" else ""
        self._terms.emit(
            Said(
                session=self._terms.session,
                id=line.id,
                at=line.at,
                who=line.who,
                operator=operator,
                text=line.text,
            )
        )

    def _on_step(self, step: Step) -> None:
        self._terms.emit(StepShown(session=self._terms.session, **_shown(step)))

    def _on_step_over(self, step: int, answer: str) -> None:
        self._terms.emit(StepOver(session=self._terms.session, step=step, answer=answer))


def _shown(step: Step) -> dict[str, Any]:
    return {"step": step.id, "number": step.number, "of": step.of, "text": step.text}
