"""A door for tests: real sockets, and a user at the other end whom the test names."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.door import Door
from farhand_agent.errors import AgentNotRunning
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_agent.people import door_server
from farhand_agent.people.desk import OPEN_TO_ALL, PeopleDesk
from farhand_agent.people.door_server import DoorServer
from farhand_agent.people.persons import Persons

ALICE, BOB, EVE = 4001, 4002, 4003


class OpenDoor:
    """The door of a home, who sits at the computer, and who asks."""

    def __init__(self, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._folder = folder
        self._callers: deque[int] = deque()
        self._turn = threading.Lock()
        self.here: set[int] = {ALICE, BOB}
        self.stopped: list[str | None] = []
        monkeypatch.setattr(door_server, "peer_uid", lambda _: self._callers.popleft())
        self.journal = JournalThread(Journal(home.journal, create=True))
        self.desk = PeopleDesk(home, self.journal, self._stop)
        self.persons = Persons(home, logged_in=self._logged_in)

    async def _logged_in(self) -> set[int]:
        return set(self.here)

    async def _stop(self, session: str | None) -> list[str]:
        self.stopped.append(session)
        return []

    def of(self, user: int) -> Door:
        """Return the door as a user finds it: connections are taken in their order."""
        callers, turn = self._callers, self._turn

        class Theirs(Door):
            def connect(self, timeout_s: float = 30.0) -> socket.socket:
                with turn:
                    callers.append(user)
                    try:
                        return super().connect(timeout_s)
                    except AgentNotRunning:
                        callers.pop()
                        raise

        return Theirs(self.home, folder=self._folder)

    async def ask(
        self, do: str, *, user: int = ALICE, more: Iterable[dict[str, Any]] = (), **fields: Any
    ) -> dict[str, Any]:
        """Ask as a user."""
        return await asyncio.to_thread(self.of(user).ask, {"do": do, **fields}, more=more)

    async def log(self, kind: str) -> list[str]:
        records = await self.journal.do(lambda journal: journal.latest_log_records(100))
        return [record.detail for record in records if record.kind == kind]


@asynccontextmanager
async def open_door(home: Home, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenDoor]:
    home.make()
    # Paths of sockets are short, and a test's own folder is not.
    folder = Path(tempfile.mkdtemp(prefix="door-", dir="/tmp"))
    opened = OpenDoor(home, folder / "people", monkeypatch)
    server = DoorServer(
        home, opened.persons, opened.desk.work, open_to_all=OPEN_TO_ALL, held=opened.desk.held,
        folder=folder / "people",
    )  # fmt: skip
    try:
        async with server:
            yield opened
    finally:
        opened.journal.close()
        shutil.rmtree(folder)
