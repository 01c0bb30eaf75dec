"""A session process in the test's own process, against a relay that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from farhand_agent.config import Home
from farhand_agent.session.events import ActionSeen, Asked, CodeShown, Event, LineChanged, Opened
from farhand_agent.session.process import Options, SessionProcess
from tests.agent.session.code_console import CodeConsole
from tests.support.session_relay import SessionRelay, running_relay

E = TypeVar("E", bound=Event)


class Run:
    """A session process that runs, and what it told."""

    def __init__(self, relay: SessionRelay, home: Home, **options: Any) -> None:
        self.relay = relay
        self.home = home
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.seen: list[Event] = []
        kwargs = {name: options.pop(name) for name in ("can_ask", "consent_s") if name in options}
        self.process = SessionProcess(
            Options(home=home, **{"url": relay.url, **options}), self._emit, **kwargs
        )
        self.status: asyncio.Task[int]

    def _emit(self, event: Event) -> None:
        self.seen.append(event)
        self.events.put_nowait(event)

    async def next(self, kind: type[E]) -> E:
        """Return the next event of a kind; actions are passed over."""
        async with asyncio.timeout(30):
            while True:
                event = await self.events.get()
                if isinstance(event, kind):
                    return event
                assert isinstance(event, ActionSeen | LineChanged), event

    async def end(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.status), 30)


@asynccontextmanager
async def running(home: Path, **options: Any) -> AsyncIterator[Run]:
    async with running_relay() as relay, asyncio.TaskGroup() as group:
        run = Run(relay, Home.at(home), **options)
        run.status = group.create_task(run.process.run())
        try:
            yield run
        finally:
            run.process.stop("stopped")
            await run.end()


async def open_session(run: Run, **changes: Any) -> CodeConsole:
    """Go the whole way to an open session."""
    console = CodeConsole(run.relay)
    shown = await run.next(CodeShown)
    pairing = await console.pair(shown.code)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(console.ask(pairing, **changes))
        await run.next(Asked)
        run.process.answer(True)
        decision = await asking
    assert decision.granted
    await run.next(Opened)
    return console
