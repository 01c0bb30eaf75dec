"""What the resident agent does at its door: help for everybody, sessions for people who are here.

    help      bounded for each user and in all (help_counts.py); a picture comes in parts, one user
              at a time; strangers take turns of their own, each try of theirs counts, and they
              leave `_KEPT_FREE` places of the queue to others
    facts, receipts, receipt    by a child (desktop/errand.py)
    sessions  the names of the processes that can be followed; waits a moment for a new one
    events    handed on from the session's process; who it reaches is noted in the journal
    tell      handed on to it with the name of who says it, which is nobody's to choose
    stop      journalled with that name where it means something, and not again within
              `_AGAIN_S`; then done
    code      a session's process, started as the agent's own user, ends with the connection

A session's process that begins tells its name (`watch`, over the owner-only socket) and hears
whether a page of somebody is there, so that she may be asked.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from farhand_agent.child import ask_child
from farhand_agent.config import Home
from farhand_agent.errors import AgentNotRunning
from farhand_agent.journal_thread import JournalThread
from farhand_agent.notices import say
from farhand_agent.people.concerned import note_concerned
from farhand_agent.people.door_server import Caller, Held, Work
from farhand_agent.people.help_counts import HelpCounts
from farhand_agent.people.session_socket import ask_process
from farhand_agent.processes import command, is_process, started_at
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError
from farhand_protocol.identity import is_session_id
from farhand_protocol.messages import MAX_HELP_IMAGE_BYTES
from farhand_protocol.trust import SCOPES

__all__ = ["MAX_CODES", "MAX_WATCHES", "OPEN_TO_ALL", "PeopleDesk"]

MAX_WATCHES: Final = 32
MAX_CODES: Final = 4
OPEN_TO_ALL: Final = frozenset({"who", "help"})
_ERRAND: Final = "farhand_agent.desktop.errand"
_ERRAND_S: Final = 60.0
_MAX_WAITING: Final = 5
_KEPT_FREE: Final = 2
_WAIT_S: Final = 5.0
_PAGE_S: Final = 20.0
_BEGIN_S: Final = 30.0
_LOOK_S: Final = 2.0
_GRACE_S: Final = 5.0
# What a person says again sooner than this is done again, and not journalled again.
_AGAIN_S: Final = 60.0
# Others wait for their turn as long as this.
_PICTURE_S: Final = 15.0
_WATCH: Final = re.compile(r"watch-[0-9a-f]{16}\Z")
_LANGUAGE: Final = re.compile(r"[a-z]{2}\Z")


class PeopleDesk:
    """The work behind one door.

    Args:
        home: of the agent.
        journal: its journal.
        stop: stops one session or all, and returns which.
    """

    def __init__(
        self,
        home: Home,
        journal: JournalThread,
        stop: Callable[[str | None], Awaitable[list[str]]],
    ) -> None:
        self._home = home
        self._journal = journal
        self._stop = stop
        self._counts = HelpCounts()
        # Strangers wait for each other, and people for people.
        self._turns = {True: asyncio.Semaphore(1), False: asyncio.Semaphore(1)}
        self._watches: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._number = 0
        self._news = asyncio.Event()
        self._pages: dict[int, float] = {}
        self._noted: set[tuple[int, str]] = set()
        self._begun: dict[int, asyncio.Future[str]] = {}
        self._codes: set[int] = set()
        self._said: dict[tuple[int, str, str, str], float] = {}

    @property
    def work(self) -> dict[str, Work]:
        """Return what may be asked at the door, by its `do`."""
        return {
            "who": self._who,
            "help": self._help,
            "facts": self._facts,
            "receipts": self._receipts,
            "receipt": self._receipt,
            "sessions": self._sessions,
            "events": self._events,
            "tell": self._tell,
            "stop": self._stop_sessions,
        }

    @property
    def held(self) -> dict[str, Held]:
        """Return what goes on for as long as its connection."""
        return {"code": self._code}

    # Anybody.

    async def _who(self, caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
        person = caller.person
        return {"user": person.name, "uid": person.uid, "person": person.is_here}

    async def _help(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        """Note a call for help.

        Raises:
            RefusedError: `people-help-often`, `people-help-full`, `people-busy`.
            FarhandError: what `ask_for_help` says.
        """
        text, tried = request.get("text"), request.get("tried", "")
        language, parts = request.get("language", "en"), request.get("parts", 0)
        if not (
            isinstance(text, str)
            and isinstance(tried, str)
            and isinstance(language, str)
            and _LANGUAGE.match(language)
            and isinstance(parts, int)
            and 0 <= parts <= 64
        ):
            raise RemoteError("request-malformed", "this is no call for help")
        is_here = caller.person.is_here
        turn = self._turns[is_here]
        if turn.locked():
            raise RefusedError("people-busy", "somebody else asks just now", hint="ask again")
        count = self._counts.take(caller.person.uid, is_here=is_here)
        try:
            async with turn:
                picture = await _picture(caller, parts)
                kept_free = 0 if is_here else _KEPT_FREE
                return await self._errand(
                    caller, "help", text=text, tried=tried, language=language, picture=picture,
                    user=caller.person.name, waiting_max=_MAX_WAITING - kept_free,
                )  # fmt: skip
        except FarhandError:
            if is_here:  # each try of a stranger counts
                self._counts.give_back(count)
            raise

    # What is to be seen.

    async def _facts(self, caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
        return await self._errand(caller, "facts")

    async def _receipts(self, caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
        return await self._errand(caller, "receipts")

    async def _receipt(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        session, language = str(request.get("session"))[:100], str(request.get("language"))[:10]
        return await self._errand(caller, "receipt", session=session, language=language)

    async def _errand(self, caller: Caller, what: str, **fields: Any) -> dict[str, Any]:
        request = {"do": what, "home": str(self._home.path), "uid": caller.person.uid, **fields}
        return await ask_child(_ERRAND, request, timeout_s=_ERRAND_S)

    # Sessions: what their processes say over the owner-only socket.

    async def watch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Note a session's process, and tell it whether somebody's page is there.

        Raises:
            RemoteError: `request-malformed`.
        """
        name, pid = request.get("name"), request.get("pid")
        if not isinstance(name, str) or not _WATCH.match(name) or not isinstance(pid, int):
            raise RemoteError("request-malformed", "this is no name of a session process")
        try:
            self._watches[name] = pid, started_at(pid)
        except ProcessLookupError as error:
            raise RemoteError("request-malformed", "there is no such process") from error
        while len(self._watches) > MAX_WATCHES:
            self._watches.popitem(last=False)
        self._change()
        begun = self._begun.get(pid)
        if begun is not None and not begun.done():
            begun.set_result(name)
        now = time.monotonic()
        pages = sum(now - at < _PAGE_S for at in self._pages.values())
        return {"pages": pages + (begun is not None)}

    def _change(self) -> None:
        self._number += 1
        self._news.set()
        self._news = asyncio.Event()

    async def _sessions(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        after = request.get("after")
        if request.get("pages") is True:
            self._pages[caller.person.uid] = time.monotonic()
        if after == self._number:
            try:
                async with asyncio.timeout(_WAIT_S):
                    await self._news.wait()
            except TimeoutError:
                pass  # nothing is new, which is an answer as well
            await caller.check_here()
        number, names = self._number, await self._names()
        return {"names": names, "number": number}

    async def _names(self) -> list[str]:
        """Return each process that can be followed, once."""
        for name, (pid, started) in list(self._watches.items()):
            if not is_process(pid, started):
                del self._watches[name]
        watched = {pid for pid, _ in self._watches.values()}
        rows = await self._journal.do(lambda journal: journal.live_sessions())
        return [*self._watches, *(row.id for row in rows if row.pid not in watched)]

    async def _events(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        name, after = await self._name(request), request.get("after")
        if not isinstance(after, int):
            raise RemoteError("request-malformed", "the number of the last event is missing")
        is_page = request.get("page") is True
        answer = await self._ask(name, {"do": "events", "after": after, "page": is_page})
        # It may have waited a while, and she may have left meanwhile.
        await caller.check_here()
        for _, event in answer.get("events", []):
            if isinstance(event, dict) and event.get("event") == "session":
                await self._note(caller, str(event.get("session")))
        return answer

    async def _note(self, caller: Caller, session: str) -> None:
        uid, user = caller.person.uid, caller.person.name
        if (uid, session) in self._noted:
            return
        await self._journal.do(lambda journal: note_concerned(journal, uid, user, session))
        self._noted.add((uid, session))

    async def _tell(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        name, line = await self._name(request), request.get("line")
        if not isinstance(line, dict):
            raise RemoteError("request-malformed", "there is no line")
        user = caller.person.name
        if line.get("stop") is True:
            await self._note_said(caller, "stop", "True", name)
        if (scope := line.get("withdraw")) in SCOPES:
            await self._note_said(caller, "withdraw", str(scope), name)
        return await self._ask(name, {"do": "tell", "line": {**line, "person": user}})

    async def _name(self, request: dict[str, Any]) -> str:
        """Return the name of a process that can be followed.

        Raises:
            RemoteError: `people-session`.
        """
        name = request.get("name")
        if isinstance(name, str) and name in self._watches:
            return name
        if isinstance(name, str) and is_session_id(name):
            row = await self._journal.do(lambda journal: journal.session(name))
            if row is not None and row.state != "ended":
                return name
        raise RemoteError("people-session", "there is no such session here now")

    async def _ask(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return await ask_process(self._home, name, request)
        except AgentNotRunning as error:
            self._watches.pop(name, None)
            raise RemoteError("people-session", "the session's process is gone") from error

    async def _stop_sessions(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        """Stop one session, or all.

        Raises:
            RemoteError: `request-malformed`.
        """
        session = request.get("session")
        if session is not None and not (isinstance(session, str) and is_session_id(session)):
            raise RemoteError("request-malformed", "this is no session")
        rows = await self._journal.do(lambda journal: journal.live_sessions())
        if session is None or session in {row.id for row in rows}:
            await self._note_said(caller, "stop", session or "all", "")
        return {"stopped": await self._stop(session)}

    async def _note_said(self, caller: Caller, what: str, of: str, name: str) -> None:
        """Journal what a person wants, once for the same within `_AGAIN_S`."""
        now, user = time.monotonic(), caller.person.name
        self._said = {one: at for one, at in self._said.items() if now - at < _AGAIN_S}
        said = (caller.person.uid, what, of, name)
        if said in self._said:
            return
        self._said[said] = now
        where = {"name": name} if name else {}
        await self._journal.do(
            lambda journal: journal.log("person-said", what=what, of=of, user=user, **where)
        )

    # A code.

    async def _code(
        self,
        caller: Caller,
        request: dict[str, Any],
        answer: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Start a session's process for a code, and end it when the caller is gone.

        Raises:
            RefusedError: `people-busy` where this user, or enough others, have one.
            FarhandError: `child-failed`.
        """
        arguments = _code_arguments(request)
        uid, user = caller.person.uid, caller.person.name
        if uid in self._codes or len(self._codes) >= MAX_CODES:
            raise RefusedError("people-busy", "a session that you began goes on already")
        self._codes.add(uid)
        try:
            await self._journal.do(lambda journal: journal.log("code-asked", user=user, uid=uid))
            process = await self._start(arguments)
            try:
                await answer({"name": await self._begin(process)})
                await self._hold(caller, process)
            finally:
                await _end(process)
        finally:
            self._codes.discard(uid)

    async def _start(self, arguments: list[str]) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command("farhand_agent.session", "--home", str(self._home.path), *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise FarhandError("child-failed", "the session process cannot be started") from error

    async def _begin(self, process: asyncio.subprocess.Process) -> str:
        """Return the name that a process tells when it begins."""
        begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._begun[process.pid] = begun
        try:
            async with asyncio.TaskGroup() as group:
                ended = group.create_task(process.wait())
                both: set[asyncio.Future[Any]] = {begun, ended}
                await asyncio.wait(both, timeout=_BEGIN_S, return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
        finally:
            del self._begun[process.pid]
        if not begun.done():
            begun.cancel()
            raise FarhandError("child-failed", "the session process came to nothing")
        return begun.result()

    async def _hold(self, caller: Caller, process: asyncio.subprocess.Process) -> None:
        """Wait until the process has ended, or who began it is gone or counts no more."""
        while process.returncode is None:
            if await caller.gone(_LOOK_S):
                return
            try:
                await caller.check_here()
            except RefusedError:
                say(f"{caller.person.name} is not here any more: what was begun ends")
                return


async def _picture(caller: Caller, parts: int) -> bytes:
    """Read the parts of a picture, no more of it than may be sent.

    Raises:
        RemoteError: `request-malformed`.
        FarhandError: `image-too-large`.
    """
    picture = b""
    try:
        async with asyncio.timeout(_PICTURE_S):
            for _ in range(parts):
                data = (await caller.line()).get("data")
                picture += base64.b64decode(str(data), validate=True)
                if len(picture) > MAX_HELP_IMAGE_BYTES:
                    limit = MAX_HELP_IMAGE_BYTES // 1024
                    raise FarhandError("image-too-large", f"a picture may have {limit} KiB at most")
    except (TimeoutError, ValueError) as error:
        raise RemoteError("request-malformed", "this is no picture") from error
    return picture


def _code_arguments(request: dict[str, Any]) -> list[str]:
    """Read what a code is to offer.

    Raises:
        RemoteError: `request-malformed`.
    """
    scopes, minutes = request.get("scopes"), request.get("minutes")
    arguments: list[str] = []
    if scopes is not None:
        if not isinstance(scopes, list) or not scopes or not set(map(str, scopes)) <= set(SCOPES):
            raise RemoteError("request-malformed", "these are no scopes")
        arguments += ["--scope", ",".join(map(str, scopes))]
    if minutes is not None:
        if not isinstance(minutes, int) or not 1 <= minutes <= 480:
            raise RemoteError("request-malformed", "this is no number of minutes")
        arguments += ["--minutes", str(minutes)]
    return arguments


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the pipe of a session's process, which ends it, and see that it is gone."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        pass  # it had its moment; what follows ends it
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
