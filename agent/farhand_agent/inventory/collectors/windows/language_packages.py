"""Section `language_packages` (opt-in): libraries beside the programs of Windows."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.language_packages import (
    parse_crates,
    parse_dist_info,
    parse_package_json,
)

__all__ = ["parse"]

_MAX_ITEMS: Final = 15_000


@windows_section(
    "language_packages", parts=("language_packages",), personal=("environment",), opt_in=True
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per package and environment."""
    items = []
    for one in told.rows("language_packages"):
        manager, folder = said(one.get("manager")), said(one.get("folder"))
        found = []
        if manager == "pip":
            found = [parse_dist_info(said(one.get("name")) or "")]
        elif manager == "npm":
            found = [parse_package_json(said(one.get("text")) or "")]
        elif manager == "cargo":
            try:
                found = [*parse_crates(said(one.get("text")) or "")]
            except Malformed as error:
                told.note(error.message)
        items += [
            {"manager": manager, "name": pair[0], "version": pair[1], "environment": folder}
            for pair in found
            if pair
        ]
    return items[:_MAX_ITEMS]
