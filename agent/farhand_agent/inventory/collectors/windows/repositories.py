"""Section `repositories`: sources of winget and Chocolatey."""

from __future__ import annotations

import json
from typing import Any

from farhand_agent.inventory.addresses import without_credentials
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.context import Unsupported
from farhand_agent.inventory.json_values import truth

__all__ = ["parse", "parse_winget_sources"]


def parse_winget_sources(output: str) -> list[dict[str, Any]]:
    """Return one item per line of JSON of `winget source export`; other lines are skipped."""
    items = []
    for line in output.split("\n"):
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line of words: winget greets who starts it for the first time
        if isinstance(one, dict) and said(one.get("Name")):
            items.append(_item("winget", one.get("Name"), one.get("Arg"), True))
    return items


@windows_section("repositories", parts=("winget_sources", "choco_sources"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per source.

    Raises:
        Unsupported: neither of the two is installed.
    """
    printed, written = told.also_row("winget_sources"), told.also("choco_sources")
    if not printed and not written:
        raise Unsupported("neither winget nor Chocolatey is installed")
    items = parse_winget_sources(binary(printed.get("printed")).decode("utf-8-sig", "replace"))
    for one in written:
        off = truth(one.get("disabled"))
        items.append(_item("choco", one.get("id"), one.get("value"), not off))
    return items


def _item(manager: str, name: object, url: object, enabled: bool) -> dict[str, Any]:
    return {
        "manager": manager, "name": said(name), "url": without_credentials(said(url) or "") or None,
        "suite": None, "components": [], "enabled": enabled, "signed": None, "file": None,
    }  # fmt: skip
