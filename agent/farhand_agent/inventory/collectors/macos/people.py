"""Whose homes there are: folders below /Users; no section of its own."""

from __future__ import annotations

from typing import Final

from farhand_agent.inventory.context import Context

__all__ = ["homes"]

_NOBODY: Final = ("Shared", "Guest", "Deleted Users")
_MAX_HOMES: Final = 500


def homes(context: Context) -> list[tuple[str, str]]:
    """Return names and homes of people, at most 500."""
    return [
        (name, f"/Users/{name}")
        for name in context.files.names("/Users")
        if name not in _NOBODY
        and not name.startswith(".")
        and context.files.path(f"/Users/{name}").is_dir()
    ][:_MAX_HOMES]
