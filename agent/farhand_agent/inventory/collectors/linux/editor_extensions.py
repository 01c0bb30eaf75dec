"""Section `editor_extensions` (opt-in): what people put into their editors."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed
from farhand_agent.inventory.extension_files import parse_editor_extensions
from farhand_agent.inventory.homes import Home, in_homes
from farhand_agent.inventory.registry import section

__all__ = ["collect"]

_CODE: Final = {
    "vscode": ".vscode/extensions", "vscode server": ".vscode-server/extensions",
    "vscodium": ".vscode-oss/extensions", "cursor": ".cursor/extensions",
    "windsurf": ".windsurf/extensions",
}  # fmt: skip
_JETBRAINS: Final = ".local/share/JetBrains"
_PRODUCT: Final = re.compile(r"[A-Za-z]+[0-9]{4}\.[0-9]")
_MAX_ITEMS: Final = 5_000


@section("editor_extensions", platform="linux", personal=("user",), opt_in=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per extension and person.

    Raises:
        Denied: nobody's home may be read.
    """
    found = in_homes(context, lambda home: _code(context, home) + _jetbrains(context, home))
    return found[:_MAX_ITEMS]


def _code(context: Context, home: Home) -> list[dict[str, Any]]:
    items = []
    for editor, place in _CODE.items():
        path = f"{home.path}/{place}/extensions.json"
        text = context.files.text(path)
        if text is None:
            continue
        try:
            found = parse_editor_extensions(text)
        except Malformed as error:
            context.note(f"{path}: {error.message}", private=True)
            continue
        items += [{"user": home.user, "editor": editor} | one for one in found]
    return items


def _jetbrains(context: Context, home: Home) -> list[dict[str, Any]]:
    folder = f"{home.path}/{_JETBRAINS}"
    return [
        {
            "user": home.user, "editor": product, "id": plugin, "version": None,
            "publisher": None,
        }
        for product in context.files.names(folder)
        if _PRODUCT.fullmatch(product)
        for plugin in context.files.names(f"{folder}/{product}")
    ]  # fmt: skip
