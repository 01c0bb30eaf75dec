"""Routes of whom the desk works for: organisations, people, addresses, and proofs of these."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.authorisation import PUBLIC, Actor, authorise
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.steps import make_steps
from farhand_server.accounts.tokens import make_tokens
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.revisions import check_if_match, etag
from farhand_server.desk.search_index import index_person
from farhand_server.desk.service import get_calendar
from farhand_server.errors import not_found
from farhand_server.people.merging import check_not_erased, known_as, merge_people
from farhand_server.people.organisations import (
    Organisation,
    OrganisationTerms,
    create_organisation,
    get_organisation,
    list_organisations,
    set_organisation,
)
from farhand_server.people.people import (
    Address,
    AddressKind,
    Person,
    PersonKind,
    PersonTerms,
    add_address,
    addresses_of,
    create_person,
    get_person,
    list_people,
    normalise_address,
    remove_address,
    set_person,
)
from farhand_server.people.proofs import Proof, ask_proof, confirm_address, prove, read_proof
from farhand_server.people.protection import is_protected
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Body = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Request = Request[Any, Any, Any]
_Organisation = Annotated[str | None, QueryParameter(name="organisation", max_length=100)]
_Words = Annotated[str, QueryParameter(name="q", max_length=200)]
_Kind = Annotated[PersonKind | None, QueryParameter(name="kind")]


class _Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class OrganisationChange(_Given, frozen=True, kw_only=True):
    """What is to change of an organisation, or how a new one begins; null empties."""

    title: _Line | msgspec.UnsetType = msgspec.UNSET
    zone: _Line | msgspec.UnsetType = msgspec.UNSET
    locale: _Line | msgspec.UnsetType = msgspec.UNSET
    calendar: _Line | msgspec.UnsetType = msgspec.UNSET
    contract: _Line | msgspec.UnsetType | None = msgspec.UNSET
    notes: _Body | msgspec.UnsetType = msgspec.UNSET
    retention_days: int | msgspec.UnsetType | None = msgspec.UNSET


class NewAddress(_Given, frozen=True, kw_only=True):
    """An address of somebody."""

    value: _Line
    kind: AddressKind = "mail"


class NewPerson(_Given, frozen=True, kw_only=True):
    """Somebody new; her addresses are claimed, not verified."""

    name: _Line
    organisation: _Line | None = None
    locale: _Line = ""
    zone: _Line = ""
    kind: PersonKind = "user"
    notes: _Body = ""
    addresses: Annotated[list[NewAddress], msgspec.Meta(max_length=20)] = []


class PersonChange(_Given, frozen=True, kw_only=True):
    """What is to change of a person; `account` only by an admin."""

    name: _Line | msgspec.UnsetType = msgspec.UNSET
    organisation: _Line | msgspec.UnsetType | None = msgspec.UNSET
    locale: _Line | msgspec.UnsetType = msgspec.UNSET
    zone: _Line | msgspec.UnsetType = msgspec.UNSET
    kind: PersonKind | msgspec.UnsetType = msgspec.UNSET
    account: _Line | msgspec.UnsetType | None = msgspec.UNSET
    active: bool | msgspec.UnsetType = msgspec.UNSET
    notes: _Body | msgspec.UnsetType = msgspec.UNSET


class Confirmation(NewAddress, frozen=True, kw_only=True):
    """How it was recognised that an address is hers."""

    reason: _Line


class Merge(_Given, frozen=True, kw_only=True):
    """The person who stays."""

    into: _Line


class Token(_Given, frozen=True, kw_only=True):
    """What a link carries."""

    token: _Line


class PersonView(Person, frozen=True, kw_only=True):
    """A person with her addresses; `merged` are the ids under which she was known as well."""

    addresses: list[Address]
    merged: list[str]


def _given(data: _Given) -> dict[str, Any]:
    return {
        name: value
        for name in data.__struct_fields__
        if not isinstance(value := getattr(data, name), msgspec.UnsetType)
    }


class OrganisationController(Controller):
    """Organisations; `{organisation}` is a name or an id."""

    path = "/organisations"

    @get("/", action="organisation.read")
    async def list_all(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT
    ) -> Page[Organisation]:
        """Return organisations by name."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            rows = await list_organisations(
                c, relay.tenant, after=after[0] if after else "", limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.name,))

    @get("/{organisation:str}", action="organisation.read")
    async def show(self, relay: FromRelay, organisation: FromPath[str]) -> Response[Organisation]:
        """Return one."""
        async with relay.db.read() as c:
            found = await get_organisation(c, relay.tenant, organisation)
        return _tagged(found)

    @post("/{organisation:str}", action="organisation.write", status_code=200)
    async def set(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        organisation: FromPath[str],
        data: JSONBody[OrganisationChange],
    ) -> Response[Organisation]:
        """Make an organisation of this name, or change the one there is."""
        given = _given(data)
        async with relay.db.write() as c:
            if "calendar" in given:
                await get_calendar(c, relay.tenant, given["calendar"])
            try:
                found = await get_organisation(c, relay.tenant, organisation)
            except FarhandError as error:
                if error.code != "not-found":
                    raise
                terms = OrganisationTerms(**given)
                made = await create_organisation(
                    c, relay, name=organisation, terms=terms, actor=actor.name
                )
                return _tagged(made)
            check_if_match(request, found.revision)
            names = OrganisationTerms.__struct_fields__
            terms = OrganisationTerms(**({n: getattr(found, n) for n in names} | given))
            changed = await set_organisation(
                c,
                relay,
                ref=found.id,
                terms=terms,
                actor=actor.name,
                revision=found.revision,
            )
        return _tagged(changed)


