"""Bugs, the tickets that are about them, and what follows when one is fixed.

    open -> fixed        every linked ticket gets a note and a draft of what to tell its requester,
                         which nobody has sent; programs that asked for `bug.fixed` are told
    open -> rejected     every linked ticket gets a note
    fixed, rejected -> open     it was not so

A bug reads `B-1`.  Its issue elsewhere is a key of a connector, `github:17`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import ColumnElement, RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.bugs.words import draft
from farhand_server.care.notices import notice_of_fix
from farhand_server.desk.references import format_number
from farhand_server.desk.ticket_states import ENDED
from farhand_server.desk.tickets import Sight, Ticket, get_ticket, lock_numbers
from farhand_server.desk.timeline import add_event, insert_message
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import bug_tickets, bugs
from farhand_server.webhooks.endpoints import queue_for_all
from farhand_server.wording import check_body, check_line

__all__ = [
    "MAX_LINKED",
    "STATES",
    "Bug",
    "BugView",
    "change_state",
    "create_bug",
    "format_bug",
    "get_bug",
    "link_ticket",
    "list_bugs",
    "set_issue",
    "unlink_ticket",
    "view_bug",
]

State = Literal["open", "fixed", "rejected"]
STATES: Final[tuple[State, ...]] = get_args(State)
MAX_LINKED: Final = 1000
_MAX_VERSION_CHARS: Final = 100
_REFERENCE: Final = re.compile(r"(?:b-)?([1-9][0-9]{0,8})\Z", re.IGNORECASE)


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    """A bug; `external_key` and `external_url` are its issue's, where its makers keep it."""

    id: str
    title: str
    state: str
    fixed_in: str
    external_key: str | None
    external_url: str
    notes: str
    tickets: int
    created_by: str
    created_at: str
    changed_at: str
    revision: int

    @property
    def row(self) -> int:
        """Return the number as the database keeps it."""
        return int(self.id.partition("-")[2])


class BugView(Bug, frozen=True, kw_only=True):
    """A bug with the tickets that are about it, as far as the person may see them."""

    linked: list[str]


def format_bug(number: int) -> str:
    """Write a number as people read it."""
    return f"B-{number}"


def _parse(ref: str) -> int:
    found = _REFERENCE.match(ref.strip())
    if found is None:
        raise not_found("bug", ref)
    return int(found[1])


def _bug(row: RowMapping) -> Bug:
    values = {name: row[name] for name in Bug.__struct_fields__ if name != "id"}
    return Bug(id=format_bug(row["number"]), **values)


def _query(tenant: str) -> Any:
    count = (
        select(func.count())
        .where(bug_tickets.c.tenant == bugs.c.tenant, bug_tickets.c.bug == bugs.c.number)
        .scalar_subquery()
    )
    return select(bugs, count.label("tickets")).where(bugs.c.tenant == tenant)


async def create_bug(
    c: AsyncConnection,
    relay: Relay,
    *,
    title: str,
    notes: str,
    external_key: str | None = None,
    external_url: str = "",
    actor: str,
) -> Bug:
    """Make a bug.

    Raises:
        FarhandError: `invalid`; `bug-exists` for an issue that another bug has.
    """
    await lock_numbers(c, relay.tenant)
    await _check_free(c, relay, external_key)
    highest = await c.scalar(select(func.max(bugs.c.number)).where(bugs.c.tenant == relay.tenant))
    number = (highest or 0) + 1
    await relay.audit.append(c, actor=actor, action="bug.create", subject=format_bug(number))
    await c.execute(
        insert(bugs).values(
            tenant=relay.tenant,
            number=number,
            title=check_line(title, "title"),
            state="open",
            fixed_in="",
            external_key=external_key,
            external_url=external_url,
            notes=check_body(notes, "notes") if notes.strip() else "",
            created_by=actor,
            created_at=relay.stamp(),
            changed_at=relay.stamp(),
            looked_at=relay.stamp(),
            revision=1,
        )
    )
    return await get_bug(c, relay.tenant, str(number))


