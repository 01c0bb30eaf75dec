"""Who is protected: a person whose addresses decide who may sign in, or read what is hers.

Mail to a proven address resets a password, signs in by a link, and is what an account elsewhere is
matched with.  So whoever gives somebody an address may become her.  Nobody is protected of whom
nothing was proven yet: the desk writes down whom it talks to, and puts right what it wrote.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.people.people import Person, addresses_of
from farhand_server.store.schema import accounts

__all__ = ["is_protected"]


async def is_protected(c: AsyncConnection, tenant: str, person: Person) -> bool:
    """Tell whether a person is of the desk, has an account, or has a verified mail address."""
    if person.kind in ("staff", "system") or person.account is not None:
        return True
    signs_in = select(accounts.c.id).where(
        accounts.c.tenant == tenant, accounts.c.person == person.id
    )
    if await c.scalar(signs_in.limit(1)) is not None:
        return True
    known = await addresses_of(c, tenant, person.id)
    return any(one.kind == "mail" and one.verified_at is not None for one in known)