def _tagged(found: Organisation) -> Response[Organisation]:
    return Response(found, headers={"ETag": etag(found.revision)})


async def _view(c: AsyncConnection, tenant: str, person: Person) -> PersonView:
    also = (await known_as(c, tenant, person.id))[1:]
    known = await addresses_of(c, tenant, person.id)
    return PersonView(**msgspec.structs.asdict(person), addresses=known, merged=also)


async def _answer(c: AsyncConnection, relay: Relay, person: str) -> Response[PersonView]:
    view = await _view(c, relay.tenant, await get_person(c, relay.tenant, person))
    return Response(view, headers={"ETag": etag(view.revision)})


async def _give_account(
    c: AsyncConnection, relay: Relay, person: str, account: str | None, actor: str
) -> None:
    """Say which account is a person's, or that none is any more."""
    row = None
    if account is not None:
        row = await relay.service(make_directory).find(c, account)
        if row is None:
            raise not_found("account", account)
    found = await get_person(c, relay.tenant, person)
    names = PersonTerms.__struct_fields__
    terms = {name: getattr(found, name) for name in names} | {"account": account}
    await set_person(c, relay, ref=person, terms=PersonTerms(**terms), actor=actor)
    # The account says so as well.
    mine = accounts.c.tenant == relay.tenant
    await c.execute(update(accounts).where(mine, accounts.c.person == person).values(person=None))
    if row is not None:
        await c.execute(update(accounts).where(mine, accounts.c.id == row.id).values(person=person))


def _who(person: Person) -> dict[str, Any]:
    """Return what decides whether somebody may sign in."""
    return {"kind": person.kind, "active": person.active}


async def _keep_out(c: AsyncConnection, relay: Relay, person: Person) -> None:
    """End what somebody began who may ask for help no more; people of the desk are disabled."""
    hers = or_(accounts.c.person == person.id, accounts.c.name == person.account)
    query = select(accounts.c.id).where(
        accounts.c.tenant == relay.tenant, accounts.c.role == "requester", hers
    )
    for account in list(await c.scalars(query)):
        await relay.service(make_tokens).revoke_all(c, account)
        await relay.service(make_steps).end_all(c, account)


