"""The resident agent's end of the door; what is spoken there stands in `farhand_agent.door`.

It takes connections, asks the kernel whose each is and `Persons` what that user counts as, reads
one bounded line, and hands it to whoever does the work.  Nothing is read from a user who has
`MAX_PER_USER` connections already, nor beyond `MAX_CONNECTIONS` of all but root; strangers have two
each, and `MAX_STRANGERS` together.  What they may ask for is said by name (`open_to_all`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from farhand_agent.config import Home
from farhand_agent.door import door_path, peer_uid
from farhand_agent.local import MAX_LINE_BYTES
from farhand_agent.people.persons import Person, Persons
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError

__all__ = ["MAX_CONNECTIONS", "MAX_PER_USER", "MAX_STRANGERS", "Caller", "DoorServer"]

MAX_CONNECTIONS: Final = 64
MAX_PER_USER: Final = 24
MAX_STRANGERS: Final = 16
_PER_STRANGER: Final = 2
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
        self._open: Counter[int] = Counter()
        self._strangers: Counter[int] = Counter()
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
        before = os.umask(0o111)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, path=str(made), limit=MAX_LINE_BYTES
            )
        finally:
            os.umask(before)
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
        uid: int | None = None
        try:
            uid = peer_uid(writer.get_extra_info("socket"))
            is_full = self._open.total() >= MAX_CONNECTIONS and uid != _ROOT
            if is_full or self._open[uid] >= MAX_PER_USER:
                uid = None
                return
            self._open[uid] += 1
            await self._one(uid, reader, writer)
        except (OSError, TimeoutError):
            return  # she is gone, or slower than anybody waits
        except asyncio.CancelledError:
            return  # the agent stops, and nobody awaits this task
        finally:
            self._tasks.discard(task)
            if uid is not None:
                self._open[uid] -= 1
                if not self._open[uid]:
                    del self._open[uid]
            await _close(writer)

    async def _one(
        self, uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async def answer(fields: dict[str, Any]) -> None:
            async with asyncio.timeout(_WRITE_S):
                writer.write(msgspec.json.encode(fields) + b"\n")
                await writer.drain()

        person = await self._persons.look(uid)
        if not person.is_here:
            self._strangers[uid] += 1
        try:
            if self._strangers[uid] <= _PER_STRANGER and self._strangers.total() <= MAX_STRANGERS:
                await self._serve_caller(Caller(person, self._persons, reader), answer)
        finally:
            if not person.is_here:
                self._strangers[uid] -= 1
            if not self._strangers[uid]:
                del self._strangers[uid]

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
