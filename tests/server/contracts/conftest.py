"""A desk that serves one organisation under a contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from farhand_server.contracts.contracts import Contract, set_contract
from farhand_server.contracts.terms import Terms
from farhand_server.desk.tickets import Ticket, create_ticket
from farhand_server.people.organisations import (
    Organisation,
    OrganisationTerms,
    create_organisation,
)
from farhand_server.relay import Relay

Agree = Callable[..., Awaitable[Contract]]
NewTicket = Callable[..., Awaitable[Ticket]]


@pytest.fixture
async def acme(relay: Relay) -> Organisation:
    async with relay.db.write() as c:
        return await create_organisation(
            c,
            relay,
            name="acme",
            terms=OrganisationTerms(title="Acme & Sons", zone="Europe/Berlin", locale="de"),
            actor="ada",
        )


@pytest.fixture
def agree(relay: Relay, acme: Organisation) -> Agree:
    """`await agree(kind="block", grant_s=36000)`: a contract of acme's."""

    async def make(name: str = "gold", **terms: object) -> Contract:
        given = Terms(**{"organisation": acme.id, "starts": "2026-01-01", **terms})  # type: ignore[arg-type]
        async with relay.db.write() as c:
            return await set_contract(c, relay, name=name, terms=given, actor="ada")

    return make


@pytest.fixture
def new_ticket(relay: Relay, acme: Organisation) -> NewTicket:
    """A ticket of acme's."""

    async def make(**more: object) -> Ticket:
        given = {"title": "slow laptop", "actor": "ann", "organisation": acme.id, **more}
        async with relay.db.write() as c:
            return await create_ticket(c, relay, **given)  # type: ignore[arg-type]

    return make
