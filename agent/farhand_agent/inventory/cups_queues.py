"""Queues as CUPS lists them, on Linux and macOS: items of section `printers`."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.context import CommandFailed, Context, Unsupported

__all__ = ["ask_lpstat", "parse_lpstat"]

_PRINTER: Final = re.compile(r"printer (\S+) (is idle|now printing|disabled)")
_DEVICE: Final = re.compile(r"device for (\S+): (.+)")
_ACCEPTS: Final = re.compile(r"(\S+) (not )?accepting requests")
_DEFAULT: Final = re.compile(r"system default destination: (\S+)")
_STATES: Final = {"is idle": "idle", "now printing": "printing", "disabled": "stopped"}


def parse_lpstat(output: str) -> list[dict[str, Any]]:
    """Return one item per queue in what `lpstat -l -p -v -a -d` printed in the C locale."""
    items: dict[str, dict[str, Any]] = {}

    def queue(name: str) -> dict[str, Any]:
        return items.setdefault(
            name,
            {
                "name": name, "driver": None, "uri": None, "location": None, "default": False,
                "shared": None, "state": None, "accepting": None,
            },
        )  # fmt: skip

    current: dict[str, Any] | None = None
    for line in output.split("\n"):
        if found := _PRINTER.match(line):
            current = queue(found[1])
            current["state"] = _STATES[found[2]]
        elif found := _DEVICE.match(line):
            queue(found[1])["uri"] = without_credentials(found[2])
        elif found := _DEFAULT.match(line):
            queue(found[1])["default"] = True
        elif found := _ACCEPTS.match(line):
            queue(found[1])["accepting"] = not found[2]
        elif current is not None and line.strip().startswith("Location: "):
            current["location"] = line.partition(": ")[2].strip() or None
    return sorted(items.values(), key=lambda one: str(one["name"]))


def ask_lpstat(context: Context) -> str:
    """Return what lpstat tells of all queues.

    Raises:
        Unsupported: CUPS does not run.
        CommandFailed: it ended with an error and told nothing.
    """
    outcome = context.run(["lpstat", "-l", "-p", "-v", "-a", "-d"], timeout_s=20.0, ok=(0, 1))
    if "Scheduler is not running" in outcome.error_text:
        raise Unsupported("CUPS does not run")
    # Without any queue it ends with 1 too.
    empty = "No destinations" in outcome.error_text
    if outcome.exit_code != 0 and not outcome.text.strip() and not empty:
        raise CommandFailed("lpstat", outcome.exit_code)
    return outcome.text
