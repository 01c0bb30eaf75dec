"""Routes of rules: made, ordered, tried on what happened, and what they did."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.references import parse_reference
from farhand_server.rules.firing import MAX_TRIED, Firing, Trial, list_firings, try_rule
from farhand_server.rules.rules import (
    MAX_RULES,
    NewRule,
    Rule,
    check_rule,
    enable_rule,
    get_rule,
    list_rules,
    move_rule,
    remove_rule,
    set_rule,
)

__all__ = ["AREA"]

_Rule = Annotated[str | None, QueryParameter(name="rule", max_length=40)]
_Ticket = Annotated[str | None, QueryParameter(name="ticket", max_length=40)]
_Last = Annotated[int, msgspec.Meta(ge=1, le=MAX_TRIED)]


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place, from 1."""

    place: Annotated[int, msgspec.Meta(ge=1, le=MAX_RULES)]


class Switch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On or off."""

    enabled: bool


class TrialOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to try on the newest tickets: a rule that is kept, or one that is not yet."""

    name: str | None = None
    rule: NewRule | None = None
    last: _Last = 100


class RuleController(Controller):
    """Rules, in their order."""

    path = "/rules"

    @get("/", action="rule.read")
    async def list_all(self, relay: FromRelay) -> Page[Rule]:
        """Return all rules in the order in which they are asked."""
        async with relay.db.read() as c:
            return Page(items=await list_rules(c, relay.tenant))

    @post("/", action="rule.write", status_code=201)
    async def add(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewRule]) -> Rule:
        """Make a rule at the end, or write the one of this name anew."""
        async with relay.db.write() as c:
            return await set_rule(c, relay, new=data, actor=actor.name)

    @post("/test", action="rule.write", status_code=200)
    async def test(self, relay: FromRelay, data: JSONBody[TrialOf]) -> Page[Trial]:
        """Say what a rule would have done; nothing is done."""
        async with relay.db.read() as c:
            if data.rule is not None:
                await check_rule(c, relay, data.rule)
                rule = data.rule
            else:
                rule = await get_rule(c, relay.tenant, data.name or "")
            return Page(items=await try_rule(c, relay, rule=rule, last=data.last))

    @get("/firings", action="rule.read")
    async def firings(
        self,
        relay: FromRelay,
        rule: _Rule = None,
        ticket: _Ticket = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Firing]:
        """Return what rules did, newest first."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            rows = await list_firings(
                c,
                relay.tenant,
                rule=rule,
                ticket=(parse_reference(ticket) or 0) if ticket is not None else None,
                before=after[0] if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.seq,))

    @get("/{rule:str}", action="rule.read")
    async def show(self, relay: FromRelay, rule: FromPath[str]) -> Rule:
        """Return one rule."""
        async with relay.db.read() as c:
            return await get_rule(c, relay.tenant, rule)

    @post("/{rule:str}/move", action="rule.write", status_code=200)
    async def move(
        self, relay: FromRelay, actor: FromActor, rule: FromPath[str], data: JSONBody[Move]
    ) -> Page[Rule]:
        """Give a rule another place."""
        async with relay.db.write() as c:
            moved = await move_rule(c, relay, name=rule, place=data.place, actor=actor.name)
        return Page(items=moved)

    @post("/{rule:str}/enabled", action="rule.write", status_code=200)
    async def enable(
        self, relay: FromRelay, actor: FromActor, rule: FromPath[str], data: JSONBody[Switch]
    ) -> Rule:
        """Switch a rule on or off."""
        async with relay.db.write() as c:
            return await enable_rule(c, relay, name=rule, enabled=data.enabled, actor=actor.name)

    @post("/{rule:str}/remove", action="rule.write", status_code=200)
    async def remove(self, relay: FromRelay, actor: FromActor, rule: FromPath[str]) -> Page[Rule]:
        """Remove a rule."""
        async with relay.db.write() as c:
            await remove_rule(c, relay, name=rule, actor=actor.name)
            return Page(items=await list_rules(c, relay.tenant))


AREA = Area(name="rules", controllers=[RuleController], statuses={"rule-limit": 409})
