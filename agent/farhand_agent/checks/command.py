"""`farhand-agent checks`, and the body of every shipped `check.*` script."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from farhand_agent.checks import registry
from farhand_agent.checks.registry import CheckContext
from farhand_agent.checks.runner import run_check, run_checks
from farhand_agent.terminal import printable, table
from farhand_protocol.errors import FarhandError

__all__ = ["checks", "script_main", "script_parameters"]

_MAX_PARAMETERS_BYTES: Final = 1024 * 1024


@click.command("checks")
@click.option("--id", "ids", multiple=True, help="Only this check; repeatable.")
@click.option("--list", "only_list", is_flag=True, help="Show which checks there are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def checks(ids: tuple[str, ...], only_list: bool, as_json: bool) -> None:
    """Check whether this device is well.  A problem found is a result, not an error."""
    if only_list:
        _list_checks(as_json)
        return
    try:
        results = run_checks(ids or None)
    except FarhandError as error:
        click.echo(f"farhand-agent: error: {error}", err=True)
        if error.hint:
            click.echo(f"farhand-agent: hint: {error.hint}", err=True)
        sys.exit(2)
    if as_json:
        items = [msgspec.to_builtins(result) for result in results]
        click.echo(json.dumps({"items": items, "next": None}))
        return
    rows = [(result.state, result.id, result.summary) for result in results]
    click.echo(table(("state", "check", "summary"), rows))
    troubles = [result for result in results if result.state in ("warning", "critical")]
    if troubles:
        click.echo("")
    for result in troubles:
        remedy = f"  (may help: {printable(result.remedy)})" if result.remedy else ""
        click.echo(f"{result.id}: {printable(result.plain, 600)}{remedy}")


def _list_checks(as_json: bool) -> None:
    known = registry.checks().values()
    if as_json:
        items = [
            {"id": c.id, "title": c.title, "unit": c.unit, "platforms": list(c.platforms)}
            for c in known
        ]
        click.echo(json.dumps({"items": items, "next": None}))
        return
    click.echo(table(("check", "title"), [(c.id, c.title) for c in known]))


def script_main(check_id: str) -> int:
    """Run one check as a shipped script and print its finding as one JSON object.

    Parameters come as one JSON document from the file that FARHAND_PARAMETERS names.

    Returns:
        0 for any finding, 1 when the check itself failed or its parameters cannot be used.
    """
    try:
        result = run_check(check_id, CheckContext(parameters=script_parameters()))
    except FarhandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return 0


def script_parameters() -> dict[str, Any]:
    """Return the parameters that the script runner left for this process; {} where it left none.

    Raises:
        FarhandError: `check-parameters` when the file cannot be read or is no JSON object.
    """
    name = os.environ.get("FARHAND_PARAMETERS")
    if not name:
        return {}
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MAX_PARAMETERS_BYTES + 1)
        parameters = json.loads(data) if len(data) <= _MAX_PARAMETERS_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise FarhandError("check-parameters", "the parameters cannot be read") from error
    if not isinstance(parameters, dict):
        raise FarhandError("check-parameters", "the parameters are not one JSON object")
    return parameters