async def _check_free(c: AsyncConnection, relay: Relay, external_key: str | None) -> None:
    if external_key is None:
        return
    taken = await c.scalar(
        select(bugs.c.number).where(
            bugs.c.tenant == relay.tenant, bugs.c.external_key == external_key
        )
    )
    if taken is not None:
        raise FarhandError(
            "bug-exists",
            f"{external_key} is the issue of {format_bug(taken)}",
            hint=f"farhand bug link {format_bug(taken)} TICKET",
        )


async def get_bug(c: AsyncConnection, tenant: str, ref: str) -> Bug:
    """Return the bug that `B-1` or `1` names.

    Raises:
        FarhandError: `not-found`.
    """
    query = _query(tenant).where(bugs.c.number == _parse(ref))
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("bug", ref)
    return _bug(row)


async def list_bugs(
    c: AsyncConnection,
    tenant: str,
    *,
    state: str | None = None,
    external_key: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Bug]:
    """Return bugs, newest first.

    Raises:
        FarhandError: `invalid` for a state that does not exist.
    """
    where: list[ColumnElement[bool]] = []
    if state is not None:
        if state not in STATES:
            raise UsageError("invalid", f"a bug is one of {', '.join(STATES)}")
        where.append(bugs.c.state == state)
    if external_key is not None:
        where.append(bugs.c.external_key == external_key)
    if before is not None:
        where.append(bugs.c.number < before)
    query = _query(tenant).where(*where).order_by(bugs.c.number.desc()).limit(limit)
    return [_bug(row) for row in (await c.execute(query)).mappings()]


async def view_bug(c: AsyncConnection, tenant: str, ref: str, sight: Sight) -> BugView:
    """Return a bug with the tickets that this person sees.

    Raises:
        FarhandError: `not-found`.
    """
    bug = await get_bug(c, tenant, ref)
    linked = []
    for number in await _linked(c, tenant, bug.row):
        try:
            linked.append((await get_ticket(c, tenant, str(number), sight=sight)).number)
        except FarhandError as error:
            if error.code != "not-found":
                raise
    return BugView(linked=linked, **msgspec.structs.asdict(bug))


async def _linked(c: AsyncConnection, tenant: str, bug: int) -> list[int]:
    query = (
        select(bug_tickets.c.ticket)
        .where(bug_tickets.c.tenant == tenant, bug_tickets.c.bug == bug)
        .order_by(bug_tickets.c.ticket)
        .limit(MAX_LINKED)
    )
    return list(await c.scalars(query))


async def link_ticket(
    c: AsyncConnection, relay: Relay, *, ref: str, ticket: Ticket, actor: str
) -> Bug:
    """Say that a ticket is about a bug; once is enough.

    Raises:
        FarhandError: `not-found`; `bug-limit`.
    """
    await lock_numbers(c, relay.tenant)
    bug = await get_bug(c, relay.tenant, ref)
    linked = await _linked(c, relay.tenant, bug.row)
    if ticket.row in linked:
        return bug
    if len(linked) >= MAX_LINKED:
        raise FarhandError("bug-limit", f"{bug.id} has {MAX_LINKED} tickets already")
    at = relay.stamp()
    await c.execute(
        insert(bug_tickets).values(
            tenant=relay.tenant, bug=bug.row, ticket=ticket.row, linked_by=actor, linked_at=at
        )
    )
    detail = {"bug": bug.id, "kind": "caused-by-bug"}
    await add_event(c, relay.tenant, ticket.row, "linked", actor, detail, at)
    if bug.state == "fixed":
        # Whoever comes late is told as well.
        await _tell_fixed(c, relay, bug, ticket, actor)
    return await get_bug(c, relay.tenant, ref)


async def unlink_ticket(
    c: AsyncConnection, relay: Relay, *, ref: str, ticket: Ticket, actor: str
) -> Bug:
    """Say that a ticket is not about a bug after all.

    Raises:
        FarhandError: `not-found`.
    """
    bug = await get_bug(c, relay.tenant, ref)
    gone = await c.execute(
        delete(bug_tickets).where(
            bug_tickets.c.tenant == relay.tenant,
            bug_tickets.c.bug == bug.row,
            bug_tickets.c.ticket == ticket.row,
        )
    )
    if gone.rowcount:
        detail = {"bug": bug.id, "kind": "caused-by-bug"}
        await add_event(c, relay.tenant, ticket.row, "unlinked", actor, detail, relay.stamp())
    return await get_bug(c, relay.tenant, ref)


