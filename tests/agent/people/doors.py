"""A door for tests: real sockets, and a user at the other end whom the test names."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farhand_agent.config import Home
from farhand_agent.door import Door
from farhand_agent.journal import Journal
from farhand_agent.journal_thread import JournalThread
from farhand_agent.people import door_server
from farhand_agent.people.desk import OPEN_TO_ALL, PeopleDesk
from farhand_agent.people.door_server import DoorServer
from farhand_agent.people.persons import Persons

ALICE, BOB, EVE = 4001, 4002, 4003


class _Theirs(Door):
    """A door to which each connection says whose it is, as the kernel would."""

    def __init__(self, home: Home, folder: Path, user: int) -> None:
        super().__init__(home, folder=folder)
        self._user = user

    def _socket(self) -> socket.socket:
        link = super()._socket()
        link.bind(f"\0farhand-{uuid.uuid4().hex}-{self._user}")
        return link


def _told_user(link: socket.socket) -> int:
    return int(link.getpeername().decode().rpartition("-")[2])


class OpenDoor:
    """The door of a home, who sits at the computer, and who asks."""

    def __init__(self, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._folder = folder
        self.here: set[int] = {ALICE, BOB}
        self.stopped: list[str | None] = []
        self.server: DoorServer
        monkeypatch.setattr(door_server, "peer_uid", _told_user)
        self.journal = JournalThread(Journal(home.journal, create=True))
        self.desk = PeopleDesk(home, self.journal, self._stop)
        self.persons = Persons(home, logged_in=self._logged_in)

    async def _logged_in(self) -> set[int]:
        return set(self.here)

    async def _stop(self, session: str | None) -> list[str]:
        self.stopped.append(session)
        return []

    def of(self, user: int) -> Door:
        """Return the door as a user finds it."""
        return _Theirs(self.home, self._folder, user)

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
    server = opened.server = DoorServer(
        home, opened.persons, opened.desk.work, open_to_all=OPEN_TO_ALL, held=opened.desk.held,
        folder=folder / "people",
    )  # fmt: skip
    try:
        async with server:
            yield opened
    finally:
        opened.journal.close()
        shutil.rmtree(folder)
