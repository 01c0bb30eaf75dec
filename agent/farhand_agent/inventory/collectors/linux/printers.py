"""Section `printers`: queues of CUPS."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.context import CommandFailed, Context, Unsupported
from farhand_agent.inventory.registry import section

__all__ = ["collect", "parse_lpstat"]

_PRINTER: Final = re.compile(r"printer (\S+) (is idle|now printing|disabled)")
_DEVICE: Final = re.compile(r"device for (\S+): (.+)")
_ACCEPTS: Final = re.compile(r"(\S+) (not )?accepting requests")
_DEFAULT: Final = re.compile(r"system default destination: (\S+)")
_STATES: Final = {"is idle": "idle", "now printing": "printing", "disabled": "stopped"}
_MAKE: Final = re.compile(r"\*NickName:\s*\"([^\"]{1,200})\"")
_SHARED: Final = re.compile(r"<(?:Default)?Printer (\S+)>(.*?)</(?:Default)?Printer>", re.DOTALL)


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


@section("printers", platform="linux", personal=("uri",), timeout_s=25.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per queue.  lpstat asks the local CUPS, which may ask the network.

    Raises:
        Unsupported: CUPS does not run.
    """
    items = parse_lpstat(ask_lpstat(context))
    shared = _shared(context)
    for item in items:
        item["driver"] = _driver(context, item["name"])
        item["shared"] = shared.get(item["name"])
    return items


def _driver(context: Context, name: str) -> str | None:
    if "/" in name:
        return None  # no queue of CUPS is called so
    try:
        found = _MAKE.search(context.files.text(f"/etc/cups/ppd/{name}.ppd") or "")
    except PermissionError:
        return None
    return found[1] if found else None


def _shared(context: Context) -> dict[str, bool]:
    try:
        text = context.files.text("/etc/cups/printers.conf") or ""
    except PermissionError:
        context.note("whether printers are shared needs root")
        return {}
    return {name: "\nShared Yes" in body for name, body in _SHARED.findall(text)}
