"""People who sign in: with cheap passwords, and with what they need to do it by hand."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.passwords import Passwords, make_passwords
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import Relay
from farhand_server.store.schema.outbox import outbox
from tests.server.accounts.people import PASSWORD, Mails


@pytest.fixture(autouse=True)
def cheap_passwords(relay: Relay) -> None:
    """Hash with small parameters: what is tested here is not argon2."""
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    relay._services[make_passwords] = cheap


@pytest.fixture
def signed_up(relay: Relay, web: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, str]]]:
    """Make an account with the usual password; returns the headers of its first sign-in."""

    async def make(name: str = "ann", role: Any = "technician") -> dict[str, str]:
        async with relay.db.write() as c:
            account = await relay.service(make_directory).add(c, name=name, role=role, actor="test")
            token = await relay.service(make_tokens).issue_signin(c, account.id)
        answer = await web.post("/api/v1/sign-in", json={"token": token})
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        set_to = {"password": PASSWORD}
        done = await web.post("/api/v1/me/password", headers=headers, json=set_to)
        assert done.status_code == 204
        return headers

    return make


@pytest.fixture
def mails(relay: Relay) -> Mails:
    """Return what is to be mailed, after everything that was begun has ended."""

    async def waiting() -> list[dict[str, Any]]:
        await asyncio.gather(*relay.tasks._running)
        async with relay.db.read() as c:
            query = select(outbox.c.payload).where(outbox.c.kind == "mail")
            found = [json.loads(text) for text in await c.scalars(query.order_by(outbox.c.id))]
        for mail in found:
            match = re.search(r"http://\S+/(?:sign-in|reset)/(\S+)", mail["text"])
            mail["token"] = match[1] if match else None
        return found

    return waiting