async def set_issue(
    c: AsyncConnection, relay: Relay, *, ref: str, external_key: str, url: str, actor: str
) -> Bug:
    """Say where a bug's makers keep it.

    Raises:
        FarhandError: `not-found`; `bug-exists`.
    """
    await lock_numbers(c, relay.tenant)
    bug = await get_bug(c, relay.tenant, ref)
    if bug.external_key == external_key:
        return bug
    await _check_free(c, relay, external_key)
    await relay.audit.append(c, actor=actor, action="bug.issue", subject=bug.id)
    await _write(c, relay, bug, {"external_key": external_key, "external_url": url})
    return await get_bug(c, relay.tenant, ref)


async def _write(c: AsyncConnection, relay: Relay, bug: Bug, values: dict[str, Any]) -> None:
    done = await c.execute(
        update(bugs)
        .where(
            bugs.c.tenant == relay.tenant,
            bugs.c.number == bug.row,
            bugs.c.revision == bug.revision,
        )
        .values(changed_at=relay.stamp(), revision=bug.revision + 1, **values)
    )
    if done.rowcount != 1:
        raise FarhandError("revision-mismatch", f"{bug.id} was changed meanwhile")


async def change_state(
    c: AsyncConnection, relay: Relay, *, ref: str, state: State, fixed_in: str, actor: str
) -> Bug:
    """Say that a bug is fixed, is none, or is open again; what is so already changes nothing.

    Raises:
        FarhandError: `invalid`, `not-found`, `revision-mismatch`.
    """
    await lock_numbers(c, relay.tenant)
    bug = await get_bug(c, relay.tenant, ref)
    version = ""
    if state == "fixed" and fixed_in.strip():
        version = check_line(fixed_in, "version", max_chars=_MAX_VERSION_CHARS)
    if bug.state == state and (not version or version == bug.fixed_in):
        return bug
    await relay.audit.append(c, actor=actor, action=f"bug.{state}", subject=bug.id)
    await _write(c, relay, bug, {"state": state, "fixed_in": version})
    changed = await get_bug(c, relay.tenant, ref)
    for number in await _linked(c, relay.tenant, bug.row):
        ticket = await get_ticket(c, relay.tenant, str(number))
        if state == "fixed":
            await _tell_fixed(c, relay, changed, ticket, actor)
        else:
            words = "was rejected" if state == "rejected" else "is open again"
            await _note(c, relay, ticket, f"{changed.id} ({changed.title}) {words}.", actor)
    if version:
        # A draft as well: one for all of the tickets' people, which somebody of the desk publishes.
        await notice_of_fix(
            c,
            relay,
            bug=changed.id,
            title=changed.title,
            fixed_in=version,
            numbers=await _linked(c, relay.tenant, bug.row),
            actor=actor,
        )
    if state == "fixed":
        await queue_for_all(
            c,
            relay,
            event="bug.fixed",
            body=json.dumps({"event": "bug.fixed", "bug": msgspec.to_builtins(changed)}),
            key=f"bug {changed.id} {changed.revision}",
        )
    return changed


async def _tell_fixed(
    c: AsyncConnection, relay: Relay, bug: Bug, ticket: Ticket, actor: str
) -> None:
    """Note that a bug is fixed, and draft what its requester is to be told; nothing is sent."""
    where = f" in {bug.fixed_in}" if bug.fixed_in else ""
    await _note(c, relay, ticket, f"{bug.id} ({bug.title}) is fixed{where}.", actor)
    if ticket.state in ENDED or not ticket.requester:
        return
    words = draft(ticket.language, title=ticket.title, version=bug.fixed_in)
    await _note(c, relay, ticket, f"Draft for {ticket.requester}, not sent:\n\n{words}", actor)


async def _note(c: AsyncConnection, relay: Relay, ticket: Ticket, words: str, actor: str) -> None:
    """Put a note on a ticket whatever its state, which stays."""
    at = relay.stamp()
    message = await insert_message(c, relay.tenant, ticket.row, "note", actor, words, at)
    detail = {"message": message.seq, "of": format_number(ticket.row)}
    await add_event(c, relay.tenant, ticket.row, "note", actor, detail, at)
