"""`Idempotency-Key` on POST: a request that is sent again is answered again, not done again.

    key unknown                        the request runs; its answer is kept (but not a 5xx)
    key known, same route and body     the kept answer, with `Idempotency-Replayed: true`
    key known, still running           409 `idempotency-running`
    key known, never answered          409 `idempotency-lost`
    key known, other route or body     409 `idempotency-mismatch`

A key is never answered where its relay died, or its request was broken off, in the middle.  Nobody
can know then whether it was done, so it is not done again: whoever asks is told so, and looks.  A
relay on its own knows which requests it runs; among several nodes the time tells.

Keys belong to an account and are kept for a day.  A route whose answer holds a secret says
`keep_answer=False`: the header is ignored there, because the answer must not be stored.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from datetime import timedelta
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.authorisation import Actor
from farhand_server.api.guard import actor_in
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import idempotency_keys

__all__ = ["IdempotencyMiddleware", "forget_old_keys"]

KEPT = timedelta(hours=24)
# No request runs longer; the longest waits for a device's decision.
ANSWERED = timedelta(minutes=5)
_KEY = re.compile(rb"[\x21-\x7e]{1,128}\Z")
_MAX_BODY_BYTES = 8 * 1024 * 1024
_MAX_KEPT_BYTES = 1024 * 1024

_table = idempotency_keys


class IdempotencyMiddleware(ASGIMiddleware):
    """Stands behind `BearerMiddleware`; requests without the header pass untouched."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Replay, refuse, or run and keep."""
        key = next((v for k, v in scope["headers"] if k == b"idempotency-key"), None)
        actor = actor_in(scope)
        handler: Any = scope["route_handler"]
        if (
            key is None
            or actor is None
            or scope.get("method") != "POST"
            or not handler.opt.get("keep_answer", True)
        ):
            await next_app(scope, receive, send)
            return
        if not _KEY.match(key):
            raise UsageError(
                "idempotency-key", "an Idempotency-Key has 1 to 128 visible characters"
            )
        relay: Relay = scope["litestar_app"].state.relay
        body = await _read_body(receive)
        row = _Row(relay, actor, key.decode("ascii"), str(scope["path"]), body)
        kept = await row.claim()
        if kept is not None:
            await _replay(send, *kept)
            return
        await _run_and_keep(row, body, scope, send, next_app)


async def _read_body(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise UsageError("invalid", "the request ended early")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > _MAX_BODY_BYTES:
            raise FarhandError("body-too-large", "the request's body is too large")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _replay(send: Send, status: int, body: bytes) -> None:
    kind = b"application/problem+json" if status >= 400 else b"application/json"
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"idempotency-replayed", b"true"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _run_and_keep(
    row: _Row, body: bytes, scope: Scope, send: Send, next_app: ASGIApp
) -> None:
    given = False

    async def receive_again() -> Any:
        nonlocal given
        if given:
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    status = 0
    answer = bytearray()
    whole = True

    async def record(message: Message) -> None:
        nonlocal status, whole
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            piece = message.get("body", b"")
            if len(answer) + len(piece) > _MAX_KEPT_BYTES:
                whole = False
            else:
                answer.extend(piece)
        await send(message)

    try:
        try:
            await next_app(scope, receive_again, record)
        except FarhandError:
            # Refused, so nothing was done: the same request may be tried again.
            await row.release()
            raise
        if whole and 0 < status < 500:
            await row.keep(status, bytes(answer))
        else:
            await row.release()
    finally:
        row.leave()


def _make_running(_relay: Relay) -> Counter[tuple[str, str]]:
    """Make the count of who is at work in this process under each (account, key)."""
    return Counter()


class _Row:
    """One key of one account."""

    def __init__(self, relay: Relay, actor: Actor, key: str, route: str, body: bytes) -> None:
        self._relay = relay
        self._route = route
        self._body_sha256 = hashlib.sha256(body).hexdigest()
        self._names = {"tenant": relay.tenant, "account": actor.account, "key": key}
        self._id = (actor.account, key)
        self._running = relay.service(_make_running)
        self._which = (
            (_table.c.tenant == relay.tenant)
            & (_table.c.account == actor.account)
            & (_table.c.key == key)
        )

    async def claim(self) -> tuple[int, bytes] | None:
        """Take the key, or return the answer kept under it."""
        # Before the row is there for others to see.
        self._running[self._id] += 1
        try:
            async with self._relay.db.write() as c:
                old = stamp(self._relay.now() - KEPT)
                await c.execute(delete(_table).where(self._which, _table.c.created_at < old))
                await c.execute(
                    insert(_table).values(
                        route=self._route,
                        body_sha256=self._body_sha256,
                        created_at=self._relay.stamp(),
                        **self._names,
                    )
                )
        except BaseException as error:
            self.leave()
            if isinstance(error, IntegrityError):
                return await self._kept()
            raise
        return None

    def leave(self) -> None:
        """Note that this request's work under the key is over."""
        self._running[self._id] -= 1
        if not self._running[self._id]:
            del self._running[self._id]

    async def _kept(self) -> tuple[int, bytes]:
        # Looked at first: whoever leaves after that leaves an answer.
        is_here = self._id in self._running
        async with self._relay.db.read() as c:
            row = (await c.execute(select(_table).where(self._which))).first()
        if row is not None and (row.route, row.body_sha256) != (self._route, self._body_sha256):
            raise FarhandError(
                "idempotency-mismatch", "this Idempotency-Key was used for another request"
            )
        if row is None or (row.status is None and (is_here or self._is_elsewhere(row.created_at))):
            raise FarhandError(
                "idempotency-running",
                "the first request with this Idempotency-Key has not been answered yet",
                hint="wait, then ask what became of it",
            )
        if row.status is None:
            raise FarhandError(
                "idempotency-lost",
                "the relay stopped in the middle of the first request with this Idempotency-Key",
                hint="look whether it was done; if not, send it with a new key",
            )
        return row.status, row.response

    def _is_elsewhere(self, since: str) -> bool:
        """Tell whether another node may still be at work under the key."""
        is_one_of_several = bool(self._relay.settings.bus)
        return is_one_of_several and since >= stamp(self._relay.now() - ANSWERED)

    async def keep(self, status: int, answer: bytes) -> None:
        async with self._relay.db.write() as c:
            await c.execute(
                update(_table).where(self._which).values(status=status, response=answer)
            )

    async def release(self) -> None:
        async with self._relay.db.write() as c:
            await c.execute(delete(_table).where(self._which))


async def forget_old_keys(relay: Relay) -> None:
    """Delete keys older than a day."""
    async with relay.db.write() as c:
        await c.execute(
            delete(_table).where(
                _table.c.tenant == relay.tenant, _table.c.created_at < stamp(relay.now() - KEPT)
            )
        )