async def _check_hers(c: AsyncConnection, relay: Relay, actor: Actor, *persons: Person) -> None:
    """Let only an admin change what opens the tickets or the account of somebody protected."""
    for person in persons:
        if await is_protected(c, relay.tenant, person):
            authorise(actor, "person.confirm")


class PersonController(Controller):
    """People; `{person}` is an id, an account or a mail address."""

    path = "/people"

    @get("/", action="person.read")
    async def list_all(
        self,
        relay: FromRelay,
        organisation: _Organisation = None,
        kind: _Kind = None,
        words: _Words = "",
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Person]:
        """Return people by id."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            belongs = None
            if organisation is not None:
                belongs = (await get_organisation(c, relay.tenant, organisation)).id
            rows = await list_people(
                c,
                relay.tenant,
                organisation=belongs,
                kind=kind,
                words=words,
                after=after[0] if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.id,))

    @post("/", action="person.write", status_code=201)
    async def add(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewPerson]
    ) -> PersonView:
        """Make a person."""
        names = [name for name in NewPerson.__struct_fields__ if name != "addresses"]
        terms = PersonTerms(**{name: getattr(data, name) for name in names})
        async with relay.db.write() as c:
            made = await create_person(c, relay, terms=terms, actor=actor.name)
            for one in data.addresses:
                await add_address(
                    c, relay, person=made.id, kind=one.kind, value=one.value, actor=actor.name
                )
            return await _view(c, relay.tenant, made)

    @get("/{person:str}", action="person.read")
    async def show(self, relay: FromRelay, person: FromPath[str]) -> Response[PersonView]:
        """Return one person with her addresses."""
        async with relay.db.read() as c:
            return await _answer(c, relay, person)

    @post("/{person:str}", action="person.write", status_code=200)
    async def set(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        person: FromPath[str],
        data: JSONBody[PersonChange],
    ) -> Response[PersonView]:
        """Change a person; what is not given stays."""
        given = _given(data)
        if "account" in given:
            authorise(actor, "person.confirm")
        async with relay.db.write() as c:
            found = await get_person(c, relay.tenant, person)
            await check_not_erased(c, relay.tenant, found)
            check_if_match(request, found.revision)
            if any(given.get(name, now) != now for name, now in _who(found).items()):
                await _check_hers(c, relay, actor, found)
            if "account" in given:
                await _give_account(c, relay, found.id, given.pop("account"), actor.name)
                found = await get_person(c, relay.tenant, found.id)
            if given:
                names = PersonTerms.__struct_fields__
                terms = PersonTerms(**({name: getattr(found, name) for name in names} | given))
                await set_person(
                    c,
                    relay,
                    ref=found.id,
                    terms=terms,
                    actor=actor.name,
                    revision=found.revision,
                )
            if given.get("name", found.name) != found.name:
                await index_person(c, relay.tenant, found.id)
            if found.active and given.get("active") is False:
                await _keep_out(c, relay, found)
            return await _answer(c, relay, found.id)

    @post("/{person:str}/merge", action="person.write", status_code=200)
    async def merge(
        self, relay: FromRelay, actor: FromActor, person: FromPath[str], data: JSONBody[Merge]
    ) -> Response[PersonView]:
        """Make two people one; both must have a verified mail address, so an admin does."""
        async with relay.db.write() as c:
            source = await get_person(c, relay.tenant, person)
            target = await get_person(c, relay.tenant, data.into)
            await _check_hers(c, relay, actor, source, target)
            made = await merge_people(c, relay, source=source, target=target, actor=actor.name)
            await index_person(c, relay.tenant, made.id)
            return await _answer(c, relay, made.id)


class AddressController(Controller):
    """A person's addresses."""

    path = "/people/{person:str}/addresses"

    @post("/", action="person.write", status_code=200)
    async def add(
        self, relay: FromRelay, actor: FromActor, person: FromPath[str], data: JSONBody[NewAddress]
    ) -> Response[PersonView]:
        """Give a person an address, claimed and not verified."""
        async with relay.db.write() as c:
            found = await get_person(c, relay.tenant, person)
            await check_not_erased(c, relay.tenant, found)
            if data.kind == "mail":
                await _check_hers(c, relay, actor, found)
            await add_address(
                c, relay, person=found.id, kind=data.kind, value=data.value, actor=actor.name
            )
            return await _answer(c, relay, found.id)

    @post("/remove", action="person.write", status_code=200)
    async def remove(
        self, relay: FromRelay, actor: FromActor, person: FromPath[str], data: JSONBody[NewAddress]
    ) -> Response[PersonView]:
        """Take an address from a person."""
        async with relay.db.write() as c:
            found = await get_person(c, relay.tenant, person)
            value = normalise_address(data.kind, data.value)
            known = await addresses_of(c, relay.tenant, found.id)
            if not any((one.kind, one.value) == (data.kind, value) for one in known):
                raise not_found("address", data.value)
            if data.kind == "mail":
                await _check_hers(c, relay, actor, found)
            await remove_address(c, relay, kind=data.kind, value=value, actor=actor.name)
            return await _answer(c, relay, found.id)

    @post("/ask", action="person.write", status_code=200)
    async def ask(
        self, relay: FromRelay, actor: FromActor, person: FromPath[str], data: JSONBody[NewAddress]
    ) -> Proof:
        """Mail a link to an address; it is verified when somebody opens it and says so."""
        if data.kind != "mail":
            raise UsageError("invalid", "only a mail address is asked; confirm another by hand")
        async with relay.db.write() as c:
            found = await get_person(c, relay.tenant, person)
            await _check_hers(c, relay, actor, found)
            return await ask_proof(c, relay, person=found, address=data.value, actor=actor.name)

    @post("/confirm", action="person.confirm", status_code=200)
    async def confirm(
        self,
        relay: FromRelay,
        actor: FromActor,
        person: FromPath[str],
        data: JSONBody[Confirmation],
    ) -> Response[PersonView]:
        """Note how it was recognised that an address is hers."""
        async with relay.db.write() as c:
            found = await get_person(c, relay.tenant, person)
            await confirm_address(
                c,
                relay,
                person=found,
                kind=data.kind,
                address=data.value,
                reason=data.reason,
                actor=actor.name,
            )
            return await _answer(c, relay, found.id)


