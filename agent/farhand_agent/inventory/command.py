"""`farhand-agent inventory`: what this device is made of.  Works with no relay and no enrolment."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import msgspec

from farhand_agent.inventory.runner import collect_all
from farhand_agent.terminal import printable, table
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import SectionReport

__all__ = ["inventory", "to_json"]

_ROWS_SHOWN = 25


def to_json(reports: dict[str, SectionReport], device: str | None = None) -> dict[str, Any]:
    """Return reports in the shape of `farhand-agent inventory --json`."""
    shown = {}
    for name, report in reports.items():
        fields = msgspec.to_builtins(report)
        del fields["name"]
        shown[name] = fields
    return {"device": device, "sections": shown}


@click.command("inventory")
@click.option(
    "--section", "--sections", "chosen", multiple=True,
    help="Only this section, or several with commas between; repeatable.",
)  # fmt: skip
@click.option(
    "--personal/--no-personal", default=True, help="Show serial numbers, names, addresses."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inventory(chosen: tuple[str, ...], personal: bool, as_json: bool) -> None:
    """Show what this device is made of."""
    names = [name for part in chosen for name in part.split(",") if name] or None
    try:
        reports = collect_all(names, personal=personal)
    except FarhandError as error:
        click.echo(f"farhand-agent: error: {error}", err=True)
        if error.hint:
            click.echo(f"farhand-agent: hint: {error.hint}", err=True)
        sys.exit(2)
    if as_json:
        click.echo(json.dumps(to_json(reports)))
        return
    for report in reports.values():
        click.echo(_as_text(report, everything=names is not None))


def _as_text(report: SectionReport, *, everything: bool) -> str:
    reason = f": {printable(report.reason)}" if report.reason else ""
    lines = [f"{report.name}  [{report.status}{reason}]"]
    items = report.items if everything else report.items[:_ROWS_SHOWN]
    if len(items) == 1:
        rows = [(key, _cell(value)) for key, value in items[0].items()]
        lines.append(table(("field", "value"), rows))
    elif items:
        columns = list(dict.fromkeys(key for item in items for key in item))[:7]
        lines.append(table(columns, [[_cell(item.get(key)) for key in columns] for item in items]))
    if len(items) < len(report.items):
        more = f"... {len(report.items) - len(items)} more: --section {report.name}"
        lines.append(more)
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> object:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return value
