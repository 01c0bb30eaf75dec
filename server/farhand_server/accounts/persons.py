"""Which person an account is, and where she is written to about it.

A person names her account (`people.account`) and an account its person (`accounts.person`); both
are written here together.  Mail about signing in goes to a verified address only: what somebody
merely claims must never open an account.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.people.people import PersonTerms, addresses_of, get_person, set_person
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, people

__all__ = ["join_person", "person_of_account", "verified_mail"]


async def person_of_account(c: AsyncConnection, tenant: str, row: Any) -> str | None:
    """Return the id of an account's person; None where nobody said.

    Args:
        c: any connection.
        tenant: the organisation.
        row: of `accounts`.
    """
    if row.person:
        return str(row.person)
    query = select(people.c.id).where(people.c.tenant == tenant, people.c.account == row.name)
    found = await c.scalar(query)
    return None if found is None else str(found)


async def verified_mail(c: AsyncConnection, tenant: str, person: str) -> str | None:
    """Return the mail address that a person has shown to be hers, the oldest of several."""
    for address in await addresses_of(c, tenant, person):
        if address.kind == "mail" and address.verified_at is not None:
            return address.value
    return None


async def join_person(
    c: AsyncConnection, relay: Relay, *, account: str, name: str, person: str, actor: str
) -> None:
    """Say that an account (id and name) is this person's.

    Raises:
        FarhandError: `not-found`, `account-taken` when it is another person's.
    """
    found = await get_person(c, relay.tenant, person)
    if found.account != name:
        terms = {field: getattr(found, field) for field in PersonTerms.__struct_fields__}
        terms["account"] = name
        await set_person(
            c, relay, ref=person, terms=msgspec.convert(terms, PersonTerms), actor=actor
        )
    await c.execute(
        update(accounts)
        .where(accounts.c.tenant == relay.tenant, accounts.c.id == account)
        .values(person=person)
    )
