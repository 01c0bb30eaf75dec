"""The resident agent's end of the door; what is spoken there stands in `farhand_agent.door`.

It takes connections, asks the kernel whose each is and `Persons` what that user counts as, reads
one bounded line, and hands it to whoever does the work.  A connection has a place in one room at a
time, and is closed unread where that is full:

    before `Persons` was asked   who counted as a person last time: in the people's room
                                 others: in the hall, eight of each and `MAX_HALL` together
    she is a person              in the people's room, `MAX_PER_USER` of each and `MAX_CONNECTIONS`
                                 of all but root
    she is a stranger            in the strangers' room, two of each and `MAX_STRANGERS` together

So strangers take no place of the people's, however many they are and however long it takes to tell
who is who; `_LOOKS` are told at once from the hall, and as many from the people's room.  What
strangers may ask for is said by name (`open_to_all`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_agent.config import Home
from farhand_agent.door import door_path, peer_uid
from farhand_agent.local import MAX_LINE_BYTES
from farhand_agent.people.persons import Person, Persons
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError

__all__ = ["MAX_CONNECTIONS", "MAX_HALL", "MAX_PER_USER", "MAX_STRANGERS", "Caller", "DoorServer"]

MAX_CONNECTIONS: Final = 64
MAX_PER_USER: Final = 24
MAX_STRANGERS: Final = 16
MAX_HALL: Final = 64
_PER_STRANGER: Final = 2
# What a page asks at once when an agent has just started, which knows nobody.
_PER_UNKNOWN: Final = 8
# Each takes a thread of those that the whole agent shares.
_LOOKS: Final = 2
_READ_S: Final = 10.0
_WRITE_S: Final = 10.0
_SWEPT: Final = 100
_CONNECT_S: Final = 0.2
_ROOT: Final = 0


class Caller:
    """One connection: who it is, and what else comes over it.

    Args:
        person: who she was when she asked.
        persons: who she is now.
        reader: of the connection.
    """

    def __init__(self, person: Person, persons: Persons, reader: asyncio.StreamReader) -> None:
        self.person = person
        self._persons = persons
        self._reader = reader

    async def line(self) -> dict[str, Any]:
        """Return one more line.

        Raises:
            RemoteError: `request-malformed`.
        """
        try:
            async with asyncio.timeout(_READ_S):
                data = await self._reader.readline()
            return msgspec.json.decode(data, type=dict[str, Any])
        except (TimeoutError, OSError, ValueError, RecursionError) as error:
            raise RemoteError("request-malformed", "the request cannot be read") from error

    async def gone(self, within_s: float) -> bool:
        """Wait for the other end to go; False where it is still there after `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                while await self._reader.read(1024):
                    continue  # there is nothing more to say here
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    async def check_here(self) -> None:
        """See that she still counts as a person at this computer.

        Raises:
            RefusedError: `people-stranger`.
        """
        self.person = await self._persons.look(self.person.uid)
        if not self.person.is_here:
            raise _stranger()


class _Room:
    """Places for connections.

    Args:
        in_all: how many there are; root always finds one.
        of_one: how many one user may have.
    """

    def __init__(self, in_all: int, of_one: int) -> None:
        self._in_all = in_all
        self._of_one = of_one
        self.taken: Counter[int] = Counter()

    @contextmanager
    def place(self, uid: int) -> Iterator[bool]:
        """Take a place for as long as the block runs; False where there is none."""
        is_full = self.taken.total() >= self._in_all and uid != _ROOT
        if is_full or self.taken[uid] >= self._of_one:
            yield False
            return
        self.taken[uid] += 1
        try:
            yield True
        finally:
            self.taken[uid] -= 1
            if not self.taken[uid]:
                del self.taken[uid]


Work = Callable[[Caller, dict[str, Any]], Awaitable[dict[str, Any]]]
Answer = Callable[[dict[str, Any]], Awaitable[None]]
Held = Callable[[Caller, dict[str, Any], Answer], Awaitable[None]]


class DoorServer:
    """Listens at the door; use as an asynchronous context manager.

    Args:
        home: of the agent.
        persons: who is who.
        work: what may be asked, by its `do`.
        open_to_all: what strangers may ask as well.
        held: what answers by itself and goes on for as long as its connection.
        folder: for tests, instead of the system's.
    """

    def __init__(
        self,
        home: Home,
        persons: Persons,
        work: Mapping[str, Work],
        *,
        open_to_all: Collection[str],
        held: Mapping[str, Held],
        folder: Path | None = None,
    ) -> None:
        self._home = home
        self._persons = persons
        self._work = work
        self._open_to_all = open_to_all
        self._held = held
        self._folder = folder
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._people = _Room(MAX_CONNECTIONS, MAX_PER_USER)
        self._strangers = _Room(MAX_STRANGERS, _PER_STRANGER)
        self._hall = _Room(MAX_HALL, _PER_UNKNOWN)
        # Who counted as a person when she was last looked at; those two always do.
        self._known = {_ROOT, os.geteuid()}
        self._looks = {True: asyncio.Semaphore(_LOOKS), False: asyncio.Semaphore(_LOOKS)}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> DoorServer:
        """Listen.

        Raises:
            HomeUnusable: the folder cannot be used.
            OSError: the socket cannot be made.
        """
        path = door_path(self._home, folder=self._folder, make=True)
        # It gets its name when it listens, so that what has a name and is silent is a dead one's.
        made = path.with_name(f"{path.name}.{os.getpid()}")
        made.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, path=str(made), limit=MAX_LINE_BYTES
        )
        # Not by the umask, which is the whole process's.
        made.chmod(0o666)
        made.rename(path)
        self._path = path
        await asyncio.to_thread(_sweep, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._path is not None
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._one(peer_uid(writer.get_extra_info("socket")), reader, writer)
        except (OSError, TimeoutError):
            return  # she is gone, or slower than anybody waits
        except asyncio.CancelledError:
            return  # the agent stops, and nobody awaits this task
        finally:
            self._tasks.discard(task)
            await _close(writer)

    async def _one(
        self, uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async def answer(fields: dict[str, Any]) -> None:
            async with asyncio.timeout(_WRITE_S):
                writer.write(msgspec.json.encode(fields) + b"\n")
                await writer.drain()

        is_known = uid in self._known
        with (self._people if is_known else self._hall).place(uid) as has_place:
            if not has_place:
                return
            async with self._looks[is_known]:
                person = await self._persons.look(uid)
        if person.is_here:
            self._known.add(uid)
        else:
            self._known.discard(uid)
        with (self._people if person.is_here else self._strangers).place(uid) as has_place:
            if has_place:
                await self._serve_caller(Caller(person, self._persons, reader), answer)

    async def _serve_caller(self, caller: Caller, answer: Answer) -> None:
        try:
            request = await caller.line()
            name = str(request.get("do"))
            if not caller.person.is_here and name not in self._open_to_all:
                raise _stranger()
            if name in self._held:
                await self._held[name](caller, request, answer)
                return
            if name not in self._work:
                raise RemoteError("request-unknown", "the agent does not know this request")
            fields = await self._work[name](caller, request)
        except FarhandError as error:
            is_refused = isinstance(error, RefusedError)
            fields = {"code": error.code, "message": error.message, "hint": error.hint}
            fields = {"error": {**fields, "refused": is_refused}}
        with suppress(TimeoutError):  # she does not read; nothing is lost
            await answer(fields)


def _sweep(own: Path) -> None:
    """Remove what other agents left that died; whoever listens takes a connection."""
    found = sorted(own.parent.glob("[0-9a-f]" * 16))[:_SWEPT]
    for left in (one for one in found if one != own):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link, suppress(OSError):
            link.settimeout(_CONNECT_S)
            try:
                link.connect(str(left))
            except ConnectionRefusedError:
                left.unlink(missing_ok=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whether or not its other end reads what is left."""
    writer.close()
    try:
        async with asyncio.timeout(_WRITE_S):
            await writer.wait_closed()
    except OSError:  # a time-out is one as well
        writer.transport.abort()


def _stranger() -> RefusedError:
    return RefusedError(
        "people-stranger",
        "this is for whoever sits at this computer, or is named in its policy",
        hint="farhand-agent help reaches the desk",
    )
