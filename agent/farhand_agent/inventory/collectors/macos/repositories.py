"""Section `repositories`: taps of Homebrew."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context, Unsupported

__all__ = ["collect"]

_PLACES: Final = ("/opt/homebrew", "/usr/local/Homebrew")


@macos_section("repositories")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per tap.

    Raises:
        Unsupported: Homebrew is not installed.
    """
    prefix = next((one for one in _PLACES if context.files.path(f"{one}/Library").is_dir()), None)
    if prefix is None:
        raise Unsupported("Homebrew is not installed")
    taps = f"{prefix}/Library/Taps"
    return [
        {
            "manager": "brew", "name": f"{owner}/{name.removeprefix('homebrew-')}", "url": None,
            "suite": None, "components": [], "enabled": True, "signed": None,
            "file": f"{taps}/{owner}/{name}",
        }
        for owner in context.files.names(taps)
        for name in context.files.names(f"{taps}/{owner}")
    ]  # fmt: skip
