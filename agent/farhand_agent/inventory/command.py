"""`farhand-agent inventory`: what this device is made of.  Works with no relay and no enrolment."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import msgspec

from farhand_agent.inventory.runner import collect_all
from farhand_agent.inventory.shown import as_text
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import SectionReport

__all__ = ["inventory", "to_json"]


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
    """Show what this device is made of.

    Opt-in sections (processes, neighbours, language packages, extensions) are looked at when they
    are named.
    """
    names = [name for part in chosen for name in part.split(",") if name] or None
    try:
        progress = _progress if sys.stderr.isatty() else None
        reports = collect_all(names, personal=personal, progress=progress)
    except FarhandError as error:
        click.echo(f"farhand-agent: error: {error}", err=True)
        if error.hint:
            click.echo(f"farhand-agent: hint: {error.hint}", err=True)
        sys.exit(2)
    if as_json:
        click.echo(json.dumps(to_json(reports)))
        return
    click.echo(as_text(reports, everything=names is not None))


def _progress(done: int, of: int, name: str) -> None:
    """Say on a terminal how far it is, over what was said before."""
    words = f"\r\x1b[K{done}/{of} {name}" if done < of else "\r\x1b[K"
    click.echo(words, nl=False, err=True)
