"""`farhand-agent patches`: what the package managers would update.  Works with no relay."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import click
import msgspec

from farhand_agent.patches.ledger import Ledger, Record
from farhand_agent.patches.places import state_folder
from farhand_agent.patches.provider import (
    PatchList,
    PatchProvider,
    Plan,
    ProviderError,
    Reboot,
    Update,
    bounded,
)
from farhand_agent.patches.readiness import Limits, Readiness
from farhand_agent.patches.registry import providers
from farhand_agent.terminal import printable, table
from farhand_protocol.errors import FarhandError

__all__ = ["device_ledger", "list_all", "patches"]

_COLUMNS: Final = ("update", "installed", "available", "kind", "severity", "notes")
_KINDS: Final = ("security", "bugfix", "enhancement", "unknown")
_SEVERITIES: Final = ("critical", "important", "moderate", "low", "unknown")
_SHOWN_RECORDS: Final = 20


def device_ledger() -> Ledger:
    """Return the ledger of this device's changes."""
    return Ledger(state_folder() / "changes")


def list_all(
    names: Sequence[str] = (), *, refresh: bool = False, languages: bool = False
) -> list[PatchList]:
    """Return what every provider of this system says, its failures as honest states.

    Args:
        names: only these providers; empty for all that are asked without being named.
        refresh: fetch the indexes first.
        languages: also those that are asked only when named.
    """
    return [
        list_one(one, refresh=refresh)
        for one in providers()
        if (one.name in names if names else one.by_default or languages)
    ]


def list_one(provider: PatchProvider, *, refresh: bool = False) -> PatchList:
    """Return what one provider says, its failure as an honest state."""
    try:
        if refresh:
            provider.refresh()
        found = provider.list()
    except ProviderError as error:
        return PatchList(
            provider=provider.name,
            status=error.state,
            scope=provider.scope,
            reason=str(error),
            exit_code=error.tool_exit_code,
            log_tail=error.log_tail,
        )
    except FarhandError as error:
        return PatchList(
            provider=provider.name, status="error", scope=provider.scope, reason=str(error)
        )
    reboot = device_ledger().with_memory(provider.name, found.reboot)
    return bounded(replace(found, reboot=reboot))


@click.command("patches")
@click.option("--provider", "names", multiple=True, help="Only this package manager; repeatable.")
@click.option("--refresh", is_flag=True, help="Fetch the repositories' indexes first.")
@click.option("--history", is_flag=True, help="Show what was changed on this device.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def patches(names: tuple[str, ...], refresh: bool, history: bool, as_json: bool) -> None:
    """Show the updates that this device's package managers know of."""
    if history:
        _show_history(names, as_json=as_json)
        return
    if refresh and sys.stderr.isatty():
        click.echo("asking the repositories ...", err=True)
    found = list_all(names, refresh=refresh)
    obstacles = _obstacles(found)
    if as_json:
        items = [one.to_json() for one in found]
        told = [{"code": one.code, "message": one.message} for one in obstacles]
        click.echo(json.dumps({"items": items, "obstacles": told, "next": None}))
        return
    if not found:
        click.echo("no package manager that is known here", err=True)
    for one in found:
        click.echo(f"{one.provider}: {_headline(one)}")
        if one.updates:
            click.echo(table(_COLUMNS, [_row(one) for one in sorted(one.updates, key=_urgency)]))
        click.echo(f"restart: {_restart(one.reboot)}\n")
    for obstacle in obstacles:
        click.echo(f"not now: {obstacle.code}: {printable(obstacle.message)}")


def _obstacles(found: Sequence[PatchList]) -> list[ProviderError]:
    """Return what would keep the updates from being installed now, by the usual limits."""
    updates = tuple(one for some in found for one in some.updates)
    if not updates:
        return []
    return Readiness(Limits()).obstacles(
        Plan(provider="all", updates=updates), Reboot(required=None)
    )


def _headline(found: PatchList) -> str:
    if found.status != "ok":
        return f"{found.status}: {printable(found.reason)}"
    security = sum(update.kind == "security" for update in found.updates)
    words = f"{security} security" if found.security_labelled else "security not labelled"
    return f"{len(found.updates)} updates ({words}), lists of {found.refreshed_at or 'unknown age'}"


def _urgency(update: Update) -> tuple[int, int, bool, str]:
    """Return what sorts security first, and what waits for somebody last among its like."""
    waits = update.held or update.phased or update.kept_back
    return _KINDS.index(update.kind), _SEVERITIES.index(update.severity), waits, update.id


def _row(update: Update) -> tuple[str, ...]:
    notes = {
        "held": update.held,
        "phased": update.phased,
        "kept back": update.kept_back,
        "restart": update.requires_reboot,
    }
    return (
        # An id is what selects; one that says nothing to a person stands in the JSON.
        update.id if update.name in update.id else update.name,
        update.installed or "(new)",
        update.available,
        update.kind,
        update.severity,
        ", ".join(word for word, is_so in notes.items() if is_so),
    )


def _restart(reboot: Reboot) -> str:
    words = {True: "required", False: "not required", None: "cannot be known here"}
    reasons = ", ".join(printable(reason) for reason in reboot.reasons)
    return words[reboot.required] + (f" ({reasons})" if reasons else "")


def _show_history(names: tuple[str, ...], *, as_json: bool) -> None:
    records = [one for one in device_ledger().records() if not names or one.provider in names]
    if as_json:
        click.echo(json.dumps({"items": msgspec.to_builtins(records), "next": None}))
        return
    if not records:
        click.echo("nothing was changed here, as far as is written down", err=True)
        return
    rows = [
        (one.id, one.provider, one.started_at, _ending(one), _changes(one))
        for one in records[:_SHOWN_RECORDS]
    ]
    click.echo(table(("record", "provider", "started", "ended", "changes"), rows))


def _ending(record: Record) -> str:
    if record.ended_at is None:
        return "cut off"
    return f"{len(record.changes)} changed, {len(record.failed)} failed"


def _changes(record: Record) -> str:
    return ", ".join(f"{c.id} {c.before or '(new)'} -> {c.after}" for c in record.changes)
