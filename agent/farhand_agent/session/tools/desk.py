"""The subsystem `farhand-tools`: small jobs on this computer, each asked for in one line of JSON.

    tool              scope      answer
    processes         view       one object                       tools/processes.py
    process-kill      terminal   one object
    services          view       one object                       tools/services.py
    service-...       terminal   one object                       start, stop, restart
    logs              terminal   one line per entry               tools/logs.py
    logs with a file  files      one line per entry, within the roots
    disk-usage        files      one object, within the roots     tools/disk.py
    lock, logout, restart, shutdown, power-cancel
                      terminal   one object                       tools/power.py
    wake              terminal   one object                       tools/wake.py

An answer is `{"tool": NAME, "at": TIME, ...}` or `{"error": {"code", "message"}}`; of a stream the
lines come first.  A log that is followed ends with the next line from the console, or with its
leaving, and the channel with it.  Each tool asks for its scope when it is asked for, waits while
that cools down, and ends at once when it is withdrawn.  What changes something is noted, and on the
disk, before it is done.  This is a convenience and no wider than the session's shell: whoever has
`terminal` could do all of it by hand, and what only looks stays within `view` and `files`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from farhand_agent.platforms.current import platform_name
from farhand_agent.session.actions import ActionKind, ActionLog
from farhand_agent.session.files_roots import Roots
from farhand_agent.session.restart import MachineRestart
from farhand_agent.session.scopes import LiveScopes
from farhand_agent.session.subsystems import Lines
from farhand_agent.session.tools import requests as ask
from farhand_agent.session.tools.commands import ToolCommands
from farhand_agent.session.tools.disk import measure_folder
from farhand_agent.session.tools.logs import log_lines
from farhand_agent.session.tools.power import power
from farhand_agent.session.tools.processes import kill_process, list_processes
from farhand_agent.session.tools.services import change_service, list_services, service_manager
from farhand_agent.session.tools.wake import wake
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["ToolDesk", "scope_of", "sentence_of"]

_log = logging.getLogger(__name__)

# Each may hold a thread for as long as a command takes; ending them needs one as well.
MAX_AT_ONCE: Final = 3
_LOOKS: Final = (ask.Processes, ask.Services)


def scope_of(request: ask.Request) -> str:
    """Return the scope that a request needs."""
    if isinstance(request, _LOOKS):
        return "view"
    if isinstance(request, ask.DiskUsage) or (isinstance(request, ask.Logs) and request.file):
        return "files"
    return "terminal"


def _is_endless(request: ask.Request) -> bool:
    return isinstance(request, ask.Logs) and request.follow


def _words(request: ask.Request) -> str:
    """Say for the receipt what is asked for."""
    name = str(request.__struct_config__.tag)
    fields = {
        field: value
        for field, value in msgspec.structs.asdict(request).items()
        if value not in ("", None, False)
    }
    return " ".join([name, *(f"{field}={value}" for field, value in fields.items())])


def sentence_of(request: ask.Request) -> tuple[str, dict[str, str | int]]:
    """Return the sentence of farhand_agent.deeds that says the same, and what fills it in."""
    message = f"tool-{request.__struct_config__.tag}"
    facts: dict[str, str | int] = {}
    match request:
        case ask.ProcessKill():
            facts = {"pid": request.pid, **({"name": request.name} if request.name else {})}
            message += "-name" if request.name else ""
        case ask.ServiceStart() | ask.ServiceStop() | ask.ServiceRestart():
            facts = {"name": request.name}
        case ask.Logs(file=file) if file:
            message, facts = "tool-log-file", {"file": file}
        case ask.DiskUsage():
            facts = {"path": request.path} if request.path else {}
            message += "" if request.path else "-here"
        case ask.Logout():
            facts = {"user": request.user}
        case ask.Restart() | ask.Shutdown():
            facts = {"minutes": request.delay_min}
            message += "-later" if request.delay_min else ""
        case ask.Wake():
            facts = {"mac": request.mac}
    return message, facts


@dataclass(frozen=True, kw_only=True)
class ToolDesk:
    """Serves the tools of one session.

    Args:
        scopes: what is open now.
        actions: where what was done or refused is noted.
        roots: which files the session may see.
        restart: of this computer.
        commands: runs the system's commands.
        on_wait: is told (scope, words, seconds) of a request that waits for a cool-down.
        platform: as `platform_name` says.
        slots: how many work at once; others wait for their turn.
    """

    scopes: LiveScopes
    actions: ActionLog
    roots: Roots
    restart: MachineRestart
    commands: ToolCommands
    on_wait: Callable[[str, str, float], None] = lambda *_: None
    platform: str = platform_name()
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))

    async def serve(self, lines: Lines) -> None:
        """Answer requests until the console has no more."""
        while line := await lines.read_line(ask.MAX_REQUEST_BYTES):
            request: ask.Request | None = None
            try:
                request = ask.decode_request(line)
                await self._under_scope(request, lines)
            except FarhandError as error:
                answer = {"error": {"code": error.code, "message": error.message}}
                await lines.write(msgspec.json.encode(answer) + b"\n")
            if request is not None and _is_endless(request):
                return

    async def _under_scope(self, request: ask.Request, lines: Lines) -> None:
        """Do one job for as long as its scope is open.

        Raises:
            RefusedError: `scope-missing`.
            FarhandError: the tool's own.
        """
        scope, words = scope_of(request), _words(request)
        if not self.scopes.allows(scope):
            message, facts = sentence_of(request)
            self.actions.add("denied", f"tool {words}", message=message, facts=facts)
            raise RefusedError("scope-missing", f"this needs {scope}, which is not open")
        if left := self.scopes.cooling_s(scope):
            self.on_wait(scope, words, left)
        if not await self.scopes.ready(scope):
            raise RefusedError("scope-missing", f"{scope} was withdrawn")
        withdrawn = asyncio.Event()
        forget = self.scopes.hold(scope, withdrawn.set)
        try:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(self._work(request, words, lines))
                others: set[asyncio.Task[Any]] = {group.create_task(withdrawn.wait())}
                if _is_endless(request):
                    others.add(group.create_task(lines.read_line(ask.MAX_REQUEST_BYTES)))
                await asyncio.wait({working, *others}, return_when=asyncio.FIRST_COMPLETED)
                for task in (working, *others):
                    task.cancel()
        finally:
            forget()
        if withdrawn.is_set():
            raise RefusedError("scope-missing", f"{scope} was withdrawn")
        if not working.cancelled() and (error := working.result()) is not None:
            raise error

    async def _work(self, request: ask.Request, words: str, lines: Lines) -> FarhandError | None:
        """Do the job; what it could not do is returned, so that no group of errors is made."""
        async with nullcontext() if _is_endless(request) else self.slots:
            return await self._do(request, words, lines)

    async def _do(self, request: ask.Request, words: str, lines: Lines) -> FarhandError | None:
        if not isinstance(request, ask.Restart):  # noted by whoever orders it
            message, facts = sentence_of(request)
            kind: ActionKind = "view" if isinstance(request, _LOOKS) else "tool"
            self.actions.add(kind, words, message=message, facts=facts)
        if scope_of(request) == "terminal":
            await self.actions.settle()
        name = str(request.__struct_config__.tag)
        head = {"tool": name, "at": format_instant(from_unix(int(time.time())))}
        try:
            if isinstance(request, ask.Logs):
                answer = {"done": True, "lines": await self._stream(request, lines)}
            else:
                answer = _clean(await self._answer(request))
        except FarhandError as error:
            return error
        await lines.write(msgspec.json.encode({**head, **answer}) + b"\n")
        return None

    async def _stream(self, request: ask.Logs, lines: Lines) -> int:
        count = 0
        entries = log_lines(request, self.commands, self.roots, self.platform)
        async with aclosing(entries):
            async for entry in entries:
                await lines.write(msgspec.json.encode({"line": entry}) + b"\n")
                count += 1
        return count

    async def _answer(self, request: ask.Request) -> dict[str, Any]:
        match request:
            case ask.Processes():
                return await asyncio.to_thread(list_processes, request)
            case ask.ProcessKill():
                return await asyncio.to_thread(kill_process, request)
            case ask.Services():
                manager = service_manager(self.platform)
                return await list_services(request, self.commands, self.platform, manager)
            case ask.ServiceStart() | ask.ServiceStop() | ask.ServiceRestart():
                manager = service_manager(self.platform)
                return await change_service(request, self.commands, manager)
            case ask.DiskUsage():
                return await self._measure(request)
            case ask.Wake():
                return await asyncio.to_thread(wake, request)
            case ask.Logs():
                raise AssertionError("a stream has no single answer")
            case _:
                return await power(request, self.commands, self.restart, self.platform)

    async def _measure(self, request: ask.DiskUsage) -> dict[str, Any]:
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(measure_folder, request.path, self.roots, stopped)
        finally:
            stopped.set()  # a walk whose scope was withdrawn ends in its thread


def _clean(value: Any) -> Any:
    """Escape lone surrogates: file names and command lines need not be UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value
