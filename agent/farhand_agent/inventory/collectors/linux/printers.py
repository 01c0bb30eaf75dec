"""Section `printers`: queues of CUPS."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context
from farhand_agent.inventory.cups_queues import ask_lpstat, parse_lpstat
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_MAKE: Final = re.compile(r"\*NickName:\s*\"([^\"]{1,200})\"")
_SHARED: Final = re.compile(r"<(?:Default)?Printer (\S+)>(.*?)</(?:Default)?Printer>", re.DOTALL)


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
