"""A furnished relay that a browser can reach, in a thread of this process; one for each module.

It is reached as `localhost`, because browsers allow security keys on no bare address.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser
from sqlalchemy import insert

from farhand_protocol.keys import SeedSigner
from farhand_server.app import assemble, build_app
from farhand_server.bus.local import LocalBus
from farhand_server.config import Settings
from farhand_server.pages.visitor import SESSION_COOKIE
from farhand_server.relay import Relay
from farhand_server.store.database import Database
from farhand_server.store.schema import tenants
from farhand_server.tasks import Tasks
from tests.server.databases import SqliteTemplate
from tests.server.pages.house import House, furnish
from tests.server.relays import TENANT
from tests.support.browser import DESKTOP, Scheme, Watched, watched

T = TypeVar("T")
_PATIENCE_S = 90.0


class Portal:
    """The relay's pages at `url`, with a furnished `house`; `do` works on its store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._up = threading.Event()
        self._over: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="portal")
        self.url = ""
        self._thread.start()
        self._up.wait(_PATIENCE_S)
        if self._failure is not None or not self.url:
            self.close()
            raise RuntimeError("the relay of the pages did not start") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://localhost:{listening.getsockname()[1]}"
            db = Database(SqliteTemplate(self._folder).copy_to(self._folder / "farhand.db"))
            tasks = Tasks()
            bus = LocalBus(tasks)
            settings = Settings(
                home=str(self._folder), tenant=TENANT, org="Example & Söhne", url=url
            )
            signer = SeedSigner(secrets.token_bytes(32))
            self.relay = assemble(settings, db=db, bus=bus, signer=signer, tasks=tasks)
            try:
                await self._fill()
                app = build_app(self.relay)
                # A chat's frame waits for words when its browser is long gone.
                config = uvicorn.Config(
                    app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1
                )
                server = uvicorn.Server(config)
                async with asyncio.TaskGroup() as group:
                    group.create_task(server.serve(sockets=[listening]))
                    self.url = url
                    self._up.set()
                    await self._over.wait()
                    server.should_exit = True
                if left := set(server.server_state.tasks):
                    await asyncio.wait(left, timeout=_PATIENCE_S)
            finally:
                await tasks.aclose()
                await bus.close()
                await db.close()

    async def _fill(self) -> None:
        async with self.relay.db.write() as c:
            row = {"id": TENANT, "name": "Example", "created_at": self.relay.stamp()}
            await c.execute(insert(tenants).values(row))
        app: Any = build_app(self.relay)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://relay") as api:
            self.house: House = await furnish(self.relay, api)

    def do(self, work: Callable[[Relay], Awaitable[T]]) -> T:
        """Do something with the relay, in its own loop."""

        async def done() -> T:
            return await work(self.relay)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(_PATIENCE_S)

    def close(self) -> None:
        """End it."""
        if self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_PATIENCE_S)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One furnished relay for a module's tests."""
    made = Portal(tmp_path_factory.mktemp("portal"))
    yield made
    made.close()


OpenPages = Callable[..., Watched]


@pytest.fixture
def open_pages(portal: Portal, browser: Browser) -> Iterator[OpenPages]:
    """Open a context on the pages: `open_pages(signed_in=True, javascript=False, size=PHONE)`."""
    with ExitStack() as stack:

        def opened(
            *,
            signed_in: bool = False,
            javascript: bool = True,
            size: tuple[int, int] = DESKTOP,
            scheme: Scheme = "light",
            locale: str = "en-GB",
        ) -> Watched:
            one = stack.enter_context(
                watched(browser, size=size, scheme=scheme, javascript=javascript, locale=locale)
            )
            if signed_in:
                cookie = {"name": SESSION_COOKIE, "value": portal.house.cookie, "url": portal.url}
                one.page.context.add_cookies([cookie])  # type: ignore[list-item]
            return one

        yield opened
