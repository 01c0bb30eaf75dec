"""contract: what customers agreed on, what is left of it, and what a month came to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.cli.durations import hours, read_hours, read_minutes
from farhand_console.output import line, say, show_fields, show_file, show_table
from farhand_console.relay import read_as, segments
from farhand_console.relay.answers import Page
from farhand_console.relay.contracts import (
    Balance,
    Contract,
    Cover,
    LedgerLine,
    Offer,
    Statement,
    Terms,
)
from farhand_console.relay.desk import ContractedTicket
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["LANGUAGES", "money", "register", "tell_cover", "write_file"]

LANGUAGES: Final = ("en", "pt", "de", "ro", "ru")
_KINDS: Final = ("included", "tm", "block", "managed", "subscription")
# ISO 4217: how many digits of minor units, where it is not two; as the relay's documents have it.
_DIGITS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    contracts = group(root, "contract", "What customers agreed on: hours, rates, what is left.")
    _register_reading(contracts)
    _register_setting(contracts)
    _register_statements(contracts)


def money(minor: int, currency: str) -> str:
    """Write an amount of minor units, exactly, with the digits that its currency has."""
    digits = _DIGITS.get(currency, 2)
    whole, rest = divmod(abs(minor), 10**digits)
    part = f".{rest:0{digits}}" if digits else ""
    return f"{'-' if minor < 0 else ''}{whole}{part} {currency}"


def tell_cover(context: Context, ticket: str | None, device: str | None) -> None:
    """Say before a session what is left of the contract that it falls under."""
    try:
        cover = context.relay.get("/contracts/cover", Cover, ticket=ticket, device=device)
    except FarhandError:
        # What hinders this hinders the opening itself, which says so with its own words.
        return
    if cover.kind == "included":
        return
    words = f"contract: {cover.contract} ({cover.kind})"
    if (balance := cover.balance) is not None:
        left, of = hours(balance.balance_s), hours(balance.available_s)
        words += f", {left} of {of} left until {balance.period_to or 'it ends'}"
        if balance.balance_s <= 0:
            words += f"; used up, overage: {cover.overage}"
    say(words)


def write_file(context: Context, data: bytes, out: Path | None) -> None:
    """Write what the relay made to a file, or to stdout."""
    if out is None:
        show_file(data)
        return
    try:
        out.write_bytes(data)
    except OSError as error:
        raise FarhandError(
            "file-unwritable", f"{out} cannot be written: {error.strerror}"
        ) from error
    say(f"written: {out}")


def _register_reading(contracts: click.Group) -> None:
    @command(contracts, "list")
    @click.option("--organisation", help="Of this one only.")
    @paged
    def list_contracts(
        context: Context, organisation: str | None, limit: int, cursor: str | None
    ) -> None:
        """List contracts, the newest version of each."""
        page = context.relay.get(
            "/contracts",
            Page[Contract],
            organisation=organisation,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (one.name, one.version, one.terms.kind, one.terms.organisation, one.terms.starts,
             one.terms.ends, hours(one.terms.grant_s) if one.terms.grant_s else None)
            for one in page.items
        ]  # fmt: skip
        names = ("name", "version", "kind", "organisation", "from", "to", "hours")
        context.show(page, lambda: show_table(names, rows))

    @command(contracts)
    @click.argument("name")
    def show(context: Context, name: str) -> None:
        """Show the terms of a contract; `included` is there from the start."""
        found = context.relay.get(segments("contracts", name), Contract)
        context.show(found, lambda: _show(found))

    @command(contracts)
    @click.argument("name")
    def balance(context: Context, name: str) -> None:
        """Show what is left of a contract's hours."""
        found = context.relay.get(segments("contracts", name, "balance"), Balance)
        context.show(found, lambda: _show_balance(found))

    @command(contracts)
    @click.argument("name")
    @paged
    def ledger(context: Context, name: str, limit: int, cursor: str | None) -> None:
        """List every line of a contract's hours, oldest first; their sum is the balance."""
        page = context.relay.get(
            segments("contracts", name, "ledger"), Page[LedgerLine], limit=limit, cursor=cursor
        )
        rows = [
            (one.at, one.period, one.kind, hours(one.seconds), one.entry, one.actor, one.reason)
            for one in page.items
        ]
        names = ("at", "period", "kind", "hours", "time entry", "by", "reason")
        context.show(page, lambda: show_table(names, rows))

    @command(contracts, "rate-card")
    def rate_card(context: Context) -> None:
        """Show what is offered to everybody, as the portal does."""
        page = context.relay.get("/rate-card", Page[Offer])
        rows = [
            (one.title or one.name, one.kind, money(one.fee_minor, one.currency), one.period,
             money(one.rate_minor, one.currency), hours(one.grant_s))
            for one in page.items
        ]  # fmt: skip
        names = ("what", "kind", "fee", "every", "rate for an hour", "hours")
        context.show(page, lambda: show_table(names, rows))