# Proofs, by whoever has the link.


def make_proof_rate(relay: Relay) -> RateLimit:
    """Return how often links may be tried from one address."""
    return RateLimit(relay.clock, limit=30, window_s=60.0, message="too many links were tried")


def _take_try(relay: Relay, request: _Request) -> None:
    relay.service(make_proof_rate).take(caller_address(request, relay))


class ProofController(Controller):
    """Links that verify an address; they need no sign-in."""

    path = "/verify"

    @get("/{token:str}", action=PUBLIC)
    async def look(self, relay: FromRelay, request: _Request, token: FromPath[str]) -> Proof:
        """Return what the link would verify; looking uses nothing up."""
        _take_try(relay, request)
        async with relay.db.read() as c:
            return await read_proof(c, relay, token)

    @post("/", action=PUBLIC, status_code=200)
    async def verify(self, relay: FromRelay, request: _Request, data: JSONBody[Token]) -> Proof:
        """Verify the address; once."""
        _take_try(relay, request)
        async with relay.db.write() as c:
            return await prove(c, relay, data.token)


AREA = Area(
    name="people",
    controllers=[OrganisationController, PersonController, AddressController, ProofController],
    statuses={
        "account-taken": 409,
        "address-limit": 409,
        "address-taken": 409,
        "address-verified": 409,
        "name-taken": 409,
        "person-accounts": 409,
        "person-erased": 410,
        "person-kinds": 409,
        "person-unverified": 409,
        "proof-invalid": 404,
    },
)
