"""What people change about a ticket beside its state: title, kind, weight, queue, findings.

One change is one event that says what it was before and after.  Impact and urgency make the
priority anew unless a person has overruled it; overruling needs a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_server.clock import stamp
from farhand_server.contracts.contracts import get_contract
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.downtime import check_downtime
from farhand_server.desk.kind_promises import promise_of_kind
from farhand_server.desk.moves import step
from farhand_server.desk.priorities import Level, Priority, priority_of, rank_priority
from farhand_server.desk.queues import promised_in
from farhand_server.desk.references import format_number
from farhand_server.desk.search_index import index_head
from farhand_server.desk.ticket_fields import check_fields
from farhand_server.desk.tickets import Kind, Reproducible, Ticket, get_ticket
from farhand_server.desk.timeline import add_event
from farhand_server.relay import Relay
from farhand_server.wording import check_body, check_language, check_line

__all__ = ["TicketChange", "change_ticket"]

_LINES = {"title": "title", "complained_about": "person complained about"}
_BODIES = {
    "steps_tried": "steps tried",
    "repro_steps": "steps to reproduce",
    "identity_check": "identity check",
}


class TicketChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is not given stays.

    `priority` overrules the matrix, for `priority_reason`; the priority `auto` follows it again.
    `identity_check` says how a person who asks for access was recognised.  `fields` are those that
    change, null empties one; `down_from` and `down_to` are times, and an empty one takes it away.
    """

    title: str | None = None
    kind: Kind | None = None
    queue: str | None = None
    impact: Level | None = None
    urgency: Level | None = None
    priority: Priority | Literal["auto"] | None = None
    priority_reason: str | None = None
    security: bool | None = None
    steps_tried: str | None = None
    reproducible: Reproducible | None = None
    repro_steps: str | None = None
    complained_about: str | None = None
    identity_check: str | None = None
    language: str | None = None
    category: str | None = None
    fields: dict[str, Any] | None = None
    down_from: str | None = None
    down_to: str | None = None


async def change_ticket(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    change: TicketChange,
    actor: str,
    revision: int | None = None,
) -> Ticket:
    """Change what is given and return the ticket; a change that changes nothing leaves no trace.

    Raises:
        FarhandError: `invalid`, `not-found` for a queue, `revision-mismatch`;
            `priority-unreasoned`, `owner-complained-about`, `merge-guarded`; `ticket-state` for a
            merged ticket.
    """
    if ticket.merged_into is not None:
        raise FarhandError(
            "ticket-state",
            f"{ticket.number} is merged into {ticket.merged_into}",
            hint=f"change {ticket.merged_into}",
        )
    if revision is not None and revision != ticket.revision:
        raise FarhandError("revision-mismatch", f"{ticket.number} was changed meanwhile")
    wanted = _checked(change)
    await _check_people(c, relay, ticket, wanted)
    check_downtime(wanted.get("down_from", ticket.down_from), wanted.get("down_to", ticket.down_to))
    promised = await _promised(c, relay.tenant, ticket, wanted)
    wanted |= _weight(ticket, change)
    if change.fields is not None:
        fields = ticket.fields | change.fields
        kept_fields = await check_fields(c, relay.tenant, wanted.get("kind", ticket.kind), fields)
        wanted["fields"] = json.loads(kept_fields)
    before = msgspec.structs.asdict(ticket)
    moved = {name: (before[name], value) for name, value in wanted.items() if before[name] != value}
    if not moved:
        return ticket
    columns = {name: value for name, (_, value) in moved.items()}
    if "priority" in columns:
        columns["priority"] = rank_priority(columns["priority"])
    if "fields" in columns:
        columns["fields"] = kept_fields
    kept = {"state_reason": ticket.state_reason, "waiting_until": ticket.waiting_until}
    at = await step(c, relay, ticket=ticket, state=ticket.state, changes=kept | columns | promised)
    detail = {name: {"from": old, "to": new} for name, (old, new) in moved.items()}
    await add_event(c, relay.tenant, ticket.row, "changed", actor, detail, at)
    await index_head(c, relay.tenant, ticket.row)
    return await get_ticket(c, relay.tenant, ticket.id)


async def _promised(
    c: AsyncConnection, tenant: str, ticket: Ticket, wanted: Mapping[str, Any]
) -> dict[str, object]:
    """Return what is promised from now on, where another queue or kind changes that."""
    queue, kind = wanted.get("queue", ticket.queue), wanted.get("kind", ticket.kind)
    own = {await promise_of_kind(c, tenant, one) for one in {kind, ticket.kind}}
    if queue == ticket.queue and len(own) == 1:
        return {}
    contract = None
    if ticket.contract is not None:
        contract = (await get_contract(c, tenant, ticket.contract)).terms.policy
    return await promised_in(c, tenant, queue, kind=kind, contract=contract)


async def _check_people(
    c: AsyncConnection, relay: Relay, ticket: Ticket, wanted: Mapping[str, Any]
) -> None:
    """Refuse what would show a ticket to people, or leave it with somebody, as it may not be."""
    if wanted.get("complained_about") not in (None, ticket.complained_about) and (
        ticket.owner == wanted["complained_about"]
    ):
        raise FarhandError(
            "owner-complained-about",
            f"{ticket.number} is owned by {ticket.owner}",
            hint="give it to somebody else first",
        )
    if wanted.get("security") is False and ticket.security:
        for number in await merged_into(c, relay.tenant, ticket.row):
            if (await get_ticket(c, relay.tenant, str(number))).security:
                raise FarhandError(
                    "merge-guarded",
                    f"{format_number(number)}, a security ticket, shows in {ticket.number}",
                    hint=f"farhand ticket merge {format_number(number)} --undo",
                )


def _checked(change: TicketChange) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for name in ("kind", "queue", "impact", "urgency", "security", "reproducible"):
        if (value := getattr(change, name)) is not None:
            wanted[name] = value
    for name, field in _LINES.items():
        if (text := getattr(change, name)) is not None:
            wanted[name] = check_line(text, field)
    for name, field in _BODIES.items():
        if (text := getattr(change, name)) is not None:
            wanted[name] = check_body(text, field) if text.strip() else ""
    if change.category is not None:
        wanted["category"] = check_line(change.category, "category") if change.category else ""
    if change.language is not None:
        wanted["language"] = check_language(change.language)
    for name in ("down_from", "down_to"):
        if (text := getattr(change, name)) is not None:
            wanted[name] = stamp(parse_instant(text)) if text else None
    return wanted


def _weight(ticket: Ticket, change: TicketChange) -> dict[str, str]:
    """Return the priority and the reason why it is not the matrix's."""
    given, reason = change.priority, (change.priority_reason or "").strip()
    if given is not None and given != "auto":
        if not reason:
            raise FarhandError(
                "priority-unreasoned", "say why the priority is not what the matrix gives"
            )
        return {"priority": given, "priority_reason": check_line(reason, "reason")}
    if given is None and ticket.priority_reason:
        return {}
    impact, urgency = change.impact or ticket.impact, change.urgency or ticket.urgency
    return {"priority": priority_of(impact, urgency), "priority_reason": ""}  # type: ignore[arg-type]
