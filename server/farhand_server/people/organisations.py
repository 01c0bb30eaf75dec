"""Organisations that the desk works for, by a short name.

The tenant is who runs the desk; an organisation is one of those whose people ask for help.
"""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import RowMapping, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import organisations
from farhand_server.wording import check_body, check_line

__all__ = [
    "LOCALES",
    "Organisation",
    "OrganisationTerms",
    "check_locale",
    "check_zone",
    "create_organisation",
    "get_organisation",
    "list_organisations",
    "set_organisation",
]

LOCALES: Final = ("en", "pt", "de", "ro", "ru")
_MAX_NAME_CHARS: Final = 40
_MAX_RETENTION_DAYS: Final = 36_500


class OrganisationTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set of an organisation.

    Attributes:
        title: its full name.
        zone: IANA time zone in which its hours are meant.
        locale: one of `LOCALES`; what mails to its people are written in by default.
        calendar: name of the calendar in which it is served.
        contract: id of the contract that its tickets fall under by default.
        notes: for the desk.
        retention_days: after so many days the words of its closed tickets are erased; None keeps.
    """

    title: str = ""
    zone: str = "UTC"
    locale: str = "en"
    calendar: str = "always"
    contract: str | None = None
    notes: str = ""
    retention_days: int | None = None


class Organisation(OrganisationTerms, frozen=True, kw_only=True):
    """One organisation."""

    id: str
    name: str
    created_at: str
    revision: int


def check_zone(zone: str) -> str:
    """Return a time zone's name; raises `invalid` for one that does not exist."""
    try:
        return ZoneInfo(zone).key
    except (KeyError, ValueError, OSError) as error:
        raise UsageError("invalid", "the time zone must be one like Europe/Lisbon") from error


def check_locale(locale: str) -> str:
    """Return one of `LOCALES`; raises `invalid` for another."""
    if locale not in LOCALES:
        raise UsageError("invalid", f"the language must be one of {', '.join(LOCALES)}")
    return locale


def _values(terms: OrganisationTerms) -> dict[str, object]:
    days = terms.retention_days
    if days is not None and not 1 <= days <= _MAX_RETENTION_DAYS:
        raise UsageError("invalid", f"retention is 1 to {_MAX_RETENTION_DAYS} days, or none")
    return {
        "title": check_line(terms.title, "title") if terms.title.strip() else "",
        "zone": check_zone(terms.zone),
        "locale": check_locale(terms.locale),
        "calendar": check_line(terms.calendar, "calendar's name", max_chars=_MAX_NAME_CHARS),
        "contract": terms.contract,
        "notes": check_body(terms.notes, "notes") if terms.notes.strip() else "",
        "retention_days": days,
    }


def _organisation(row: RowMapping) -> Organisation:
    return Organisation(**{name: row[name] for name in Organisation.__struct_fields__})


async def create_organisation(
    c: AsyncConnection, relay: Relay, *, name: str, terms: OrganisationTerms, actor: str
) -> Organisation:
    """Make an organisation.

    Raises:
        FarhandError: `invalid`; `name-taken`.
    """
    name = check_line(name, "organisation's name", max_chars=_MAX_NAME_CHARS)
    row = {
        "tenant": relay.tenant,
        "id": make_id("g", relay.random(10)),
        "name": name,
        **_values(terms),
        "created_at": relay.stamp(),
        "revision": 1,
    }
    try:
        async with c.begin_nested():
            await c.execute(insert(organisations).values(**row))
    except IntegrityError as error:
        raise FarhandError("name-taken", f"there is an organisation {name!r} already") from error
    await relay.audit.append(c, actor=actor, action="organisation.create", subject=name)
    return await get_organisation(c, relay.tenant, name)


async def get_organisation(c: AsyncConnection, tenant: str, ref: str) -> Organisation:
    """Return the organisation with this id or name.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(organisations).where(
        organisations.c.tenant == tenant,
        or_(organisations.c.id == ref, organisations.c.name == ref),
    )
    # An id goes first, so that nobody's name can stand in front of it.
    query = query.order_by((organisations.c.id == ref).desc()).limit(1)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("organisation", ref)
    return _organisation(row)


async def set_organisation(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    terms: OrganisationTerms,
    actor: str,
    revision: int | None = None,
) -> Organisation:
    """Change what is set of an organisation, against the revision that was read.

    Raises:
        FarhandError: `invalid`, `not-found`, `revision-mismatch`.
    """
    found = await get_organisation(c, relay.tenant, ref)
    done = await c.execute(
        update(organisations)
        .where(
            and_(
                organisations.c.tenant == relay.tenant,
                organisations.c.id == found.id,
                organisations.c.revision == (found.revision if revision is None else revision),
            )
        )
        .values(**_values(terms), revision=organisations.c.revision + 1)
    )
    if done.rowcount != 1:
        raise FarhandError(
            "revision-mismatch",
            f"{found.name} was changed by somebody else meanwhile",
            hint="look at it again, then repeat your change",
        )
    await relay.audit.append(c, actor=actor, action="organisation.set", subject=found.name)
    return await get_organisation(c, relay.tenant, found.id)


async def list_organisations(
    c: AsyncConnection, tenant: str, *, after: str = "", limit: int = 50
) -> list[Organisation]:
    """Return organisations by name, from after one on."""
    query = (
        select(organisations)
        .where(organisations.c.tenant == tenant, organisations.c.name > after)
        .order_by(organisations.c.name)
        .limit(limit)
    )
    return [_organisation(row) for row in (await c.execute(query)).mappings()]