def _show(found: Contract) -> None:
    terms = found.terms
    fields: dict[str, object] = {
        "name": found.name,
        "version": found.version,
        "kind": terms.kind,
        "title": terms.title,
        "organisation": terms.organisation,
        "from": terms.starts,
        "to": terms.ends,
        "zone": terms.zone,
        "rate": money(terms.rate_minor, terms.currency),
        "fee": money(terms.fee_minor, terms.currency),
        "step": f"{terms.step_s} s, at least {terms.min_s} s",
        "hours": f"{hours(terms.grant_s)}, {terms.period}",
        "roll over": f"at most {hours(terms.rollover_s)}",
        "overage": terms.overage,
        "calendar": terms.calendar,
        "sla": terms.policy,
        "device groups": ", ".join(terms.groups) or "all",
        "services": ", ".join(terms.services) or "all",
        "customer sees time": "yes" if terms.show_time else "no",
    }
    show_fields(fields)


def _show_balance(found: Balance) -> None:
    show_fields(
        {
            "period": f"{found.period_from or '-'} to {found.period_to or '-'}",
            "available": hours(found.available_s),
            "used": f"{hours(found.used_s)} ({found.percent} %)",
            "left": hours(found.balance_s),
        }
    )


def _register_setting(contracts: click.Group) -> None:
    @command(contracts, "set")
    @click.argument("name")
    @click.option("--kind", type=click.Choice(_KINDS))
    @click.option("--organisation", help="Whose it is; none for one that device groups find.")
    @click.option("--title")
    @click.option("--from", "starts", help="2026-11-01; periods are counted from it.")
    @click.option("--to", "ends", help="The first day on which it is no more; none for no end.")
    @click.option("--zone", help="Time zone of its days and months: Europe/Lisbon, for one.")
    @click.option("--rate", type=int, help="For an hour, in minor units (cents).")
    @click.option("--fee", type=int, help="For a period, in minor units.")
    @click.option("--currency", help="EUR, for one.")
    @click.option("--step", help="Each entry is rounded up to this: 15m.")
    @click.option("--least", help="What an entry comes to at least: 15m.")
    @click.option("--overage", type=click.Choice(["deny", "warn", "bill"]))
    @click.option("--calendar", help="Hours in which its measures count; none for the promise's.")
    @click.option("--sla", help="What its tickets are promised; none for what the queue says.")
    @click.option("--every", type=click.Choice(["monthly", "yearly"]), help="When hours come.")
    @click.option("--hours", "granted", help="Hours of each period: 10, or 7:30.")
    @click.option("--roll-over", help="At most so many hours go on into the next period.")
    @click.option("--group", "groups", multiple=True, help="A device group that it covers.")
    @click.option("--service", "services", multiple=True, help="A category that it covers.")
    @click.option("--listed/--not-listed", default=None, help="Stands on the rate card.")
    @click.option("--show-time/--hide-time", default=None, help="Whether customers see entries.")
    def set_contract(context: Context, /, name: str, **given: Any) -> None:
        """Make a contract, or a new version of it; what is not given stays."""
        try:
            before = context.relay.get(segments("contracts", name), Contract).terms
        except FarhandError as error:
            if error.code != "not-found":
                raise
            if given["kind"] is None:
                raise UsageError("usage", "a new contract needs --kind") from error
            before = Terms(kind=given["kind"])
        terms = msgspec.structs.replace(before, **_changes(given))
        made = context.relay.post(segments("contracts", name), Contract, terms)
        context.show(made, lambda: line(f"{made.name}  version {made.version}"))

    @command(contracts)
    @click.argument("name")
    @click.option("--hours", "given", required=True, help="10, 7:30, or -2 to take some.")
    @click.option("--reason", required=True)
    def adjust(context: Context, name: str, given: str, reason: str) -> None:
        """Give a contract hours, or take some; hours bought on top come this way."""
        body = {"seconds": read_hours(given), "reason": reason}
        found = context.relay.post(segments("contracts", name, "adjust"), Balance, body)
        context.show(found, lambda: _show_balance(found))

    @command(contracts)
    @click.argument("ticket")
    @click.argument("name")
    def assign(context: Context, ticket: str, name: str) -> None:
        """Say which contract a ticket falls under; `auto` lets the relay find it."""
        body = {"contract": None if name == "auto" else name}
        path = segments("tickets", ticket, "contract")
        answer = context.relay.post(path, dict[str, Any], body)
        found = read_as(answer, ContractedTicket)
        context.show(answer, lambda: line(f"{found.number}  {found.contract or 'included'}"))

    @command(contracts)
    @click.option("--ticket")
    @click.option("--device")
    def cover(context: Context, ticket: str | None, device: str | None) -> None:
        """Show which contract work on a ticket, or on a device, falls under."""
        if ticket is None and device is None:
            raise UsageError("usage", "give --ticket or --device")
        found = context.relay.get("/contracts/cover", Cover, ticket=ticket, device=device)

        def readable() -> None:
            show_fields({"contract": found.contract, "kind": found.kind, "overage": found.overage})
            if found.balance is not None:
                _show_balance(found.balance)

        context.show(found, readable)


