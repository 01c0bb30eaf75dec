"""What somebody has: her organisation's contract, the rate card, the devices she works with."""

from __future__ import annotations

from typing import Any, Final

from litestar import Controller, Request, Response, get

from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.guard import FromRelay
from farhand_server.contracts.contracts import of_organisation, today_of
from farhand_server.contracts.ledger import balance_of
from farhand_server.contracts.rate_card import rate_card
from farhand_server.fleet.holders import devices_of
from farhand_server.pages.routing import look
from farhand_server.pages.whose import sight_here
from farhand_server.people.people import get_person

__all__ = ["CONTRACT_WORDS", "OVERAGE_WORDS", "AccountPages"]

_Anything = Request[Any, Any, Any]

CONTRACT_WORDS: Final = {
    "included": "Included",
    "tm": "By the hour",
    "block": "A block of hours",
    "managed": "Managed devices",
    "subscription": "Subscription",
}
OVERAGE_WORDS: Final = {
    "deny": "When the hours are used up, we ask before we go on.",
    "warn": "When the hours are used up, we tell you and go on.",
    "bill": "Hours beyond these are billed.",
}


class AccountPages(Controller):
    """One's organisation's contract, and one's devices."""

    path = "/my"

    @get("/contract", action=PUBLIC, include_in_schema=False)
    async def contract(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show what her organisation agreed on, what is left of it, and what is on offer."""
        reading = await look(request, relay)
        sight_here(reading, "ticket.read")
        actor = reading.visitor.signed_in()
        ours = []
        async with relay.db.read() as c:
            organisation = None
            if actor.person:
                organisation = (await get_person(c, relay.tenant, actor.person)).organisation
            if organisation is not None:
                for one in await of_organisation(c, relay.tenant, organisation):
                    if one.terms.is_in_force(today_of(relay, one.terms)):
                        balance = None
                        if one.terms.has_balance:
                            balance = await balance_of(c, relay, one)
                        ours.append((one, balance))
            offers = await rate_card(c, relay)
        return reading.page(
            "contract",
            ours=ours,
            offers=offers,
            contract_words=CONTRACT_WORDS,
            overage_words=OVERAGE_WORDS,
        )

    @get("/devices", action=PUBLIC, include_in_schema=False)
    async def devices(self, request: _Anything, relay: FromRelay) -> Response[Any]:
        """Show the devices she works with, as far as the desk said so."""
        reading = await look(request, relay)
        sight_here(reading, "ticket.read")
        actor = reading.visitor.signed_in()
        async with relay.db.read() as c:
            found = await devices_of(c, relay, actor.person) if actor.person else []
        return reading.page("devices", devices=found)
