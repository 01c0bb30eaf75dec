"""The rate card: what the desk offers to everybody, side by side."""

from __future__ import annotations

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.contracts.contracts import of_organisation, today_of
from farhand_server.contracts.terms import ContractKind, Overage, Period
from farhand_server.relay import Relay

__all__ = ["Offer", "rate_card"]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody could agree on; money in minor units, hours in seconds."""

    name: str
    title: str
    kind: ContractKind
    period: Period
    fee_minor: int
    rate_minor: int
    currency: str
    grant_s: int
    step_s: int
    overage: Overage
    calendar: str | None


async def rate_card(c: AsyncConnection, relay: Relay) -> list[Offer]:
    """Return the contracts in force that are nobody's in particular and are listed, by name."""
    return [
        Offer(
            name=one.name,
            **{
                name: getattr(one.terms, name) for name in Offer.__struct_fields__ if name != "name"
            },
        )
        for one in await of_organisation(c, relay.tenant, None)
        if one.terms.listed and one.terms.is_in_force(today_of(relay, one.terms))
    ]
