"""Templates of checklists: what is to be done for a kind of request, item by item.

A template with a `kind` is given to each new ticket of that kind; any can be added to a ticket by
hand.  `holds_back` says whether its required items keep a ticket from being resolved.  Tickets keep
the items that they were given (`desk.checklist_items`).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import UsageError
from farhand_server.desk.checklist_items import TemplateItem, add_checklist
from farhand_server.desk.tickets import KINDS, Kind, Ticket
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import checklist_templates
from farhand_server.wording import check_line

__all__ = [
    "MAX_ITEMS",
    "MAX_TEMPLATES",
    "Template",
    "TemplateTerms",
    "drop_template",
    "get_template",
    "give_checklist",
    "list_templates",
    "set_template",
]

MAX_TEMPLATES: Final = 200
MAX_ITEMS: Final = 100
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
_SCRIPT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)


class TemplateTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is on a checklist, and what it is for."""

    items: list[TemplateItem]
    title: str = ""
    kind: Kind | None = None
    holds_back: bool = True


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A checklist as tickets get it."""

    name: str
    title: str
    kind: str | None
    holds_back: bool
    items: list[TemplateItem]
    changed_by: str
    changed_at: str


def _template(row: RowMapping) -> Template:
    values = {name: row[name] for name in Template.__struct_fields__ if name != "items"}
    return Template(items=msgspec.json.decode(row["items"], type=list[TemplateItem]), **values)


async def list_templates(c: AsyncConnection, tenant: str) -> list[Template]:
    """Return all templates by name; they are bounded."""
    query = select(checklist_templates).where(checklist_templates.c.tenant == tenant)
    rows = (await c.execute(query.order_by(checklist_templates.c.name))).mappings()
    return [_template(row) for row in rows]


async def get_template(c: AsyncConnection, tenant: str, name: str) -> Template:
    """Return a template.

    Raises:
        FarhandError: `not-found`.
    """
    return _template(await _row(c, tenant, name))


async def _row(c: AsyncConnection, tenant: str, name: str) -> RowMapping:
    query = select(checklist_templates).where(
        checklist_templates.c.tenant == tenant, checklist_templates.c.name == name
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("checklist", name)
    return row


async def set_template(
    c: AsyncConnection, relay: Relay, *, name: str, terms: TemplateTerms, actor: str
) -> Template:
    """Make a template, or replace it for tickets to come.

    Raises:
        UsageError: `invalid`.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("invalid", "a checklist's name is small letters, digits, `.`, `_` and `-`")
    if not 1 <= len(terms.items) <= MAX_ITEMS:
        raise UsageError("invalid", f"a checklist has 1 to {MAX_ITEMS} items")
    if terms.kind is not None and terms.kind not in KINDS:
        raise UsageError("invalid", f"a ticket is of a kind of {', '.join(KINDS)}")
    items = [_checked(item) for item in terms.items]
    table = checklist_templates.c
    await relay.audit.append(c, actor=actor, action="checklist.set", subject=name)
    await c.execute(
        delete(checklist_templates).where(table.tenant == relay.tenant, table.name == name)
    )
    count = select(func.count()).where(table.tenant == relay.tenant)
    if (await c.scalar(count) or 0) >= MAX_TEMPLATES:
        raise UsageError("invalid", f"there are {MAX_TEMPLATES} checklists already")
    await c.execute(
        insert(checklist_templates).values(
            tenant=relay.tenant,
            name=name,
            title=check_line(terms.title, "title") if terms.title else name,
            kind=terms.kind,
            holds_back=terms.holds_back,
            items=msgspec.json.encode(items).decode(),
            changed_by=actor,
            changed_at=relay.stamp(),
        )
    )
    return await get_template(c, relay.tenant, name)


def _checked(item: TemplateItem) -> TemplateItem:
    if item.script is not None and not _SCRIPT.fullmatch(item.script):
        raise UsageError("invalid", f"{item.script[:40]!r} is no id of a script")
    return msgspec.structs.replace(item, words=check_line(item.words, "item"))


async def drop_template(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> None:
    """Take a template away; tickets that have its items keep them.

    Raises:
        FarhandError: `not-found`.
    """
    await _row(c, relay.tenant, name)
    await relay.audit.append(c, actor=actor, action="checklist.drop", subject=name)
    await c.execute(
        delete(checklist_templates).where(
            checklist_templates.c.tenant == relay.tenant, checklist_templates.c.name == name
        )
    )


async def give_checklist(
    c: AsyncConnection, relay: Relay, *, ticket: Ticket, name: str, actor: str
) -> None:
    """Add a checklist to a ticket by hand.

    Raises:
        FarhandError: `not-found`, `checklist-there`, `checklist-limit`.
    """
    await add_checklist(c, relay.tenant, ticket.row, await _row(c, relay.tenant, name))
    detail = {"checklist": name}
    at = relay.stamp()
    await add_event(c, relay.tenant, ticket.row, "checklist", actor, detail, at)