# Options whose name or form is not that of the terms.
_OTHER: Final = {
    "rate": "rate_minor",
    "fee": "fee_minor",
    "every": "period",
    "sla": "policy",
}


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == ():
            continue
        if name in ("step", "least"):
            changes["step_s" if name == "step" else "min_s"] = read_minutes(value)
        elif name in ("granted", "roll_over"):
            changes["grant_s" if name == "granted" else "rollover_s"] = read_hours(value)
        elif name in ("groups", "services"):
            changes[name] = tuple(one for one in value if one != "none")
        else:
            is_nothing = value == "none" and name in ("organisation", "ends", "calendar", "sla")
            changes[_OTHER.get(name, name)] = None if is_nothing else value
    return changes


def _register_statements(contracts: click.Group) -> None:
    @command(contracts)
    @click.argument("name")
    @click.option("--month", required=True, help="2026-11")
    @click.option("--keep", is_flag=True, help="Make it, once the month is over: entries get it.")
    @click.option("--format", "form", type=click.Choice(["csv", "html"]), help="A file.")
    @click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="stdout without")
    def statement(
        context: Context,
        name: str,
        month: str,
        keep: bool,
        form: str | None,
        language: str,
        out: Path | None,
    ) -> None:
        """Show what a contract's work came to in a month; before --keep it is a draft."""
        path = segments("contracts", name, "statements", month)
        if keep:
            context.relay.post(path, Statement, {})
        if form is not None:
            query = urlencode({"format": form, "language": language})
            write_file(context, context.relay.get_bytes(f"{path}?{query}"), out)
            return
        found = context.relay.get(path, Statement)
        context.show(found, lambda: _show_statement(found))


def _show_statement(found: Statement) -> None:
    rows = [
        (one.ended_at[:10], one.ticket, one.account, hours(one.active_s), hours(one.billed_s),
         hours(one.debited_s), money(one.amount_minor, found.currency), one.note[:60])
        for one in found.lines
    ]  # fmt: skip
    names = ("day", "ticket", "who", "worked", "billed", "from balance", "amount", "note")
    show_table(names, rows)
    show_fields(
        {
            "statement": found.id or "draft",
            "worked": hours(found.active_s),
            "billed": hours(found.billed_s),
            "from balance": hours(found.debited_s),
            "amount": money(found.amount_minor, found.currency),
            "fee": money(found.fee_minor, found.currency),
            "balance at the end": None if found.balance is None else hours(found.balance.balance_s),
        }
    )
