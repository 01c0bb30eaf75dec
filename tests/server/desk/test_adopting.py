"""A ticket gets its person once it is known who that is, and is found by any of her addresses."""

from __future__ import annotations

from typing import Any

import pytest

from farhand_server.desk.adopting import adopt_tickets
from farhand_server.desk.search import search_tickets
from farhand_server.desk.tickets import Sight, TicketFilter, get_ticket
from farhand_server.people.people import (
    PersonTerms,
    add_address,
    create_person,
    verify_address,
    whose_name,
)
from farhand_server.relay import Relay
from tests.server.desk.people import Desk

ON_SQLITE = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
MIA = "mia@acme.example"


async def _person(relay: Relay, *addresses: str, **terms: Any) -> str:
    async with relay.db.write() as c:
        made = await create_person(
            c, relay, terms=PersonTerms(name="Mia Santos", **terms), actor="ada"
        )
        for value in addresses:
            await add_address(
                c, relay, person=made.id, kind="mail", value=value, actor="ada", is_verified=True
            )
    return made.id


async def _persons(relay: Relay, *numbers: int) -> list[str | None]:
    async with relay.db.read() as c:
        return [(await get_ticket(c, relay.tenant, str(one))).person for one in numbers]


async def _found(relay: Relay, words: str, *, desk: bool = True) -> list[str]:
    sight = Sight("ann", True, False) if desk else Sight("mia", False, False)
    async with relay.db.read() as c:
        found = await search_tickets(
            c, relay.tenant, words=words, wanted=TicketFilter(), sight=sight
        )
    return [one.ticket.number for one in found]


@ON_SQLITE
async def test_tickets_of_before_become_their_persons(ann: Desk, mia: Desk, relay: Relay) -> None:
    await mia.new("by her account")
    await ann.new("by her address", requester=MIA)
    await ann.new("by a name", requester="Mia")
    assert await adopt_tickets(relay) == 0
    async with relay.db.write() as c:
        her = (await create_person(c, relay, terms=PersonTerms(name="Mia"), actor="ada")).id
        await add_address(c, relay, person=her, kind="mail", value=MIA, actor="ada")
    # An address that she merely claims says nothing.
    assert await adopt_tickets(relay) == 0
    async with relay.db.write() as c:
        await verify_address(c, relay, kind="mail", value=MIA, actor="ada")
    assert await adopt_tickets(relay) == 1
    other = await _person(relay, account="mia")
    assert await adopt_tickets(relay) == 1
    assert await _persons(relay, 1, 2, 3) == [other, her, None]
    assert await ann.kinds("2", "events") == ["created", "changed"]
    assert await adopt_tickets(relay) == 0
    # One that is made now has its person at once.
    await ann.new("later", requester=MIA)
    assert await _persons(relay, 4) == [her]


@ON_SQLITE
async def test_a_name_of_two_people_is_nobodys(ann: Desk, relay: Relay) -> None:
    await ann.new("whose", requester=MIA)
    first = await _person(relay, account=MIA)
    second = await _person(relay, MIA)
    assert await adopt_tickets(relay) == 0
    assert await _persons(relay, 1) == [None]
    async with relay.db.read() as c:
        assert await whose_name(c, relay.tenant, MIA) == (None, None)
    assert first != second


@ON_SQLITE
async def test_an_address_finds_the_tickets_of_who_has_it(
    ann: Desk, mia: Desk, relay: Relay
) -> None:
    her = await _person(relay, MIA, "mia@home.example")
    await ann.new("no sound", requester=MIA)
    await ann.new("of somebody else", body=f"write to {MIA} please")
    await ann.new("in copy", requester="zoe@x.example")
    taking_part = {"name": "MIA@Home.example", "part": "cc", "can_post": True}
    joined = await ann.post("/3/participants", taking_part)
    assert joined.is_success, joined.text
    assert await _persons(relay, 1) == [her]
    assert await _found(relay, "mia@home.example") == ["FH-3", "FH-1"]
    assert await _found(relay, "MIA@home.example sound") == ["FH-1"]
    assert await _found(relay, MIA) == ["FH-3", "FH-1"]
    assert await _found(relay, "zoe@x.example") == ["FH-3"]
    # One that is nobody's is what it is made of; and whoever asks for help learns of nobody's.
    await ann.new("a form", body="nobody@acme.example is printed on it")
    assert await _found(relay, "nobody@acme.example") == ["FH-4"]
    assert await _found(relay, MIA, desk=False) == []
