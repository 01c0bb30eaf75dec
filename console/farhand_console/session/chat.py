"""The conversation of a session from the technician's side.

    send        one line                    -> its id
    transcript  what was said so far
    follow      every line as it comes, until the session or the caller ends it
    converse    follow, and send what is typed

Words come from a person's screen and are escaped before they are shown; a transcript becomes a note
only where the operator asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, Literal

import asyncssh
import msgspec

from farhand_console.output import printable
from farhand_console.session.channel import Channel, open_channel, raise_error
from farhand_protocol.errors import FarhandError

__all__ = [
    "MAX_TEXT_CHARS",
    "Line",
    "converse",
    "follow",
    "send",
    "transcript",
    "transcript_note",
]

MAX_TEXT_CHARS: Final = 2000
_SUBSYSTEM: Final = "farhand-chat"
# A note on a ticket has at most 64,000 characters; the newest lines are kept.
_MAX_NOTE_CHARS: Final = 60_000


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said, as the device tells it."""

    id: int
    at: str
    who: Literal["technician", "person"]
    text: str


async def send(connection: asyncssh.SSHClientConnection, texts: list[str]) -> list[int]:
    """Say something; return the ids.

    Raises:
        FarhandError: `chat-malformed`, `too-fast`, `chat-full`, `session-lost`.
    """
    ids = []
    async with open_channel(connection, _SUBSYSTEM) as channel:
        for text in texts:
            answer = await channel.ask({"say": text})
            ids.append(int(answer.get("said", 0)))
    return ids


async def transcript(connection: asyncssh.SSHClientConnection) -> list[Line]:
    """Return what was said so far."""
    async with open_channel(connection, _SUBSYSTEM) as channel:
        answer = await channel.ask({"list": True})
    lines: list[Line] = _converted(answer.get("items"), list[Line])
    return lines


async def follow(
    connection: asyncssh.SSHClientConnection, *, after: int = 0
) -> AsyncGenerator[Line, None]:
    """Yield each line behind `after`, until the session ends."""
    async with open_channel(connection, _SUBSYSTEM) as channel:
        await channel.send({"follow": after})
        while (answer := await channel.receive()) is not None:
            raise_error(answer)
            yield _converted(answer, Line)


async def converse(
    connection: asyncssh.SSHClientConnection,
    read: Callable[[], Awaitable[bytes]],
    show: Callable[[Line], None],
    complain: Callable[[str], None],
) -> None:
    """Send what is typed and show what the others write, until either side is at its end.

    Args:
        connection: to the device.
        read: returns typed bytes, empty at the end.
        show: takes each line that was not typed here.
        complain: takes one line of words, such as why something was not sent.
    """
    async with open_channel(connection, _SUBSYSTEM) as channel, asyncio.TaskGroup() as group:
        await channel.send({"follow": 0})
        showing = group.create_task(_show(channel, show, complain))
        typing = group.create_task(_type(channel, read))
        await asyncio.wait({showing, typing}, return_when=asyncio.FIRST_COMPLETED)
        showing.cancel()
        typing.cancel()


async def _show(
    channel: Channel, show: Callable[[Line], None], complain: Callable[[str], None]
) -> None:
    mine: set[int] = set()
    while (answer := await channel.receive()) is not None:
        if "said" in answer:
            mine.add(int(answer["said"]))
            continue
        try:
            raise_error(answer)
        except FarhandError as error:
            complain(f"not sent: {error.message}")
            continue
        line = _converted(answer, Line)
        if line.id not in mine:
            show(line)


async def _type(channel: Channel, read: Callable[[], Awaitable[bytes]]) -> None:
    held = b""
    while piece := await read():
        *whole, held = (held + piece).split(b"\n")
        for one in whole:
            if text := one.decode("utf-8", "replace").strip():
                await channel.send({"say": text})


def transcript_note(session: str, lines: list[Line]) -> str:
    """Return a conversation as the body of a note: escaped, the newest lines that fit."""
    rows: list[str] = []
    room = _MAX_NOTE_CHARS
    for line in reversed(lines):
        shown = f"{printable(line.at, 40)}  {line.who}: " + "\n    ".join(
            printable(one, MAX_TEXT_CHARS) for one in line.text.splitlines()
        )
        if (room := room - len(shown) - 1) < 0:
            rows.append(f"... {len(lines) - len(rows)} earlier lines are left out")
            break
        rows.append(shown)
    return "\n".join([f"Conversation of session {session}:", *reversed(rows)])


def _converted(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise FarhandError(
            "session-lost", "the device's answer cannot be read", detail=str(error)
        ) from error
