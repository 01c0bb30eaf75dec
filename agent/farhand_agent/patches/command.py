"""`farhand-agent patches`: what the package managers would update.  Works with no relay."""

from __future__ import annotations

import json
import sys

import click

from farhand_agent.patches.provider import PatchList, PatchProvider, ProviderError, Reboot
from farhand_agent.patches.registry import providers
from farhand_agent.terminal import printable, table
from farhand_protocol.errors import FarhandError

__all__ = ["list_all", "patches", "script_apply", "script_check"]

_COLUMNS = ("name", "installed", "available", "kind", "severity", "held")


def list_all(names: tuple[str, ...] = ()) -> list[PatchList]:
    """Return what every provider of this system says, its failures as honest states.

    Args:
        names: only these providers; empty for all.
    """
    return [list_one(one) for one in providers() if not names or one.name in names]


def list_one(provider: PatchProvider) -> PatchList:
    """Return what one provider says, its failure as an honest state."""
    try:
        return provider.list()
    except ProviderError as error:
        return PatchList(provider=provider.name, status=error.state, reason=str(error))
    except FarhandError as error:
        return PatchList(provider=provider.name, status="error", reason=str(error))


@click.command("patches")
@click.option("--provider", "names", multiple=True, help="Only this package manager; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def patches(names: tuple[str, ...], as_json: bool) -> None:
    """Show the updates that this device's package managers know of."""
    found = list_all(names)
    if as_json:
        click.echo(json.dumps({"items": [one.to_json() for one in found], "next": None}))
        return
    if not found:
        click.echo("no package manager that is known here", err=True)
    for one in found:
        click.echo(f"{one.provider}: {_headline(one)}")
        if one.updates:
            rows = [[getattr(update, column) for column in _COLUMNS] for update in one.updates]
            click.echo(table(_COLUMNS, rows))
        click.echo(f"restart: {_restart(one.reboot)}\n")


def _headline(found: PatchList) -> str:
    if found.status != "ok":
        return f"{found.status}: {printable(found.reason)}"
    security = sum(update.kind == "security" for update in found.updates)
    words = f"{security} security" if found.security_labelled else "security not labelled"
    return f"{len(found.updates)} updates ({words}), lists of {found.refreshed_at or 'unknown age'}"


def _restart(reboot: Reboot) -> str:
    words = {True: "required", False: "not required", None: "cannot be known here"}
    reasons = ", ".join(printable(reason) for reason in reboot.reasons)
    return words[reboot.required] + (f" ({reasons})" if reasons else "")


def script_check() -> int:
    """Print what the providers say as one JSON object: the body of `patch.check`."""
    items = [one.to_json() for one in list_all()]
    sys.stdout.write(json.dumps({"items": items, "next": None}) + "\n")
    return 0


def script_apply(name: str, *, security_only: bool, refresh: bool) -> int:
    """Plan and apply with one provider and print the result: the body of `patch.NAME.apply`.

    Returns:
        0 when everything planned is installed, 1 otherwise.
    """
    chosen = next((one for one in providers() if one.name == name), None)
    if chosen is None:
        sys.stderr.write(f"{name} does not rule this system\n")
        return 1
    try:
        if refresh:
            chosen.refresh()
        result = chosen.apply(chosen.plan(None, security_only=security_only))
    except FarhandError as error:
        if isinstance(error, ProviderError):
            sys.stderr.write(error.log_tail)
        sys.stderr.write(f"\n{error}\n")
        return 1
    sys.stdout.write(json.dumps(result.to_json()) + "\n")
    return 0 if not result.failed else 1
