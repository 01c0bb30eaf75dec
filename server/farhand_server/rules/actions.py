"""What rules do: a closed list, each made of the desk's own steps, in the rule's name.

    set       a field of the ticket: queue, kind, impact, urgency, priority
    note      words for the desk
    reply     a canned reply, to everybody on the ticket
    assign    an account that works here
    webhook   tells one webhook of what happened
    propose   a check, as a note that a person may follow; nothing is run by it

What a rule does is done by `rule:NAME`, which fires no rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.directory import make_directory
from farhand_server.desk.canned import fill_canned, refuse_missing
from farhand_server.desk.details import TicketChange, change_ticket
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.moves import add_message, assign
from farhand_server.desk.queues import get_queue
from farhand_server.desk.tickets import Ticket, get_ticket
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.webhooks.endpoints import get_endpoint, queue_delivery
from farhand_server.webhooks.events import event_body
from farhand_server.wording import check_body, check_line

__all__ = ["MAX_ACTIONS", "Action", "act", "check_actions"]

MAX_ACTIONS: Final = 10
Deed = Literal["set", "note", "reply", "assign", "webhook", "propose"]
_FIELDS: Final = ("queue", "kind", "impact", "urgency", "priority")
_SCRIPT: Final = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*\Z")
_MAX_SCRIPT_CHARS: Final = 100
_STAFF: Final = ("technician", "admin")


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action.

    Attributes:
        do: what.
        field: of the ticket, for `set`.
        value: of that field; the words of a note; the key of a canned reply; the name of an account
            or of a webhook; the id of a script.
    """

    do: Deed
    value: str
    field: str = ""

    def words(self) -> str:
        """Return it as a person writes it."""
        return f"set {self.field}={self.value}" if self.do == "set" else f"{self.do} {self.value}"


async def check_actions(c: AsyncConnection, relay: Relay, actions: Sequence[Action]) -> None:
    """Check that every action means something now.

    Raises:
        FarhandError: `rule-malformed`; `not-found`, `invalid` for what it names.
    """
    if not 0 < len(actions) <= MAX_ACTIONS:
        raise UsageError("rule-malformed", f"a rule has 1 to {MAX_ACTIONS} actions")
    for one in actions:
        if (one.do == "set") != bool(one.field):
            raise UsageError("rule-malformed", f"no action: {one.words()[:200]!r}")
        if one.do == "set":
            _change(one)
            if one.field == "queue":
                await get_queue(c, relay.tenant, one.value)
        elif one.do == "note":
            check_body(one.value, "note", max_chars=4000)
        elif one.do == "assign":
            await _account(c, relay, one.value)
        elif one.do == "webhook":
            await get_endpoint(c, relay.tenant, one.value)
        elif one.do == "propose":
            if len(one.value) > _MAX_SCRIPT_CHARS or not _SCRIPT.match(one.value):
                raise UsageError("rule-malformed", f"{one.value[:80]!r} is no id of a script")
        else:
            check_line(one.value, "key of a canned reply")


def _change(one: Action) -> TicketChange:
    """Return what a `set` changes.

    Raises:
        UsageError: `rule-malformed`.
    """
    if one.field not in _FIELDS:
        raise UsageError("rule-malformed", f"a rule sets one of {', '.join(_FIELDS)}")
    fields = {one.field: one.value}
    if one.field == "priority":
        fields["priority_reason"] = "set by a rule"
    try:
        return msgspec.convert(fields, TicketChange)
    except msgspec.ValidationError as error:
        raise UsageError(
            "rule-malformed", f"{one.value[:80]!r} is no {one.field}", detail=str(error)
        ) from error


async def _account(c: AsyncConnection, relay: Relay, name: str) -> str:
    account = await relay.service(make_directory).find(c, name)
    if account is None or account.disabled_at is not None or account.role not in _STAFF:
        raise not_found("account that works on tickets", name)
    return account.name


async def act(
    c: AsyncConnection, relay: Relay, *, rule: str, action: Action, event: HeededEvent
) -> None:
    """Do one action of a rule that fired.

    Args:
        c: connection of the transaction in which the event is heeded; the caller has a savepoint.
        relay: the wiring.
        rule: its name.
        action: a checked one.
        event: what happened.

    Raises:
        FarhandError: what the desk's step raises; the firing's record shows it.
    """
    actor = f"rule:{rule}"
    ticket = await get_ticket(c, relay.tenant, str(event.ticket))
    if action.do == "set":
        if _reads(ticket, action.field) != action.value:
            await change_ticket(c, relay, ticket=ticket, change=_change(action), actor=actor)
    elif action.do == "assign":
        owner = await _account(c, relay, action.value)
        if ticket.owner != owner:
            await assign(c, relay, ref=ticket.id, owner=owner, actor=actor)
    elif action.do == "webhook":
        await _tell(c, relay, ticket=ticket, action=action, event=event, rule=rule)
    elif action.do == "reply":
        filled = await fill_canned(c, relay, ticket=ticket, key=action.value, actor=actor)
        refuse_missing(filled)
        await add_message(
            c, relay, ref=ticket.id, kind="reply", body=filled.body, actor=actor,
            language=filled.language,
        )  # fmt: skip
    else:
        body = action.value if action.do == "note" else _proposal(ticket, action.value)
        await add_message(c, relay, ref=ticket.id, kind="note", body=body, actor=actor)


def _reads(ticket: Ticket, field: str) -> str:
    return str(getattr(ticket, field))


def _proposal(ticket: Ticket, script: str) -> str:
    device = ticket.device or "DEVICE"
    return (
        f"Proposed: {script}. Nobody has run it, and nothing runs by itself.\n\n"
        f"    farhand run {script} {device} --ticket {ticket.number}"
    )


async def _tell(
    c: AsyncConnection,
    relay: Relay,
    *,
    ticket: Ticket,
    action: Action,
    event: HeededEvent,
    rule: str,
) -> None:
    if ticket.security:
        raise FarhandError("ticket-guarded", "security tickets are told of to nobody")
    await queue_delivery(
        c,
        relay,
        webhook=action.value,
        event=f"rule.{rule}",
        body=event_body(event, ticket),
        key=f"rule {rule} {event.seq}",
    )
