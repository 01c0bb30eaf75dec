"""Looking on: what the terminals of a session show, as it happens (the subsystem `farhand-watch`).

What comes is foreign twice over, the device's and that of the program which runs there, so it goes
through the same filter as a recording's output: what draws passes, nothing that makes a terminal
answer or act does.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator
from typing import Any

import asyncssh
import msgspec

from farhand_console.session.channel import open_channel, raise_error
from farhand_console.session.recording_screen import ScreenFilter
from farhand_protocol.errors import FarhandError

__all__ = ["Begin", "Shown", "watch"]


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """What runs: `by` names an operator who joined, and is empty for the session's own."""

    title: str
    by: str
    columns: int
    rows: int
    terminal: bool


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened: a stream begins, shows `text`, or has `ended`; or output was lost.

    `text` is safe on a terminal; `status` is the program's, where it came to an end of its own.
    """

    stream: int = 0
    begin: Begin | None = None
    text: str = ""
    ended: bool = False
    status: int | None = None
    lost_bytes: int = 0


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    stream: int = 0
    begin: Begin | None = None
    data: bytes = b""
    end: int | None = None
    lost: int = 0


class _Screen:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._filter = ScreenFilter()

    def feed(self, data: bytes) -> str:
        return self._filter.feed(self._decoder.decode(data))


async def watch(connection: asyncssh.SSHClientConnection) -> AsyncGenerator[Shown, None]:
    """Tell what the session's terminals show, from the last of their output on, until it ends.

    Raises:
        FarhandError: `subsystem-unknown`, `session-lost`, `watchers-full`.
    """
    screens: dict[int, _Screen] = {}
    async with open_channel(connection, "farhand-watch") as channel:
        while (fields := await channel.receive()) is not None:
            raise_error(fields)
            line = _read(fields)
            if line.begin is not None:
                screens[line.stream] = _Screen()
                yield Shown(stream=line.stream, begin=line.begin)
            elif "end" in fields:
                screens.pop(line.stream, None)
                yield Shown(stream=line.stream, ended=True, status=line.end)
            elif line.data and (screen := screens.get(line.stream)) is not None:
                yield Shown(stream=line.stream, text=screen.feed(line.data))
            elif line.lost:
                yield Shown(lost_bytes=line.lost)


def _read(fields: dict[str, Any]) -> _Line:
    try:
        return msgspec.convert(fields, type=_Line)
    except (msgspec.MsgspecError, ValueError) as error:
        raise FarhandError(
            "session-lost", "the device shows something unknown", detail=str(error)
        ) from error
