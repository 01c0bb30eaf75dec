"""Section `editor_extensions` (opt-in): what people put into their editors."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.extension_files import parse_editor_extensions
from farhand_agent.inventory.json_values import text

__all__ = ["parse"]

_MAX_ITEMS: Final = 5_000


@windows_section("editor_extensions", parts=("editors",), personal=("user",), opt_in=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per extension and person."""
    items: list[dict[str, Any]] = []
    for one in told.rows("editors"):
        of = {"user": said(one.get("user")), "editor": said(one.get("editor"))}
        try:
            found = parse_editor_extensions(text(one.get("extensions")) or "")
        except Malformed as error:
            told.note(f"{of['editor']} of {of['user']}: {error.message}")
            continue
        items += [of | extension for extension in found]
    return items[:_MAX_ITEMS]
