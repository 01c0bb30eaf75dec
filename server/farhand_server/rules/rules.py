"""Rules: kept in their order, changed by an admin, each change in the audit.

A rule is one sentence: when an event, if all conditions, then the actions in turn.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.rules.actions import Action, check_actions
from farhand_server.rules.conditions import Condition, check_conditions
from farhand_server.store.schema.automation import rules
from farhand_server.webhooks.endpoints import check_name
from farhand_server.webhooks.events import TICKET_EVENTS

__all__ = [
    "MAX_RULES",
    "NewRule",
    "Rule",
    "check_rule",
    "enable_rule",
    "get_rule",
    "list_rules",
    "move_rule",
    "remove_rule",
    "set_rule",
]

MAX_RULES: Final = 200


class NewRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule to be.

    Attributes:
        name: names it, and whom it acts as: `rule:NAME`.
        event: `ticket.KIND` of `webhooks.events`.
        conditions: all of them must hold; none means always.
        actions: in turn.
        stop: whether no later rule is asked once this one fired.
    """

    name: str
    event: str
    actions: list[Action]
    conditions: list[Condition] = []
    stop: bool = False


class Rule(NewRule, frozen=True, kw_only=True):
    """A rule as it is kept; `place` counts from 1."""

    place: int
    enabled: bool
    changed_by: str
    changed_at: str


async def check_rule(c: AsyncConnection, relay: Relay, new: NewRule) -> None:
    """Check that a rule can be kept.

    Raises:
        FarhandError: `invalid`, `event-unknown`, `rule-malformed`, `not-found`.
    """
    check_name(new.name, "rule")
    if new.event not in {f"ticket.{kind}" for kind in TICKET_EVENTS}:
        raise UsageError(
            "event-unknown",
            f"{new.event[:80]!r} is no event of a ticket",
            hint=", ".join(f"ticket.{kind}" for kind in TICKET_EVENTS),
        )
    check_conditions(new.conditions)
    await check_actions(c, relay, new.actions)


def _rule(row: RowMapping) -> Rule:
    texts: dict[str, Any] = {
        "conditions": msgspec.json.decode(row["conditions"], type=list[Condition]),
        "actions": msgspec.json.decode(row["actions"], type=list[Action]),
    }
    return Rule(**texts, **{n: row[n] for n in Rule.__struct_fields__ if n not in texts})


async def list_rules(c: AsyncConnection, tenant: str, *, event: str | None = None) -> list[Rule]:
    """Return all rules in their order, or those that are on and heed an event."""
    where = [rules.c.tenant == tenant]
    if event is not None:
        where += [rules.c.event == event, rules.c.enabled]
    query = select(rules).where(*where).order_by(rules.c.place, rules.c.name)
    return [_rule(row) for row in (await c.execute(query)).mappings()]


async def get_rule(c: AsyncConnection, tenant: str, name: str) -> Rule:
    """Return a rule.

    Raises:
        FarhandError: `not-found`.
    """
    query = select(rules).where(rules.c.tenant == tenant, rules.c.name == name)
    row = (await c.execute(query)).mappings().first()
    if row is None:
        raise not_found("rule", name)
    return _rule(row)


async def set_rule(c: AsyncConnection, relay: Relay, *, new: NewRule, actor: str) -> Rule:
    """Make a rule, at the end, or write it anew where it stands.

    Raises:
        FarhandError: as `check_rule`; `rule-limit`.
    """
    await check_rule(c, relay, new)
    mine = (rules.c.tenant == relay.tenant, rules.c.name == new.name)
    values = {
        "event": new.event,
        "conditions": msgspec.json.encode(new.conditions).decode(),
        "actions": msgspec.json.encode(new.actions).decode(),
        "stop": new.stop,
        "changed_by": actor,
        "changed_at": relay.stamp(),
    }
    # Before anything is locked, the row that every audited step takes first.
    await relay.audit.append(c, actor=actor, action="rule.set", subject=new.name)
    done = await c.execute(update(rules).where(*mine).values(**values))
    if done.rowcount != 1:
        of_all = rules.c.tenant == relay.tenant
        count = await c.scalar(select(func.count()).select_from(rules).where(of_all)) or 0
        if count >= MAX_RULES:
            raise FarhandError("rule-limit", f"there are {MAX_RULES} rules already")
        last = await c.scalar(select(func.max(rules.c.place)).where(of_all)) or 0
        await c.execute(
            insert(rules).values(
                tenant=relay.tenant, name=new.name, place=last + 1, enabled=True, **values
            )
        )
    return await get_rule(c, relay.tenant, new.name)


async def move_rule(
    c: AsyncConnection, relay: Relay, *, name: str, place: int, actor: str
) -> list[Rule]:
    """Give a rule another place, from 1; the others move over.

    Raises:
        FarhandError: `not-found`.
    """
    await relay.audit.append(c, actor=actor, action="rule.move", subject=name)
    moved = await get_rule(c, relay.tenant, name)
    others = [rule.name for rule in await list_rules(c, relay.tenant) if rule.name != moved.name]
    others.insert(max(0, place - 1), moved.name)
    await _renumber(c, relay, others)
    return await list_rules(c, relay.tenant)


async def _renumber(c: AsyncConnection, relay: Relay, names: list[str]) -> None:
    for place, name in enumerate(names, 1):
        await c.execute(
            update(rules)
            .where(rules.c.tenant == relay.tenant, rules.c.name == name)
            .values(place=place)
        )


async def enable_rule(
    c: AsyncConnection, relay: Relay, *, name: str, enabled: bool, actor: str
) -> Rule:
    """Switch a rule on or off.

    Raises:
        FarhandError: `not-found`.
    """
    action = "rule.enable" if enabled else "rule.disable"
    await relay.audit.append(c, actor=actor, action=action, subject=name)
    await get_rule(c, relay.tenant, name)
    await c.execute(
        update(rules)
        .where(rules.c.tenant == relay.tenant, rules.c.name == name)
        .values(enabled=enabled)
    )
    return await get_rule(c, relay.tenant, name)


async def remove_rule(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> None:
    """Remove a rule; the record of its firings stays for its time.

    Raises:
        FarhandError: `not-found`.
    """
    await relay.audit.append(c, actor=actor, action="rule.remove", subject=name)
    await get_rule(c, relay.tenant, name)
    await c.execute(delete(rules).where(rules.c.tenant == relay.tenant, rules.c.name == name))
    await _renumber(c, relay, [rule.name for rule in await list_rules(c, relay.tenant)])
