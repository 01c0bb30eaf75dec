"""Who has `software:"openssl<3.0.17"`: the few versions of that title, judged, then their bits.

No database can compare Debian's versions.  But of one title there are few, so they are read, each
is compared by the rules of where it is from (`fleet.versions`), and the index tells who has one of
those that fit (`fleet.software_index`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.fleet.query import Node, Term, terms_of
from farhand_server.fleet.query_sql import matches
from farhand_server.fleet.software_index import devices_with
from farhand_server.fleet.versions import satisfies
from farhand_server.store.schema import package_versions, packages

__all__ = ["installed_for", "versions_for"]

MAX_VERSIONS_SEARCHED: Final = 10_000


async def installed_for(c: AsyncConnection, tenant: str, query: Node) -> dict[Term, int]:
    """Return for each `software` term of a query the devices that match it, as bits.

    Raises:
        FarhandError: `query-too-wide` when a term fits more than `MAX_VERSIONS_SEARCHED` versions.
    """
    terms = {term for term in terms_of(query) if term.key == "software"}
    return {term: await devices_with(c, await versions_for(c, tenant, term)) for term in terms}


async def versions_for(c: AsyncConnection, tenant: str, term: Term) -> list[int]:
    """Return the numbers of the versions that a term means.

    Raises:
        FarhandError: `query-too-wide`.
    """
    query = (
        select(package_versions.c.id, packages.c.source, package_versions.c.version)
        .join(packages, packages.c.id == package_versions.c.package)
        .where(packages.c.tenant == tenant, matches(packages.c.folded, term.value.casefold()))
        .limit(MAX_VERSIONS_SEARCHED + 1)
    )
    found = (await c.execute(query)).all()
    if len(found) > MAX_VERSIONS_SEARCHED:
        raise FarhandError(
            "query-too-wide",
            f"{term.value[:60]!r} fits more than {MAX_VERSIONS_SEARCHED} versions of software",
            hint="write more of its name",
        )
    return [
        number
        for number, source, version in found
        if not term.operator or satisfies(source, version, term.operator, term.wanted)
    ]
