"""`farhand-agent defer`: put off what an organisation wants to run here, as far as it allows.

Without an order it lists what waits, why, and until when it may be put off.  The deadline floats:
so many days after this device first had the order, whenever that was.  What was put off begins at
the time that was said, or in the next window after it.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import click

from farhand_agent import local
from farhand_agent.config import Home, load_settings
from farhand_agent.home_option import home_option
from farhand_agent.journal import Journal, OrderRow
from farhand_agent.scripts.check import read_order
from farhand_agent.scripts.holding import defer_key, deferrable_until, hold_key
from farhand_agent.terminal import printable, table
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import format_instant, parse_instant

__all__ = ["defer"]

_SPAN = re.compile(r"([1-9][0-9]{0,3})([mhd])\Z")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


@click.command("defer")
@click.argument("order", required=False)
@click.option("--for", "span", default="1d", show_default=True, help="How long: 30m, 4h, 2d.")
@home_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def defer(order: str | None, span: str, home: Home, as_json: bool) -> None:
    """Put off what waits to run here; without an order, list it."""
    load_settings(home)
    journal = Journal(home.journal)
    try:
        if order is None:
            _show([_row(journal, one) for one in _waiting(journal)], as_json=as_json)
            return
        until = put_off(journal, order, _seconds(span))
    finally:
        journal.close()
    # Where none runs, it looks into the journal when it starts.
    local.notify(home, "orders-changed")
    if as_json:
        click.echo(json.dumps({"order": order, "until": format_instant(until)}))
    else:
        click.echo(f"{printable(order)} waits until {format_instant(until)}")


def put_off(journal: Journal, order: str, span_s: int) -> datetime:
    """Put an order off, as far as it may be.

    Returns:
        Until when it waits; earlier than asked for where the deadline comes first.

    Raises:
        FarhandError: `order-unknown` where no such order waits, `order-not-deferrable` where it
            may not be put off, or no longer.
    """
    row = journal.order(order)
    if row is None or row.state != "accepted":
        raise FarhandError("order-unknown", "no such order waits on this device")
    _, signed = read_order(row.envelope)
    now = journal.now()
    deadline = deferrable_until(signed, parse_instant(row.accepted_at))
    if signed.terms is None or not signed.terms.defer_days or now >= deadline:
        raise FarhandError(
            "order-not-deferrable",
            "this order cannot be put off, or no longer",
            hint="ask whoever manages this device",
        )
    until = min(now + timedelta(seconds=span_s), deadline)
    text = format_instant(until)
    journal.set_meta(defer_key(order), text, kind="order-deferred", order=order, until=text)
    # Looked at anew at once, so that the list tells what holds it from now on.
    journal.set_meta(hold_key(order), f"{text} user")
    return until


def _waiting(journal: Journal) -> list[OrderRow]:
    return [row for row in journal.open_orders() if row.state == "accepted"]


def _row(journal: Journal, row: OrderRow) -> dict[str, Any]:
    _, signed = read_order(row.envelope)
    until, _, why = (journal.meta(hold_key(row.id)) or "").partition(" ")
    may = signed.terms is not None and signed.terms.defer_days > 0
    deadline = deferrable_until(signed, parse_instant(row.accepted_at))
    return {
        "order": row.id,
        "script": row.script,
        "operator": row.operator,
        "waits_until": until or None,
        "why": why or None,
        "deferrable_until": format_instant(deadline) if may else None,
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"items": rows, "next": None}))
        return
    if not rows:
        click.echo("nothing waits to run here", err=True)
        return
    columns = ("order", "script", "operator", "waits_until", "why", "deferrable_until")
    click.echo(table(columns, [tuple(str(row[name] or "") for name in columns) for row in rows]))


def _seconds(span: str) -> int:
    found = _SPAN.match(span)
    if found is None:
        raise UsageError("usage", "say how long as 30m, 4h or 2d")
    return int(found[1]) * _UNITS[found[2]]
