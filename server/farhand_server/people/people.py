"""People who ask for help or give it, and the addresses by which they are known.

An address belongs to one person.  Until it is verified it only says that somebody claims it: what
comes from it is shown as hers, and never joins what is known of her by verified ones.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import RowMapping, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_server.errors import not_found
from farhand_server.people.organisations import check_locale, check_zone, get_organisation
from farhand_server.people.warnings import warn_person
from farhand_server.relay import Relay
from farhand_server.store.schema import addresses, people
from farhand_server.wording import check_body, check_line

__all__ = [
    "ADDRESS_KINDS",
    "MAX_ADDRESSES",
    "PERSON_KINDS",
    "Address",
    "AddressKind",
    "Person",
    "PersonKind",
    "PersonTerms",
    "add_address",
    "addresses_of",
    "create_person",
    "find_person",
    "get_person",
    "list_people",
    "main_address",
    "normalise_address",
    "person_of_address",
    "remove_address",
    "set_person",
    "verify_address",
    "whose_account",
    "whose_name",
]

PersonKind = Literal["user", "staff", "vendor", "system"]
PERSON_KINDS: Final[tuple[PersonKind, ...]] = get_args(PersonKind)
AddressKind = Literal["mail", "phone", "chat"]
ADDRESS_KINDS: Final[tuple[AddressKind, ...]] = get_args(AddressKind)
MAX_ADDRESSES: Final = 20
_MAX_NAME_CHARS: Final = 100
_MAX_ADDRESS_CHARS: Final = 254
_MAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,190}\Z")
_PHONE = re.compile(r"\+?[0-9]{3,20}\Z")
_PHONE_FILLERS: Final = str.maketrans("", "", " -./()\u00a0")


class PersonTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set of a person.

    Attributes:
        name: as she is addressed.
        organisation: id or name of hers; None where nobody has said.
        locale: language of what she is sent; empty is her organisation's.
        zone: her time zone; empty is her organisation's.
        kind: who she is to the desk.
        account: name of the account that is hers.
        active: whether she may still ask for help.
        notes: for the desk.
    """

    name: str
    organisation: str | None = None
    locale: str = ""
    zone: str = ""
    kind: PersonKind = "user"
    account: str | None = None
    active: bool = True
    notes: str = ""


