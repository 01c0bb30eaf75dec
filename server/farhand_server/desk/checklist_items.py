"""The checklists of a ticket: items that somebody, or a script's run, has ticked.

A ticket gets the items of a template as they are then; later changes of the template do not reach
it.  An item is `open`, `done` or `skipped` (with a reason).  One that names a script is done by a
run of that script which succeeded on the ticket's device after the ticket was made; a person may
tick it as well, and it shows by what.  Required items of a list that holds back keep a ticket from
being resolved until they are done or skipped.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from sqlalchemy import RowMapping, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.desk.timeline import add_event
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.store.schema import (
    checklist_templates,
    orders,
    ticket_checklist_items,
    tickets,
)
from farhand_server.wording import check_line

__all__ = [
    "MAX_ITEMS_OF_TICKET",
    "ChecklistItem",
    "ItemState",
    "TemplateItem",
    "add_checklist",
    "begin_checklists",
    "check_nothing_open",
    "list_items",
    "set_item",
]

MAX_ITEMS_OF_TICKET: Final = 500
# How orders end that did what they were for.
_DID_IT: Final = ("succeeded", "no_change")
ItemState = Literal["open", "done", "skipped"]


class TemplateItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item; `script` is the id of an approved script whose run can tick it."""

    words: str
    required: bool = True
    script: str | None = None


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a ticket; `place` names it, `run` is the order that did it."""

    place: int
    checklist: str
    words: str
    required: bool
    script: str | None
    state: str
    run: str | None
    note: str
    changed_by: str | None
    changed_at: str | None


async def begin_checklists(c: AsyncConnection, tenant: str, number: int, kind: str) -> None:
    """Give a new ticket the checklists of its kind."""
    query = select(checklist_templates).where(
        checklist_templates.c.tenant == tenant, checklist_templates.c.kind == kind
    )
    for row in (await c.execute(query.order_by(checklist_templates.c.name))).mappings():
        await add_checklist(c, tenant, number, row)


async def add_checklist(c: AsyncConnection, tenant: str, number: int, template: RowMapping) -> None:
    """Add the items of a template to a ticket.

    Raises:
        FarhandError: `checklist-there`, `checklist-limit`.
    """
    mine = and_(
        ticket_checklist_items.c.tenant == tenant, ticket_checklist_items.c.ticket == number
    )
    table = ticket_checklist_items.c
    query = select(func.max(table.place), func.count()).where(mine)
    last, count = (await c.execute(query)).one()
    items = msgspec.json.decode(template["items"], type=list[TemplateItem])
    if count + len(items) > MAX_ITEMS_OF_TICKET:
        raise FarhandError(
            "checklist-limit", f"a ticket has at most {MAX_ITEMS_OF_TICKET} items to tick"
        )
    there = select(table.place).where(mine, table.checklist == template["name"]).limit(1)
    if await c.scalar(there) is not None:
        raise FarhandError("checklist-there", f"the ticket has {template['name']} already")
    rows = [
        {
            "tenant": tenant,
            "ticket": number,
            "place": (last or 0) + offset,
            "checklist": template["name"],
            "words": item.words,
            "script": item.script,
            "required": item.required,
            "holds_back": template["holds_back"],
            "state": "open",
            "note": "",
        }
        for offset, item in enumerate(items, start=1)
    ]
    if rows:
        await c.execute(insert(ticket_checklist_items), rows)


async def list_items(c: AsyncConnection, tenant: str, number: int) -> list[ChecklistItem]:
    """Return the items of a ticket in their order; they are bounded."""
    query = select(ticket_checklist_items).where(
        ticket_checklist_items.c.tenant == tenant, ticket_checklist_items.c.ticket == number
    )
    rows = (await c.execute(query.order_by(ticket_checklist_items.c.place))).mappings()
    return [_item(row) for row in rows]


def _item(row: RowMapping) -> ChecklistItem:
    return ChecklistItem(**{name: row[name] for name in ChecklistItem.__struct_fields__})


async def set_item(
    c: AsyncConnection,
    relay: Relay,
    *,
    number: int,
    place: int,
    state: ItemState,
    run: str | None,
    note: str,
    actor: str,
) -> ChecklistItem:
    """Tick an item, skip it, or open it again.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        number: of the ticket.
        place: of the item.
        state: what it is then.
        run: id of the order that did it.
        note: what came out; needed to skip an item that is required.
        actor: who says so.

    Raises:
        FarhandError: `not-found`; `checklist-run` for an order that did not do it; `invalid`.
    """
    mine = and_(
        ticket_checklist_items.c.tenant == relay.tenant,
        ticket_checklist_items.c.ticket == number,
        ticket_checklist_items.c.place == place,
    )
    query = select(ticket_checklist_items).where(mine).with_for_update()
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("checklist item", str(place))
    words = check_line(note, "note") if note.strip() else ""
    if state == "skipped" and row["required"] and not words:
        raise UsageError("invalid", "say why a required item is skipped", hint="--note WHY")
    if run is not None:
        if state != "done":
            raise UsageError("invalid", "a run does an item; it opens and skips none")
        await _check_run(c, relay.tenant, number, row, run)
    values: dict[str, Any] = {
        "state": state,
        "run": run,
        "note": words,
        "changed_by": actor,
        "changed_at": relay.stamp(),
    }
    await c.execute(update(ticket_checklist_items).where(mine).values(values))
    detail = {"place": place, "state": state, "run": run, "note": words}
    await add_event(c, relay.tenant, number, "checklist-item", actor, detail, values["changed_at"])
    return _item({**row, **values})  # type: ignore[arg-type]


async def _check_run(
    c: AsyncConnection, tenant: str, number: int, item: RowMapping, run: str
) -> None:
    """Check that a run did on the ticket's device what the item asks for."""
    same = and_(orders.c.tenant == tickets.c.tenant, orders.c.device == tickets.c.device)
    query = (
        select(orders.c.script, orders.c.state)
        .join(tickets, same)
        .where(
            tickets.c.tenant == tenant,
            tickets.c.number == number,
            orders.c.id == run,
            orders.c.created_at >= tickets.c.created_at,
        )
    )
    row = (await c.execute(query)).first()
    if row is None:
        words = f"{run[:40]} ran not on the ticket's device, or before the ticket was made"
    elif item["script"] is not None and row.script != item["script"]:
        words = f"{run[:40]} was not the script {item['script']}"
    elif row.state not in _DID_IT:
        words = f"{run[:40]} is {row.state}"
    else:
        return
    raise FarhandError("checklist-run", words)


async def check_nothing_open(c: AsyncConnection, tenant: str, number: int) -> None:
    """Refuse to go on while required items of a list that holds back are open.

    Raises:
        FarhandError: `checklist-open`.
    """
    table = ticket_checklist_items.c
    query = (
        select(table.place, table.words)
        .where(
            table.tenant == tenant,
            table.ticket == number,
            table.required,
            table.holds_back,
            table.state == "open",
        )
        .order_by(table.place)
    )
    left = (await c.execute(query)).all()
    if left:
        raise FarhandError(
            "checklist-open",
            f"{len(left)} required items are open, first {left[0].place}: {left[0].words}",
            hint="farhand ticket tick, or --skip with a note",
        )
