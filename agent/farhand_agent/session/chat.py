"""The conversation of one session: what its people write to each other.

The subsystem `farhand-chat` is open to whoever holds the grant's key, whatever the scopes; JSON
lines both ways:

    {"say": TEXT}      -> {"said": ID, "at": TIME}
    {"list": true}     -> {"items": [LINE, ...]}           all that was said so far
    {"follow": AFTER}  -> LINE, LINE, ...                  those behind that id, as they come
    anything else      -> {"error": {"code", "message"}}

A LINE is `{"id", "at", "who": "technician" | "person", "text"}`; ids count from 1.  Text is foreign
to whoever reads it, and whoever shows it escapes it.  It stays in this process's memory and goes
with it: the receipt tells that something was said and never what, the relay sees bytes of SSH, and
only the operator can put a transcript into the ticket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from farhand_agent.session.actions import ActionLog
from farhand_agent.session.rates import Rate
from farhand_agent.session.subsystems import Lines
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.instants import format_instant

__all__ = ["MAX_LINES", "MAX_TEXT_CHARS", "ChatLine", "ChatRoom", "Who"]

MAX_TEXT_CHARS: Final = 2000
MAX_LINES: Final = 1000
_MAX_REQUEST_BYTES: Final = 32 * 1024

Who: TypeAlias = Literal["technician", "person"]


class ChatLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said."""

    id: int
    at: str
    who: Who
    text: str


class ChatRoom:
    """Keeps the conversation and hands it on.

    Args:
        actions: where it is noted that something was said.
        now: the session's time.
        tell: is told of each line, for the screen of the person; must not block.
    """

    def __init__(
        self, actions: ActionLog, now: Callable[[], datetime], tell: Callable[[ChatLine], None]
    ) -> None:
        self._actions = actions
        self._now = now
        self._tell = tell
        self._said: list[ChatLine] = []
        self._rates: dict[Who, Rate] = {"technician": Rate(), "person": Rate()}
        self._news: set[asyncio.Event] = set()
        self._is_over = False

    @property
    def lines(self) -> list[ChatLine]:
        """Return what was said so far."""
        return list(self._said)

    def close(self) -> None:
        """Take nothing more: the session ends."""
        self._is_over = True

    def say(self, who: Who, text: object) -> ChatLine:
        """Add a line.

        Raises:
            RemoteError: `chat-malformed` for what is no text of 1 to `MAX_TEXT_CHARS` characters;
                `chat-full`, `too-fast`, `session-ended`.
        """
        if not isinstance(text, str) or not (text := text.strip()) or len(text) > MAX_TEXT_CHARS:
            raise RemoteError("chat-malformed", f"a message has 1 to {MAX_TEXT_CHARS} characters")
        if self._is_over:
            raise RemoteError("session-ended", "the session is ending")
        if len(self._said) >= MAX_LINES:
            raise RemoteError("chat-full", "this session's conversation is as long as it can be")
        self._rates[who].take()
        line = ChatLine(
            id=len(self._said) + 1,
            at=format_instant(self._now().replace(microsecond=0)),
            who=who,
            # What JSON cannot carry never reaches a peer.
            text=text.encode("utf-8", "replace").decode(),
        )
        self._said.append(line)
        self._actions.add("chat", f"by the {who}", message=f"chat-{who}")
        self._tell(line)
        for news in self._news:
            news.set()
        return line

    async def serve(self, lines: Lines) -> None:
        """Hold the console's side of the conversation until it leaves."""
        async with asyncio.TaskGroup() as group:
            following: asyncio.Task[None] | None = None
            while line := await lines.read_line(_MAX_REQUEST_BYTES):
                answer = self._answer(line)
                if "follow" in answer:
                    if following is None:
                        following = group.create_task(self._follow(lines, answer["follow"]))
                    continue
                await lines.write(msgspec.json.encode(answer) + b"\n")
            if following is not None:
                following.cancel()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, ValueError):
            request = {}
        try:
            match request:
                case {"say": text}:
                    said = self.say("technician", text)
                    return {"said": said.id, "at": said.at}
                case {"list": True}:
                    return {"items": self._said}
                case {"follow": int(after)}:
                    return {"follow": max(0, after)}
            raise RemoteError("chat-malformed", "this means nothing in a conversation")
        except FarhandError as error:
            return {"error": {"code": error.code, "message": error.message}}

    async def _follow(self, lines: Lines, after: int) -> None:
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                for line in self._said[after:]:
                    await lines.write(msgspec.json.encode(line) + b"\n")
                    after = line.id
                news.clear()
                if len(self._said) <= after:
                    await news.wait()
        finally:
            self._news.discard(news)