class Person(PersonTerms, frozen=True, kw_only=True):
    """One person; `organisation` is an id."""

    id: str
    created_at: str
    revision: int


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a person, as it is compared."""

    kind: AddressKind
    value: str
    person: str
    verified_at: str | None
    created_at: str


def normalise_address(kind: AddressKind, value: str) -> str:
    """Return an address as it is compared: mails in lower case, phones as digits.

    Raises:
        UsageError: `invalid` for what cannot be one.
    """
    text = unicodedata.normalize("NFC", value.strip())
    if kind == "mail":
        text = text.casefold()
        fits = _MAIL.match(text) is not None
    elif kind == "phone":
        text = text.translate(_PHONE_FILLERS)
        text = "+" + text[2:] if text.startswith("00") else text
        fits = _PHONE.match(text) is not None
    else:
        fits = bool(text)
    if not fits or len(text) > _MAX_ADDRESS_CHARS or not text.isprintable():
        raise UsageError("invalid", f"{value[:80]!r} is no address of the kind {kind}")
    return text


def _person(row: RowMapping) -> Person:
    return Person(**{name: row[name] for name in Person.__struct_fields__})


async def _values(c: AsyncConnection, tenant: str, terms: PersonTerms) -> dict[str, object]:
    organisation = None
    if terms.organisation:
        organisation = (await get_organisation(c, tenant, terms.organisation)).id
    return {
        "name": check_line(terms.name, "person's name", max_chars=_MAX_NAME_CHARS),
        "organisation": organisation,
        "locale": check_locale(terms.locale) if terms.locale else "",
        "zone": check_zone(terms.zone) if terms.zone else "",
        "kind": terms.kind,
        "account": terms.account,
        "active": terms.active,
        "notes": check_body(terms.notes, "notes") if terms.notes.strip() else "",
    }


async def create_person(
    c: AsyncConnection, relay: Relay, *, terms: PersonTerms, actor: str
) -> Person:
    """Make a person, whose account (if any) the caller checked.

    Raises:
        FarhandError: `invalid`; `not-found` for the organisation; `account-taken`.
    """
    person = make_id("u", relay.random(10))
    row = {
        "tenant": relay.tenant,
        "id": person,
        **await _values(c, relay.tenant, terms),
        "created_at": relay.stamp(),
        "revision": 1,
    }
    try:
        async with c.begin_nested():
            await c.execute(insert(people).values(**row))
    except IntegrityError as error:
        raise _taken(terms.account) from error
    await relay.audit.append(c, actor=actor, action="person.create", subject=person)
    return await get_person(c, relay.tenant, person)


def _taken(account: str | None) -> FarhandError:
    return FarhandError("account-taken", f"the account {account!r} is another person's")


async def get_person(c: AsyncConnection, tenant: str, ref: str) -> Person:
    """Return the person with this id, account or mail address.

    Raises:
        FarhandError: `not-found`.
    """
    for where in (people.c.id == ref, people.c.account == ref):
        query = select(people).where(people.c.tenant == tenant, where)
        row = (await c.execute(query)).mappings().first()
        if row is not None:
            return _person(row)
    if "@" in ref:
        found = await find_person(c, tenant, "mail", ref)
        if found is not None:
            return found
    raise not_found("person", ref)


async def whose_account(
    c: AsyncConnection, tenant: str, account: str
) -> tuple[str | None, str | None]:
    """Return the person with this account and her organisation (ids), or nothing twice."""
    query = select(people.c.id, people.c.organisation).where(
        people.c.tenant == tenant, people.c.account == account
    )
    row = (await c.execute(query)).first()
    return (None, None) if row is None else (row.id, row.organisation)


async def whose_name(c: AsyncConnection, tenant: str, name: str) -> tuple[str | None, str | None]:
    """Return the person with an account of this name, or who has proven it as her address.

    Returns: her and her organisation (ids); nothing twice where it is nobody's, or two people's.
    """
    by_account = await whose_account(c, tenant, name)
    try:
        value = normalise_address("mail", name)
    except UsageError:
        return by_account
    query = (
        select(people.c.id, people.c.organisation)
        .join(
            addresses,
            and_(addresses.c.tenant == people.c.tenant, addresses.c.person == people.c.id),
        )
        .where(
            addresses.c.tenant == tenant,
            addresses.c.kind == "mail",
            addresses.c.value == value,
            addresses.c.verified_at.is_not(None),
        )
    )
    row = (await c.execute(query)).first()
    if row is None or by_account[0] == row.id:
        return by_account
    return (row.id, row.organisation) if by_account[0] is None else (None, None)


async def find_person(
    c: AsyncConnection, tenant: str, kind: AddressKind, value: str
) -> Person | None:
    """Return whose address this is, verified or not."""
    query = (
        select(people)
        .join(
            addresses,
            and_(addresses.c.tenant == people.c.tenant, addresses.c.person == people.c.id),
        )
        .where(
            addresses.c.tenant == tenant,
            addresses.c.kind == kind,
            addresses.c.value == normalise_address(kind, value),
        )
    )
    row = (await c.execute(query)).mappings().first()
    return None if row is None else _person(row)


async def person_of_address(
    c: AsyncConnection,
    relay: Relay,
    *,
    kind: AddressKind,
    value: str,
    name: str = "",
    actor: str = "relay",
) -> Person:
    """Return whose address this is; somebody unknown is made a person with it, not verified.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        kind: of the address.
        value: as it came.
        name: what she calls herself; her address without it, or where it is no name.
        actor: who says so.

    Raises:
        FarhandError: `invalid` for what cannot be an address.
    """
    found = await find_person(c, relay.tenant, kind, value)
    if found is not None:
        return found
    address = normalise_address(kind, value)
    called = "".join(one for one in name if one.isprintable()).strip()[:_MAX_NAME_CHARS]
    terms = PersonTerms(name=called or address[:_MAX_NAME_CHARS])
    try:
        async with c.begin_nested():
            made = await create_person(c, relay, terms=terms, actor=actor)
            await add_address(c, relay, person=made.id, kind=kind, value=value, actor=actor)
    except FarhandError as error:
        # Two mails at once, on two nodes: the other one made her.
        found = await find_person(c, relay.tenant, kind, value)
        if error.code != "address-taken" or found is None:
            raise
        return found
    return made


async def set_person(
    c: AsyncConnection,
    relay: Relay,
    *,
    ref: str,
    terms: PersonTerms,
    actor: str,
    revision: int | None = None,
) -> Person:
    """Change what is set of a person, against the revision that was read.

    Raises:
        FarhandError: `invalid`, `not-found`, `account-taken`, `revision-mismatch`.
    """
    found = await get_person(c, relay.tenant, ref)
    changed = (
        update(people)
        .where(
            people.c.tenant == relay.tenant,
            people.c.id == found.id,
            people.c.revision == (found.revision if revision is None else revision),
        )
        .values(**await _values(c, relay.tenant, terms), revision=people.c.revision + 1)
    )
    try:
        async with c.begin_nested():
            done = await c.execute(changed)
    except IntegrityError as error:
        raise _taken(terms.account) from error
    if done.rowcount != 1:
        raise FarhandError(
            "revision-mismatch",
            f"{found.name} was changed by somebody else meanwhile",
            hint="look at it again, then repeat your change",
        )
    await relay.audit.append(c, actor=actor, action="person.set", subject=found.id)
    return await get_person(c, relay.tenant, found.id)


async def list_people(
    c: AsyncConnection,
    tenant: str,
    *,
    organisation: str | None = None,
    kind: PersonKind | None = None,
    words: str = "",
    after: str = "",
    limit: int = 50,
) -> list[Person]:
    """Return people by id, from after one on.

    Args:
        c: any connection.
        tenant: who runs the desk.
        organisation: only those of this one (an id).
        kind: only those of this one.
        words: each must be in the name.
        after: only later ids (the cursor).
        limit: at most so many.
    """
    where = [people.c.tenant == tenant, people.c.id > after]
    if organisation is not None:
        where.append(people.c.organisation == organisation)
    if kind is not None:
        where.append(people.c.kind == kind)
    for word in words.replace("\0", "").split()[:10]:
        where.append(people.c.name.icontains(word, autoescape=True))
    query = select(people).where(*where).order_by(people.c.id).limit(limit)
    return [_person(row) for row in (await c.execute(query)).mappings()]


# Addresses.


async def addresses_of(c: AsyncConnection, tenant: str, person: str) -> list[Address]:
    """Return a person's addresses, verified ones first, the oldest of them in front."""
    query = (
        select(addresses)
        .where(addresses.c.tenant == tenant, addresses.c.person == person)
        .order_by(addresses.c.verified_at.is_(None), addresses.c.created_at, addresses.c.value)
        .limit(MAX_ADDRESSES)
    )
    return [
        Address(**{name: row[name] for name in Address.__struct_fields__})
        for row in (await c.execute(query)).mappings()
    ]


