"""Asks the rules when something happened, does what they say, and records it.

    asked      in their order; each sees what those before it did
    fires      when all conditions hold; each action has its own savepoint, and its outcome
    stops      after a rule that says so, or `MAX_FIRINGS` of one event
    never      by what a rule did (`rule:NAME`); more than `MAX_AN_HOUR` times on one ticket, which
               is where two programs answer each other

A dry run asks about past events of the newest tickets and does nothing.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.clock import stamp
from farhand_server.desk.heed import HeededEvent
from farhand_server.desk.references import format_number
from farhand_server.desk.tickets import Ticket, get_ticket
from farhand_server.relay import Relay
from farhand_server.rules.actions import act
from farhand_server.rules.conditions import FIELDS, first_unmet
from farhand_server.rules.rules import NewRule, Rule, list_rules
from farhand_server.store.schema import ticket_events, ticket_messages, tickets
from farhand_server.store.schema.automation import rule_firings

__all__ = [
    "KEPT",
    "MAX_AN_HOUR",
    "MAX_FIRINGS",
    "MAX_TRIED",
    "Firing",
    "Trial",
    "heed_rules",
    "list_firings",
    "try_rule",
]

MAX_FIRINGS: Final = 20
MAX_AN_HOUR: Final = 10
MAX_TRIED: Final = 500
KEPT: Final = timedelta(days=90)
_OWN: Final = "rule:"


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """A rule fired: what each of its actions came to, `done` or why not."""

    seq: int
    rule: str
    ticket: str
    event: int
    outcome: list[dict[str, str]]
    at: str


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule would do with a ticket; `unmet` is the first condition that does not hold."""

    ticket: str
    title: str
    fires: bool
    unmet: str


async def heed_rules(c: AsyncConnection, relay: Relay, event: HeededEvent) -> None:
    """Ask the rules about an event; a heeder of `desk.heed`."""
    if event.actor.startswith(_OWN):
        return
    fired = 0
    for rule in await list_rules(c, relay.tenant, event=f"ticket.{event.kind}"):
        ticket = await get_ticket(c, relay.tenant, str(event.ticket))
        facts = await _facts(c, relay, ticket, event)
        if first_unmet(rule.conditions, facts) is not None:
            continue
        await _fire(c, relay, rule, event)
        fired += 1
        if rule.stop or fired >= MAX_FIRINGS:
            break


async def _fire(c: AsyncConnection, relay: Relay, rule: Rule, event: HeededEvent) -> None:
    outcome = []
    if await _lately(c, relay, rule.name, event.ticket) >= MAX_AN_HOUR:
        outcome.append({"action": "none", "result": "rule-too-often"})
    else:
        for action in rule.actions:
            result = "done"
            try:
                async with c.begin_nested():
                    await act(c, relay, rule=rule.name, action=action, event=event)
            except FarhandError as error:
                # A rule that cannot do one thing still does the others, and shows which.
                result = error.code
            outcome.append({"action": action.words()[:200], "result": result})
    await c.execute(
        insert(rule_firings).values(
            tenant=relay.tenant,
            rule=rule.name,
            ticket=event.ticket,
            event=event.seq,
            outcome=json.dumps(outcome),
            at=relay.stamp(),
        )
    )
    await c.execute(
        delete(rule_firings).where(
            rule_firings.c.tenant == relay.tenant,
            rule_firings.c.at < stamp(relay.now() - KEPT),
        )
    )


async def _lately(c: AsyncConnection, relay: Relay, rule: str, ticket: int) -> int:
    query = (
        select(func.count())
        .select_from(rule_firings)
        .where(
            rule_firings.c.tenant == relay.tenant,
            rule_firings.c.rule == rule,
            rule_firings.c.ticket == ticket,
            rule_firings.c.at > stamp(relay.now() - timedelta(hours=1)),
        )
    )
    return int(await c.scalar(query) or 0)


async def _facts(
    c: AsyncConnection, relay: Relay, ticket: Ticket, event: HeededEvent
) -> dict[str, Any]:
    """Return what conditions ask of: the ticket now, and what happened."""
    facts: dict[str, Any] = {
        name: getattr(ticket, name) for name in FIELDS if hasattr(ticket, name)
    }
    facts |= {"actor": event.actor, "channel": event.detail.get("channel", ""), "text": ""}
    if isinstance(seq := event.detail.get("message"), int):
        query = select(ticket_messages.c.body, ticket_messages.c.channel).where(
            ticket_messages.c.tenant == relay.tenant,
            ticket_messages.c.ticket == event.ticket,
            ticket_messages.c.seq == seq,
        )
        if (row := (await c.execute(query)).first()) is not None:
            facts |= {"text": row.body, "channel": row.channel}
    return facts


async def try_rule(c: AsyncConnection, relay: Relay, *, rule: NewRule, last: int) -> list[Trial]:
    """Return what a rule would have done, by the last such event of each of the newest tickets.

    The tickets are taken as they are now; nothing is done.

    Args:
        c: any connection.
        relay: the wiring.
        rule: a checked one.
        last: so many tickets, at most `MAX_TRIED`.
    """
    newest = (
        select(tickets.c.number)
        .where(tickets.c.tenant == relay.tenant)
        .order_by(tickets.c.number.desc())
        .limit(min(last, MAX_TRIED))
    )
    trials = []
    for number in list(await c.scalars(newest)):
        ticket = await get_ticket(c, relay.tenant, str(number))
        event = await _last_event(c, relay, number, rule.event.removeprefix("ticket."))
        unmet = f"no {rule.event}"
        if event is not None:
            missing = first_unmet(rule.conditions, await _facts(c, relay, ticket, event))
            unmet = missing.words() if missing is not None else ""
        trials.append(
            Trial(ticket=format_number(number), title=ticket.title, fires=not unmet, unmet=unmet)
        )
    return trials


async def _last_event(
    c: AsyncConnection, relay: Relay, number: int, kind: str
) -> HeededEvent | None:
    query = (
        select(ticket_events)
        .where(
            ticket_events.c.tenant == relay.tenant,
            ticket_events.c.ticket == number,
            ticket_events.c.kind == kind,
            ~ticket_events.c.actor.startswith(_OWN),
        )
        .order_by(ticket_events.c.seq.desc())
        .limit(1)
    )
    row = (await c.execute(query)).mappings().first()
    if row is None:
        return None
    return HeededEvent(
        seq=row["seq"],
        ticket=number,
        kind=row["kind"],
        actor=row["actor"],
        detail=json.loads(row["detail"]),
        at=row["at"],
    )


async def list_firings(
    c: AsyncConnection,
    tenant: str,
    *,
    rule: str | None = None,
    ticket: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Firing]:
    """Return firings, newest first."""
    where = [rule_firings.c.tenant == tenant]
    if rule is not None:
        where.append(rule_firings.c.rule == rule)
    if ticket is not None:
        where.append(rule_firings.c.ticket == ticket)
    if before is not None:
        where.append(rule_firings.c.seq < before)
    query = select(rule_firings).where(*where).order_by(rule_firings.c.seq.desc()).limit(limit)
    return [
        Firing(
            seq=row["seq"],
            rule=row["rule"],
            ticket=format_number(row["ticket"]),
            event=row["event"],
            outcome=json.loads(row["outcome"]),
            at=row["at"],
        )
        for row in (await c.execute(query)).mappings()
    ]
