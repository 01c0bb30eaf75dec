"""Routes of contracts: terms, balance, ledger, statements; and of time entries made by hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Literal, cast

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of, with_etag
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.clock import stamp
from farhand_server.contracts.assigning import assign_contract
from farhand_server.contracts.charging import Origin
from farhand_server.contracts.contracts import (
    Contract,
    get_contract,
    list_contracts,
    set_contract,
)
from farhand_server.contracts.cover import Cover, cover_of
from farhand_server.contracts.documents import as_csv, as_html
from farhand_server.contracts.ledger import Balance, LedgerLine, adjust, balance_of, list_lines
from farhand_server.contracts.rate_card import Offer, rate_card
from farhand_server.contracts.statement_document import statement_document
from farhand_server.contracts.statements import Statement, keep_statement, statement_of
from farhand_server.contracts.sweep import start_sweeping
from farhand_server.contracts.terms import Terms
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.tickets import Ticket, find_ticket, get_ticket
from farhand_server.desk.time_entries import (
    MAX_ACTIVE_S,
    TimeEntry,
    get_time_entry,
    list_time_entries,
    record_time,
    reverse_time,
)
from farhand_server.errors import not_permitted
from farhand_server.fleet.devices import find_device
from farhand_server.people.organisations import get_organisation
from farhand_server.relay import Relay
from farhand_server.wording import MAX_BODY_CHARS

__all__ = ["AREA", "document_response"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Note = Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARS)]
_Active = Annotated[int, msgspec.Meta(ge=1, le=MAX_ACTIVE_S)]
_Format = Annotated[Literal["json", "csv", "html"], QueryParameter(name="format")]
_Language = Annotated[Literal["en", "pt", "de", "ro", "ru"], QueryParameter(name="language")]
_Ref = Annotated[str | None, QueryParameter(max_length=200)]
_SHOWN = 200


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours given, or taken (below nothing), and why."""

    seconds: int
    reason: _Line


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contract of a ticket; null lets the relay find it."""

    contract: _Line | None = None


class NewTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work to be noted; it ended now, unless `started_at` (RFC 3339) says when it began."""

    active_s: _Active
    note: _Note = ""
    activity: _Line = ""
    billable: bool = True
    customer_visible: bool | None = None
    started_at: _Line | None = None
    origin: Literal["hand", "call", "visit"] = "hand"


class RightTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a wrong entry should have said; what is null is as the wrong one has it."""

    active_s: _Active | None = None
    note: _Note | None = None
    activity: _Line | None = None
    billable: bool | None = None
    customer_visible: bool | None = None
    started_at: _Line | None = None


class Correction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an entry was wrong, and what it should have said; null for nothing at all."""

    reason: _Line
    right: RightTime | None = None


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """The entry that takes the wrong one back, and the right one."""

    reversal: TimeEntry
    right: TimeEntry | None


class ShownTime(msgspec.Struct, frozen=True, kw_only=True):
    """A time entry as the customer is shown it."""

    started_at: str
    ended_at: str
    active_s: int
    billed_s: int
    activity: str


