"""Section `browser_extensions` (opt-in): what people put into their browsers."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_agent.inventory.context import Malformed
from farhand_agent.inventory.extension_files import (
    parse_chromium_manifest,
    parse_firefox_extensions,
)
from farhand_agent.inventory.json_values import text

__all__ = ["parse"]

_MAX_ITEMS: Final = 5_000


@windows_section(
    "browser_extensions", parts=("browsers",), personal=("user", "profile"), opt_in=True
)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per extension and profile."""
    items: list[dict[str, Any]] = []
    for one in told.rows("browsers"):
        of = {key: said(one.get(key)) for key in ("user", "browser", "profile")}
        try:
            if of["browser"] == "firefox":
                found = parse_firefox_extensions(text(one.get("extensions")) or "")
            else:
                name, version = parse_chromium_manifest(text(one.get("manifest")) or "")
                identity = said(one.get("id"))
                found = [{"id": identity, "name": name, "version": version, "enabled": None}]
        except Malformed as error:
            told.note(f"{of['browser']} of {of['user']}: {error.message}")
            continue
        items += [of | extension for extension in found]
    return items[:_MAX_ITEMS]
