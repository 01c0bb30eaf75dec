"""Two people who are one: what was the one's becomes the other's, and nothing is forgotten.

Whoever merges people shows the one what belongs to the other, so both must have a verified mail
address, unless the address itself was just proven (`people.proofs`).  What was said stays as it was
said: messages keep the person they came from, and `known_as` says who she is now.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.people.people import Person, addresses_of, get_person
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    accounts,
    addresses,
    csat,
    erasures,
    notice_people,
    people,
    person_merges,
    tickets,
)

__all__ = ["check_not_erased", "known_as", "merge_people", "survivor_of"]


async def known_as(c: AsyncConnection, tenant: str, person: str) -> list[str]:
    """Return the ids under which somebody is known: her own first, then those merged into hers."""
    query = (
        select(person_merges.c.person)
        .where(person_merges.c.tenant == tenant, person_merges.c.survivor == person)
        .order_by(person_merges.c.merged_at, person_merges.c.person)
    )
    return [person, *await c.scalars(query)]


async def survivor_of(c: AsyncConnection, tenant: str, person: str) -> str:
    """Return the id of whom a person was merged into; her own where she was not."""
    query = select(person_merges.c.survivor).where(
        person_merges.c.tenant == tenant, person_merges.c.person == person
    )
    return str(await c.scalar(query) or person)


async def check_not_erased(c: AsyncConnection, tenant: str, person: Person) -> None:
    """Refuse somebody of whom nothing is known any more, with `person-erased`."""
    query = select(erasures.c.erased_at).where(
        erasures.c.tenant == tenant, erasures.c.person == person.id
    )
    at = await c.scalar(query)
    if at is not None:
        raise FarhandError("person-erased", f"what was known of {person.id} was erased at {at}")


async def merge_people(
    c: AsyncConnection,
    relay: Relay,
    *,
    source: Person,
    target: Person,
    actor: str,
    is_proven: bool = False,
) -> Person:
    """Make two people one; returns the one who stays.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        source: who is known no more; inactive afterwards.
        target: who stays, with all addresses, tickets and the account of both.
        actor: who does it.
        is_proven: whether it was shown just now that they are one.

    Raises:
        FarhandError: `invalid`, `person-erased`; `person-unverified` where one of them has no
            verified mail address; `person-accounts` where both can sign in; `person-kinds` where
            they are of different kinds.
    """
    tenant = relay.tenant
    if source.id == target.id:
        raise UsageError("invalid", "these are the same person")
    for one in (source, target):
        await check_not_erased(c, tenant, one)
        if await survivor_of(c, tenant, one.id) != one.id:
            raise UsageError("invalid", f"{one.id} was merged into somebody else already")
    if source.kind != target.kind:
        raise FarhandError(
            "person-kinds", f"{source.id} is {source.kind}, {target.id} is {target.kind}"
        )
    if source.account is not None and target.account is not None:
        raise FarhandError(
            "person-accounts",
            f"{source.account} and {target.account} both sign in",
            hint="disable one account, and take it from its person",
        )
    if not is_proven:
        await _check_verified(c, tenant, (source, target))
    await relay.audit.append(
        c,
        actor=actor,
        action="person.merge",
        subject=source.id,
        detail={"into": target.id, "proven": is_proven},
    )
    await _move(c, relay, source, target)
    await c.execute(
        update(person_merges)
        .where(person_merges.c.tenant == tenant, person_merges.c.survivor == source.id)
        .values(survivor=target.id)
    )
    await c.execute(
        insert(person_merges).values(
            tenant=tenant,
            person=source.id,
            survivor=target.id,
            merged_by=actor,
            merged_at=relay.stamp(),
        )
    )
    return await get_person(c, tenant, target.id)


async def _check_verified(c: AsyncConnection, tenant: str, both: Sequence[Person]) -> None:
    for one in both:
        known = await addresses_of(c, tenant, one.id)
        if not any(found.kind == "mail" and found.verified_at for found in known):
            raise FarhandError(
                "person-unverified",
                f"nobody has shown that an address of {one.id} is hers",
                hint=f"farhand person verify {one.id} ADDRESS",
            )


async def _move(c: AsyncConnection, relay: Relay, source: Person, target: Person) -> None:
    tenant = relay.tenant
    for table in (accounts, addresses, csat, tickets):
        await c.execute(
            update(table)
            .where(table.c.tenant == tenant, table.c.person == source.id)
            .values(person=target.id)
        )
    # One who is told twice is told once.
    told = select(notice_people.c.notice).where(
        notice_people.c.tenant == tenant, notice_people.c.person == target.id
    )
    mine = and_(notice_people.c.tenant == tenant, notice_people.c.person == source.id)
    await c.execute(
        update(notice_people)
        .where(mine, notice_people.c.notice.not_in(told))
        .values(person=target.id)
    )
    await c.execute(
        update(people)
        .where(people.c.tenant == tenant, people.c.id == source.id)
        .values(active=False, account=None, revision=people.c.revision + 1)
    )
    values = {
        "account": target.account or source.account,
        "organisation": target.organisation or source.organisation,
        "locale": target.locale or source.locale,
        "zone": target.zone or source.zone,
        "notes": "\n\n".join(text for text in (target.notes, source.notes) if text),
    }
    await c.execute(
        update(people)
        .where(people.c.tenant == tenant, people.c.id == target.id)
        .values(**values, revision=people.c.revision + 1)
    )
