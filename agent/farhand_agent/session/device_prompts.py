"""Prompts of the other sessions of this device, each of which is a process of its own.

    a prompt is about to be shown   a file of its own is locked in the home's folder `prompts`, then
                                    each open session's socket is told {"do": "prompt"}, and its
                                    answer is waited for: it has frozen by then
    it is over                      the file goes; the others notice within a moment
    its process died                so did its lock, and the file means nothing

The lock is what counts, and is looked at before anything is injected; being told only makes the
others look at once.  Whoever gives no answer within `TELL_S` injects nothing either way.
Two homes of one computer know nothing of each other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from pathlib import Path

import msgspec

from farhand_agent.config import Home
from farhand_agent.errors import HomeUnusable
from farhand_agent.journal import Journal
from farhand_agent.local import MAX_LINE_BYTES, socket_path
from farhand_agent.locks import Lock, is_held, try_lock
from farhand_protocol.errors import FarhandError

__all__ = ["TELL_S", "DevicePrompts"]

_log = logging.getLogger(__name__)

TELL_S = 3.0
_REQUEST = msgspec.json.encode({"do": "prompt"}) + b"\n"


class DevicePrompts:
    """This process's prompts as the others see them, and theirs.

    Args:
        home: of the agent.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.path / "prompts"
        self._file = self._folder / secrets.token_hex(8)
        self._lock: Lock | None = None

    def begin(self) -> None:
        """Let the others see that a prompt stands.

        Raises:
            HomeUnusable: they cannot; nobody may be asked then.
        """
        made = self._file.with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for left in self._names():
                if not is_held(self._folder / left):
                    (self._folder / left).unlink(missing_ok=True)
            # Only what is locked already gets a name that is looked at.
            self._lock = try_lock(made)
            made.rename(self._file)
        except OSError as error:
            _remove(made)
            self.end()
            raise HomeUnusable(
                "the other sessions cannot be told that somebody is asked", detail=str(error)
            ) from error

    def end(self) -> None:
        """Let the others see that none stands any more."""
        _remove(self._file)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def is_elsewhere(self) -> bool:
        """Tell whether another process shows a prompt just now."""
        try:
            others = [one for one in self._names() if one != self._file.name]
            return any(is_held(self._folder / one) for one in others)
        except FileNotFoundError:
            return False  # nobody was ever asked here
        except OSError as error:
            _log.warning("it cannot be seen whether somebody is asked: %s", error)
            return True

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return [one.name for one in entries if "." not in one.name]

    async def tell(self) -> None:
        """Make each open session look, and wait until it has."""
        sessions = await asyncio.to_thread(_open_sessions, self._home)
        await asyncio.gather(*(self._tell(one) for one in sessions))

    async def _tell(self, session: str) -> None:
        try:
            async with asyncio.timeout(TELL_S):
                reader, writer = await asyncio.open_unix_connection(
                    str(socket_path(self._home, session=session)), limit=MAX_LINE_BYTES
                )
                try:
                    writer.write(_REQUEST)
                    await writer.drain()
                    await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError, FarhandError) as error:
            _log.info("%s was not told that somebody is asked: %s", session, error)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        # It means nothing once its lock is free.
        _log.info("the mark of a prompt stays: %s", error)


def _open_sessions(home: Home) -> list[str]:
    if not home.journal.exists():
        return []
    try:
        journal = Journal(home.journal, read_only=True)
        try:
            return [row.id for row in journal.live_sessions()]
        finally:
            journal.close()
    except FarhandError as error:
        _log.warning("open sessions cannot be told that somebody is asked: %s", error)
        return []
