"""automation: rules of the desk, what they would do, and what they did.

A condition is typed as FIELD OPERATOR VALUE, an action as one of

    set FIELD=VALUE    note WORDS    reply KEY    assign NAME    webhook NAME    propose SCRIPT
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import line, say, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_protocol.errors import UsageError

__all__ = ["parse_action", "parse_condition", "register"]

_LISTS = ("in", "not-in")
_DEEDS = ("set", "note", "reply", "assign", "webhook", "propose")


class _Rule(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    event: str
    conditions: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    stop: bool
    place: int
    enabled: bool
    changed_by: str
    changed_at: str


class _Trial(msgspec.Struct, frozen=True, kw_only=True):
    ticket: str
    title: str
    fires: bool
    unmet: str


class _Firing(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    rule: str
    ticket: str
    event: int
    outcome: list[dict[str, str]]
    at: str


def parse_condition(text: str) -> dict[str, Any]:
    """Read `FIELD OPERATOR VALUE`; `in` and `not-in` take values parted by commas.

    Raises:
        UsageError: `usage`.
    """
    words = text.split(maxsplit=2)
    if len(words) < 2:
        raise UsageError("usage", f"{text[:80]!r} is not FIELD OPERATOR VALUE")
    value: str | list[str] = words[2] if len(words) == 3 else ""
    if words[1] in _LISTS:
        value = [one.strip() for one in str(value).split(",")]
    return {"field": words[0], "operator": words[1], "value": value}


def parse_action(text: str) -> dict[str, Any]:
    """Read `DO VALUE`, or `set FIELD=VALUE`.

    Raises:
        UsageError: `usage`.
    """
    deed, _, value = text.strip().partition(" ")
    field = ""
    if deed == "set":
        field, equals, value = value.partition("=")
        if not equals:
            raise UsageError("usage", f"{text[:80]!r} is not set FIELD=VALUE")
    if deed not in _DEEDS or not value.strip():
        raise UsageError("usage", f"{text[:80]!r} is no action: {', '.join(_DEEDS)}")
    return {"do": deed, "field": field.strip(), "value": value.strip()}


def _rule_options(function: Any) -> Any:
    for option in (
        click.option("--stop", is_flag=True, help="Ask no later rule once this one fired."),
        click.option("--then", "actions", multiple=True, help="Such as set queue=printers."),
        click.option("--if", "conditions", multiple=True, help="Such as title contains printer."),
        click.option("--when", "event", help="Such as ticket.created."),
    ):
        function = option(function)
    return function


def _body(
    name: str, event: str, conditions: tuple[str, ...], actions: tuple[str, ...], stop: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "event": event,
        "conditions": [parse_condition(one) for one in conditions],
        "actions": [parse_action(one) for one in actions],
        "stop": stop,
    }


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    rules = group(root, "automation", "What the desk does by itself.")

    @command(rules, "list")
    def list_(context: Context) -> None:
        """List rules in the order in which they are asked."""
        found = context.relay.get("/rules", Page[_Rule])
        context.show(found, lambda: _show_rules(found.items))

    @command(rules)
    @click.argument("name")
    @_rule_options
    def add(
        context: Context,
        name: str,
        event: str | None,
        conditions: tuple[str, ...],
        actions: tuple[str, ...],
        stop: bool,
    ) -> None:
        """Make a rule, or write the one of this name anew where it stands."""
        if event is None or not actions:
            raise UsageError("usage", "a rule needs --when and at least one --then")
        body = _body(name, event, conditions, actions, stop)
        made = context.relay.post("/rules", _Rule, body)
        context.show(made, lambda: _show_rules([made]))

    @command(rules)
    @click.argument("name")
    @click.option("--last", type=click.IntRange(1, 500), default=100, show_default=True)
    @_rule_options
    def test(
        context: Context,
        name: str,
        last: int,
        event: str | None,
        conditions: tuple[str, ...],
        actions: tuple[str, ...],
        stop: bool,
    ) -> None:
        """Show with which of the newest tickets a rule would have done something; nothing is done.

        With --when it is the rule that is typed here, else the one of this name.
        """
        body: dict[str, Any] = {"last": last}
        if event is None:
            body["name"] = name
        else:
            body["rule"] = _body(name, event, conditions, actions, stop)
        found = context.relay.post("/rules/test", Page[_Trial], body)
        context.show(found, lambda: _show_trials(found.items))

    @command(rules)
    @click.argument("name")
    @click.argument("place", type=click.IntRange(1, 200))
    def move(context: Context, name: str, place: int) -> None:
        """Give a rule another place, from 1."""
        found = context.relay.post(segments("rules", name, "move"), Page[_Rule], {"place": place})
        context.show(found, lambda: _show_rules(found.items))

    for word, enabled, words in (
        ("on", True, "Switch a rule on."),
        ("off", False, "Switch a rule off."),
    ):
        _add_switch(rules, word, enabled, words)

    @command(rules)
    @click.argument("name")
    def remove(context: Context, name: str) -> None:
        """Remove a rule."""
        left = context.relay.post(segments("rules", name, "remove"), Page[_Rule])
        context.show(left, lambda: line(f"{name} is removed"))

    @command(rules)
    @click.option("--rule", help="Only what this one did.")
    @click.option("--ticket", help="Only what was done to this one.")
    @paged
    def log(
        context: Context, rule: str | None, ticket: str | None, limit: int, cursor: str | None
    ) -> None:
        """Show what rules did, newest first."""
        found = context.relay.get(
            "/rules/firings", Page[_Firing], rule=rule, ticket=ticket, limit=limit, cursor=cursor
        )
        context.show(found, lambda: _show_firings(found.items))


def _add_switch(rules: click.Group, word: str, enabled: bool, words: str) -> None:
    @command(rules, word, help=words)
    @click.argument("name")
    def switch(context: Context, name: str) -> None:
        path = segments("rules", name, "enabled")
        found = context.relay.post(path, _Rule, {"enabled": enabled})
        context.show(found, lambda: line(f"{found.name} is {'on' if found.enabled else 'off'}"))


def _condition(one: dict[str, Any]) -> str:
    value = one.get("value", "")
    shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{one.get('field')} {one.get('operator')} {shown}".strip()


def _action(one: dict[str, Any]) -> str:
    if one.get("do") == "set":
        return f"set {one.get('field')}={one.get('value')}"
    return f"{one.get('do')} {one.get('value')}"


def _show_rules(rules: list[_Rule]) -> None:
    show_table(
        ("place", "name", "when", "if", "then", "on"),
        [
            (
                str(one.place),
                one.name,
                one.event,
                " and ".join(map(_condition, one.conditions)) or "always",
                "; ".join(map(_action, one.actions)) + ("; stop" if one.stop else ""),
                "yes" if one.enabled else "no",
            )
            for one in rules
        ],
    )


def _show_trials(trials: list[_Trial]) -> None:
    show_table(
        ("ticket", "title", "would fire", "why not"),
        [(one.ticket, one.title, "yes" if one.fires else "no", one.unmet) for one in trials],
    )
    say(f"{sum(one.fires for one in trials)} of {len(trials)}")


def _show_firings(firings: list[_Firing]) -> None:
    show_table(
        ("at", "rule", "ticket", "what"),
        [
            (
                one.at[:19],
                one.rule,
                one.ticket,
                "; ".join(f"{what.get('action')}: {what.get('result')}" for what in one.outcome),
            )
            for one in firings
        ],
    )