class TicketContract(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket falls under, what is left of it, and the time that the customer may see."""

    contract: str
    title: str
    kind: str
    balance: Balance | None
    refuses: bool
    shown: list[ShownTime]


def document_response(text: str, form: str, name: str) -> Response[str]:
    """Answer with a document as a file, which no browser runs anything of."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    media = "text/html; charset=utf-8" if form == "html" else "text/csv; charset=utf-8"
    return Response(text, headers=headers, media_type=media)


def _written(statement: Statement, language: str, form: str) -> str:
    document = statement_document(statement, language)
    return as_html(document) if form == "html" else as_csv(document)


class ContractController(Controller):
    """Contracts, by name."""

    path = "/contracts"

    @get("/", action="contract.read")
    async def list_all(
        self,
        relay: FromRelay,
        organisation: _Ref = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Contract]:
        """Return the newest version of each."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            whose = None
            if organisation is not None:
                whose = (await get_organisation(c, relay.tenant, organisation)).id
            rows = await list_contracts(
                c,
                relay.tenant,
                organisation=whose,
                after=after[0] if after else "",
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.name,))

    @get("/cover", action="contract.read")
    async def cover(
        self, relay: FromRelay, actor: FromActor, ticket: _Ref = None, device: _Ref = None
    ) -> Cover:
        """Return what work on a ticket, or on a device, falls under."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = None
            if ticket is not None:
                found = await find_ticket(c, relay.tenant, ticket, sight=sight)
            machine = None
            if device is not None:
                machine = (await find_device(c, relay.tenant, device))["id"]
            number = None if found is None else found.row
            return await cover_of(c, relay, ticket=number, device=machine)

    @get("/{name:str}", action="contract.read")
    async def show(self, relay: FromRelay, name: FromPath[str]) -> Contract:
        """Return the newest version of one."""
        async with relay.db.read() as c:
            return await get_contract(c, relay.tenant, name)

    @post("/{name:str}", action="contract.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[Terms]
    ) -> Contract:
        """Keep a new version."""
        async with relay.db.write() as c:
            return await set_contract(c, relay, name=name, terms=data, actor=actor.name)

    @get("/{name:str}/balance", action="contract.read")
    async def balance(self, relay: FromRelay, name: FromPath[str]) -> Balance:
        """Return what there is of its hours."""
        async with relay.db.read() as c:
            return await balance_of(c, relay, await get_contract(c, relay.tenant, name))

    @get("/{name:str}/ledger", action="contract.read")
    async def ledger(
        self,
        relay: FromRelay,
        name: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[LedgerLine]:
        """Return the lines of its ledger, oldest first."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            found = await get_contract(c, relay.tenant, name)
            rows = await list_lines(
                c, relay.tenant, found.name, after=after[0] if after else 0, limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @post("/{name:str}/adjust", action="contract.write", status_code=200)
    async def adjust(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[Adjustment]
    ) -> Balance:
        """Give or take hours."""
        async with relay.db.write() as c:
            return await adjust(
                c,
                relay,
                name=name,
                seconds=data.seconds,
                reason=data.reason,
                actor=actor.name,
            )

    @get("/{name:str}/statements/{month:str}", action="contract.read")
    async def statement(
        self,
        relay: FromRelay,
        name: FromPath[str],
        month: FromPath[str],
        form: _Format = "json",
        language: _Language = "en",
    ) -> Response[Statement] | Response[str]:
        """Return the statement of a month, or its draft."""
        async with relay.db.read() as c:
            found = await statement_of(c, relay, name=name, month=month)
        if form == "json":
            return Response(found)
        text = await asyncio.to_thread(_written, found, language, form)
        return document_response(text, form, f"{found.contract}-{found.month}")

    @post("/{name:str}/statements/{month:str}", action="contract.write", status_code=200)
    async def keep(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], month: FromPath[str]
    ) -> Statement:
        """Make the statement of a month that is over."""
        async with relay.db.write() as c:
            return await keep_statement(c, relay, name=name, month=month, actor=actor.name)


@get("/rate-card", action=PUBLIC)
async def show_rate_card(relay: FromRelay) -> Page[Offer]:
    """Return what is offered to everybody."""
    async with relay.db.read() as c:
        return Page(items=await rate_card(c, relay))


class WorkController(Controller):
    """The contract of a ticket, and time on it."""

    path = "/tickets/{ticket:str}"

    @get("/contract", action="ticket.read")
    async def contract(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> TicketContract:
        """Return what a ticket falls under; a requester sees that of her own."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            by_name = actor.name in (found.requester, found.created_by)
            if not (sight.desk or by_name or (actor.person and found.person == actor.person)):
                raise not_permitted("what a ticket falls under is for whoever asked for help")
            cover = await cover_of(c, relay, ticket=found.row)
            numbers = [found.row, *await merged_into(c, relay.tenant, found.row)]
            entries = await list_time_entries(c, relay.tenant, numbers, limit=_SHOWN)
        return TicketContract(
            contract=cover.contract,
            title=cover.title,
            kind=cover.kind,
            balance=cover.balance,
            refuses=cover.refuses,
            shown=[
                ShownTime(
                    started_at=one.started_at,
                    ended_at=one.ended_at,
                    active_s=one.active_s,
                    billed_s=one.charge.billed_s,
                    activity=one.charge.activity,
                )
                for one in entries
                if one.charge is not None and one.charge.customer_visible
            ],
        )

    @post("/contract", action="contract.assign", status_code=200)
    async def assign(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[Choice]
    ) -> Response[Ticket]:
        """Say what a ticket falls under."""
        async with relay.db.write() as c:
            changed = await assign_contract(
                c,
                relay,
                ref=ticket,
                contract=data.contract,
                actor=actor.name,
                sight=sight_of(actor, "contract.assign"),
            )
        return with_etag(changed)

    @post("/time-entries", action="time.write", status_code=201)
    async def note_time(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[NewTime]
    ) -> TimeEntry:
        """Note work that no session counted."""
        sight = sight_of(actor, "time.write")
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            began, ended = _span(relay, data.active_s, data.started_at)
            return await record_time(
                c,
                relay,
                ticket=found.row,
                account=actor.name,
                started_at=began,
                ended_at=ended,
                active_s=data.active_s,
                note=data.note,
                origin=data.origin,
                activity=data.activity,
                billable=data.billable,
                customer_visible=data.customer_visible,
            )


def _span(relay: Relay, active_s: int, started_at: str | None) -> tuple[str, str]:
    """Return when work began and ended, as the tables keep it.

    Raises:
        FarhandError: `time-malformed`; `invalid` for work that has not ended yet.
    """
    lasted = timedelta(seconds=active_s)
    if started_at is None:
        return stamp(relay.now() - lasted), relay.stamp()
    began = parse_instant(started_at)
    if began + lasted > relay.now() + timedelta(minutes=1):
        raise FarhandError("invalid", "work that has not ended yet cannot be noted")
    return stamp(began), stamp(began + lasted)


@post("/time-entries/{entry:str}/reverse", action="time.write", status_code=200)
async def reverse(
    relay: FromRelay, actor: FromActor, entry: FromPath[str], data: JSONBody[Correction]
) -> Corrected:
    """Take an entry back, one's own or as an admin, and say what is right."""
    async with relay.db.write() as c:
        wrong = await get_time_entry(c, relay.tenant, entry)
        if wrong.account != actor.name and actor.role != "admin":
            raise not_permitted("this is somebody else's time; an admin may correct it")
        ticket = await get_ticket(
            c, relay.tenant, wrong.ticket, sight=sight_of(actor, "time.write")
        )
        reversal = await reverse_time(c, relay, entry=entry, reason=data.reason, actor=actor.name)
        right = None
        if data.right is not None:
            right = await _correct(c, relay, ticket.row, wrong, data.right)
    return Corrected(reversal=reversal, right=right)


async def _correct(
    c: AsyncConnection, relay: Relay, ticket: int, wrong: TimeEntry, right: RightTime
) -> TimeEntry:
    """Note what an entry should have said, in its place; what nobody names stays as it was."""
    charge = wrong.charge
    if charge is None:
        raise FarhandError("time-reversed", f"{wrong.id} is older than contracts, and comes to 0")
    active_s = wrong.active_s if right.active_s is None else right.active_s
    began, ended = wrong.started_at, wrong.ended_at
    if right.started_at is not None:
        began, ended = _span(relay, active_s, right.started_at)
    shown, billable = right.customer_visible, right.billable
    return await record_time(
        c,
        relay,
        ticket=ticket,
        account=wrong.account,
        started_at=began,
        ended_at=ended,
        active_s=active_s,
        note=wrong.note if right.note is None else right.note,
        origin=cast(Origin, charge.origin),
        activity=charge.activity if right.activity is None else right.activity,
        billable=charge.billable if billable is None else billable,
        customer_visible=charge.customer_visible if shown is None else shown,
        corrects=charge,
    )


AREA = Area(
    name="contracts",
    controllers=[ContractController, WorkController, show_rate_card, reverse],
    statuses={
        "contract-invalid": 422,
        "contract-limit": 409,
        "contract-no-balance": 409,
        "contract-used-up": 409,
        "statement-early": 409,
        "statement-too-large": 409,
        "time-reversed": 409,
    },
    start=start_sweeping,
)
