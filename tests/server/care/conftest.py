"""An admin and a technician who call the API, and what went out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from farhand_server.outbox.sending import send_due
from farhand_server.relay import Relay
from farhand_server.senders import SENDERS
from farhand_server.store.schema import outbox
from tests.server.care.callers import Caller
from tests.server.relays import SignIn

Letters = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
async def ada(web: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    """An admin."""
    return Caller(web, await sign_in("admin", name="ada"))


@pytest.fixture
async def ann(web: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    """A technician."""
    return Caller(web, await sign_in("technician", name="ann"))


@pytest.fixture
async def mia(web: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    """A requester."""
    return Caller(web, await sign_in("requester", name="mia"))


@pytest.fixture
def letters(relay: Relay) -> Letters:
    """`await letters()`: the mails in the outbox, in order, after the pages of notices."""

    async def look() -> list[dict[str, Any]]:
        ours = [(kind, sender) for kind, sender in SENDERS if kind == "notice"]
        await send_due(relay, ours)
        async with relay.db.read() as c:
            query = select(outbox.c.payload).where(outbox.c.kind == "mail")
            texts = list(await c.scalars(query.order_by(outbox.c.created_at, outbox.c.key)))
        return [json.loads(text) for text in texts]

    return look