async def main_address(c: AsyncConnection, tenant: str, person: str) -> str | None:
    """Return where a person is written to: her oldest verified mail address, else the oldest."""
    for one in await addresses_of(c, tenant, person):
        if one.kind == "mail":
            return one.value
    return None


async def add_address(
    c: AsyncConnection,
    relay: Relay,
    *,
    person: str,
    kind: AddressKind,
    value: str,
    actor: str,
    is_verified: bool = False,
) -> Address:
    """Give an address to a person (an id).

    Raises:
        FarhandError: `invalid`; `address-taken` when it is somebody's; `address-limit`.
    """
    address = normalise_address(kind, value)
    count = await c.scalar(
        select(func.count())
        .select_from(addresses)
        .where(addresses.c.tenant == relay.tenant, addresses.c.person == person)
    )
    if int(count or 0) >= MAX_ADDRESSES:
        raise FarhandError("address-limit", f"a person has {MAX_ADDRESSES} addresses at most")
    at = relay.stamp()
    try:
        async with c.begin_nested():
            await c.execute(
                insert(addresses).values(
                    tenant=relay.tenant,
                    kind=kind,
                    value=address,
                    person=person,
                    verified_at=at if is_verified else None,
                    created_at=at,
                )
            )
    except IntegrityError as error:
        raise FarhandError("address-taken", f"{address} is somebody's already") from error
    await relay.audit.append(c, actor=actor, action="address.add", subject=person)
    if is_verified:
        await _warn_of_new(c, relay, person, kind, address)
    return Address(
        kind=kind,
        value=address,
        person=person,
        verified_at=at if is_verified else None,
        created_at=at,
    )


async def verify_address(
    c: AsyncConnection, relay: Relay, *, kind: AddressKind, value: str, actor: str
) -> None:
    """Note that whoever has this address has shown that it is hers; once is enough.

    Raises:
        FarhandError: `not-found`.
    """
    address = normalise_address(kind, value)
    mine = and_(
        addresses.c.tenant == relay.tenant, addresses.c.kind == kind, addresses.c.value == address
    )
    person = await c.scalar(select(addresses.c.person).where(mine))
    if person is None:
        raise not_found("address", address)
    done = await c.execute(
        update(addresses)
        .where(mine, addresses.c.verified_at.is_(None))
        .values(verified_at=relay.stamp())
    )
    if done.rowcount:
        await relay.audit.append(c, actor=actor, action="address.verify", subject=person)
        await _warn_of_new(c, relay, person, kind, address)


async def _warn_of_new(
    c: AsyncConnection, relay: Relay, person: str, kind: AddressKind, address: str
) -> None:
    """Tell a person at her other addresses that this one opens her account, too, from now on."""
    if kind == "mail":
        await warn_person(
            c, relay, person=person, change="address-added", address=address, without=[address]
        )


async def remove_address(
    c: AsyncConnection, relay: Relay, *, kind: AddressKind, value: str, actor: str
) -> None:
    """Take an address from whoever has it.

    Raises:
        FarhandError: `not-found`.
    """
    address = normalise_address(kind, value)
    gone = (
        addresses.delete()
        .where(
            addresses.c.tenant == relay.tenant,
            addresses.c.kind == kind,
            addresses.c.value == address,
        )
        .returning(addresses.c.person, addresses.c.verified_at)
    )
    row = (await c.execute(gone)).first()
    if row is None:
        raise not_found("address", address)
    await relay.audit.append(c, actor=actor, action="address.remove", subject=row.person)
    if kind == "mail" and row.verified_at is not None:
        await warn_person(
            c,
            relay,
            person=row.person,
            change="address-removed",
            address=address,
            also=[address],
        )
