"""What the page keeps an eye on: GETs of the relay's API, asked again and told when they changed.

    page  -> {"watch": ID, "path": "/tickets?limit=50", "every_s": 3}      {"drop": ID}
    page <-  {"id": ID, "body": JSON}                       at first, and when much is different
    page <-  {"id": ID, "changes": [[PLACE, ITEM], ...]}    a list of which some items changed
    page <-  {"id": ID, "problem": {...}}                   instead; the next answer comes whole
    page <-  {"relay": "lost" | "back"}

Nothing is sent while nothing changes, and of a list no more than the items that did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from farhand_console.web.relay_proxy import RelayLine
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["MAX_WATCHED_BYTES", "MAX_WATCHES", "changes_of", "watch_socket"]

MAX_WATCHES: Final = 64
# Each is kept, to be compared with the next.
MAX_WATCHED_BYTES: Final = 4 * 1024 * 1024
_MIN_EVERY_S: Final = 0.5
_MAX_EVERY_S: Final = 300.0
_AT_ONCE: Final = 4
_OK: Final = 200
# Codes that say that there is no relay to ask, as opposed to its answer.
_LOST: Final = frozenset({"relay-unreachable", "relay-timeout", "relay-lost"})


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """One message of the page."""

    watch: int | None = None
    drop: int | None = None
    path: str = ""
    every_s: float = 5.0


def changes_of(before: Any, after: Any) -> list[tuple[int, Any]] | None:
    """Return the (place, item) pairs that turn one list's page into the other.

    None where that is no shorter: other bodies than lists, another length, more than half changed.
    """
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    old, new = before.get("items"), after.get("items")
    if not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return None
    if {k: v for k, v in before.items() if k != "items"} != {
        k: v for k, v in after.items() if k != "items"
    }:
        return None
    found = [(n, b) for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    return found if 2 * len(found) <= len(new) else None


class _Watcher:
    """The watches of one page."""

    def __init__(self, line: RelayLine, send: Callable[[Any], Any]) -> None:
        self._line = line
        self._send = send
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._is_lost = False

    def wish(self, data: str | bytes, group: asyncio.TaskGroup) -> None:
        """Take one message.

        Raises:
            UsageError: `watch-malformed`, `watch-too-many`.
        """
        try:
            wish = msgspec.json.decode(data, type=Wish)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UsageError("watch-malformed", "this watch cannot be read") from error
        for which in (wish.drop, wish.watch):
            if which is not None and (task := self._tasks.pop(which, None)) is not None:
                task.cancel()
        if wish.watch is None:
            return
        if len(self._tasks) >= MAX_WATCHES:
            raise UsageError("watch-too-many", f"a page keeps an eye on {MAX_WATCHES} things")
        every_s = min(max(wish.every_s, _MIN_EVERY_S), _MAX_EVERY_S)
        self._tasks[wish.watch] = group.create_task(self._keep(wish.watch, wish.path, every_s))

    def close(self) -> None:
        """Give up all of them."""
        for task in self._tasks.values():
            task.cancel()

    async def _keep(self, which: int, address: str, every_s: float) -> None:
        path, _, query = address.partition("?")
        last: Any = None
        said: dict[str, Any] | None = None
        while True:
            told: dict[str, Any] | None = None
            try:
                async with self._turn:
                    status, _, data = await self._line.call(
                        "GET", path, query=query, most_bytes=MAX_WATCHED_BYTES
                    )
                body = msgspec.json.decode(data or b"null")
                await self._relay(is_lost=False)
                if status != _OK:
                    told, last = {"problem": body}, None
                elif last is None or body != last:
                    changes = changes_of(last, body)
                    told = {"body": body} if changes is None else {"changes": changes}
                    last = body
            except FarhandError as error:
                await self._relay(is_lost=error.code in _LOST)
                if error.code not in _LOST:
                    told, last = {"problem": _problem(error)}, None
            except (msgspec.MsgspecError, ValueError, RecursionError):
                unread = FarhandError("relay-answer", "the relay's answer cannot be read")
                told, last = {"problem": _problem(unread)}, None
            if told is not None and told != said:
                await self._send({"id": which} | told)
                said = told if "problem" in told else None
            await asyncio.sleep(every_s)

    async def _relay(self, *, is_lost: bool) -> None:
        if is_lost != self._is_lost:
            self._is_lost = is_lost
            await self._send({"relay": "lost" if is_lost else "back"})


def _problem(error: FarhandError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.message, "hint": error.hint}


@websocket("/local/watch")
async def watch_socket(socket: WebSocket[Any, Any, Any]) -> None:
    """Keep an eye on what the page names, until it goes."""
    await socket.accept()

    async def send(message: Any) -> None:
        await socket.send_data(msgspec.json.encode(message).decode(), mode="text")

    watcher = _Watcher(socket.app.state.line, send)
    try:
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    data = await socket.receive_data("text")
                    try:
                        watcher.wish(data, group)
                    except FarhandError as error:
                        await send({"problem": _problem(error)})
            finally:
                watcher.close()
    except* (WebSocketDisconnect, RuntimeError):
        pass  # the page has gone, maybe while something was said to it
