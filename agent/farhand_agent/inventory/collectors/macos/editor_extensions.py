"""Section `editor_extensions` (opt-in): what people put into their editors."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.people import homes
from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.extension_files import parse_editor_extensions

__all__ = ["collect"]

_PLACES: Final = {"vscode": ".vscode", "vscodium": ".vscode-oss", "cursor": ".cursor"}
_MAX_ITEMS: Final = 5_000


@macos_section("editor_extensions", personal=("user",), opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per extension and person."""
    items: list[dict[str, Any]] = []
    for user, home in homes(context):
        for editor, place in _PLACES.items():
            try:
                content = context.files.text(f"{home}/{place}/extensions/extensions.json")
                found = parse_editor_extensions(content) if content is not None else []
            except PermissionError:
                context.note(f"the home of {user} needs root")
                continue
            except Malformed as error:
                context.note(f"{editor} of {user}: {error.message}")
                continue
            items += [{"user": user, "editor": editor} | one for one in found]
    return items[:_MAX_ITEMS]
