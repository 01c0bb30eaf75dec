"""Section `services`: what runs in the background, from systemd, else from init scripts."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Malformed, Unsupported
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["collect", "parse_sysv", "parse_unit_files", "parse_units"]

_SYSV: Final = re.compile(r"\s*\[ ([+?-]) \]\s+(\S+)\s*")
_SYSV_STATES: Final = {"+": "running", "-": "stopped", "?": "unknown"}
_UNIT: Final = re.compile(r"\S+\.service")


def parse_units(document: Any) -> list[dict[str, Any]]:
    """Return one item per unit in what `systemctl list-units --type=service --all -o json` printed.

    Raises:
        Malformed: it is not what systemctl prints.
    """
    items = []
    for unit in _rows(document, "systemctl list-units"):
        name = unit.get("unit")
        if not isinstance(name, str):
            raise Malformed("systemctl list-units")
        if unit.get("load") == "not-found":
            continue  # only mentioned by another unit; there is no such service
        items.append(
            {
                "manager": "systemd",
                "name": name.removesuffix(".service"),
                "display": unit.get("description"),
                "state": _state(unit.get("active"), unit.get("sub")),
                "detail": unit.get("sub"),
                "start": None,
            }
        )
    return items


def parse_unit_files(document: Any) -> dict[str, str]:
    """Return how each unit starts (enabled, disabled, static, masked, ...) by its name.

    Raises:
        Malformed: it is not what `systemctl list-unit-files -o json` prints.
    """
    starts = {}
    for row in _rows(document, "systemctl list-unit-files"):
        name, state = row.get("unit_file"), row.get("state")
        if isinstance(name, str) and isinstance(state, str):
            starts[name.removesuffix(".service")] = state
    return starts


def parse_sysv(text: str) -> list[dict[str, Any]]:
    """Return one item per line of `service --status-all`; other lines are skipped."""
    return [
        {
            "manager": "sysv",
            "name": found[2],
            "display": None,
            "state": _SYSV_STATES[found[1]],
            "detail": None,
            "start": None,
        }
        for line in text.split("\n")
        if (found := _SYSV.fullmatch(line))
    ]


@section("services", platform="linux", timeout_s=30.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per service.

    Raises:
        Unsupported: neither systemd nor init scripts rule here.
    """
    if context.files.path("/run/systemd/system").is_dir():
        return _systemd(context)
    context.note("systemd does not run here")
    try:
        outcome = context.run(["service", "--status-all"], timeout_s=25.0, ok=None)
    except CommandMissing as error:
        raise Unsupported("neither systemd nor init scripts rule here") from error
    items = parse_sysv(outcome.text + "\n" + outcome.error_text)
    # Elsewhere than on Debian it ends as the last of the scripts did.
    if outcome.exit_code != 0 and not items:
        raise CommandFailed("service", outcome.exit_code)
    return items


def _systemd(context: Context) -> list[dict[str, Any]]:
    common = ["--type=service", "--no-pager", "--output=json"]
    items = parse_units(context.run_json(["systemctl", "list-units", "--all", *common]))
    starts = parse_unit_files(context.run_json(["systemctl", "list-unit-files", *common]))
    known = set()
    for item in items:
        known.add(item["name"])
        template = re.sub(r"@.*", "@", item["name"])
        item["start"] = starts.get(item["name"], starts.get(template))
    for name, start in sorted(starts.items()):
        # Not loaded and not a template: installed, and not running.
        if name not in known and not name.endswith("@") and start != "alias":
            items.append(
                {
                    "manager": "systemd", "name": name, "display": None,
                    "state": "stopped", "detail": None, "start": start,
                }
            )  # fmt: skip
    return sorted(items, key=lambda item: str(item["name"]))


def _rows(document: Any, source: str) -> list[dict[str, Any]]:
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise Malformed(source)
    return document


def _state(active: object, sub: object) -> str:
    if active == "failed":
        return "failed"
    if active == "active":
        return "running" if sub == "running" else "active"
    return "stopped" if active == "inactive" else str(active or "unknown")
