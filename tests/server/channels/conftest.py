"""A technician and a requester with a mail address."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import update

from farhand_server.people.people import PersonTerms, add_address, create_person
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts
from tests.server.relays import SignIn


class Caller:
    """Somebody who talks to the relay."""

    def __init__(self, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.web = web
        self.headers = headers

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.web.post(f"/api/v1{path}", headers=self.headers, json=body)

    async def get(self, path: str, **params: object) -> httpx.Response:
        given = {name: str(value) for name, value in params.items()}
        return await self.web.get(f"/api/v1{path}", headers=self.headers, params=given)


@pytest.fixture
async def ann(web: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    return Caller(web, await sign_in("technician", name="ann"))


@pytest.fixture
async def admin(web: httpx.AsyncClient, sign_in: SignIn) -> Caller:
    return Caller(web, await sign_in("admin", name="root"))


@pytest.fixture
async def mia(web: httpx.AsyncClient, sign_in: SignIn, relay: Relay) -> Caller:
    """A requester whose person is known, with a phone and a mail address."""
    headers = await sign_in("requester", name="mia")
    async with relay.db.write() as c:
        terms = PersonTerms(name="Mia Moore", account="mia")
        person = await create_person(c, relay, terms=terms, actor="root")
        for kind, value in (("mail", "mia@example.org"), ("phone", "+351 21 000 0001")):
            await add_address(
                c, relay, person=person.id, kind=kind, value=value, actor="root",  # type: ignore[arg-type]
                is_verified=True,
            )  # fmt: skip
        await c.execute(update(accounts).where(accounts.c.name == "mia").values(person=person.id))
    return Caller(web, headers)
