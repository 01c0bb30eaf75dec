"""Section `crashes`: reports of programs and panics, by the names of their files."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.macos.source import macos_section
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.moments import instant

__all__ = ["collect", "parse_name"]

_FOLDER: Final = "/Library/Logs/DiagnosticReports"
_NAME: Final = re.compile(
    r"(.{1,120}?)[-_][0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}.*\.(ips|crash|panic)"
)
_SHOWN: Final = 100


def parse_name(name: str) -> tuple[str, str] | None:
    """Return kind and program of a report: "Safari-2026-11-20-101112.ips"; None for others."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    panic = found[2] == "panic" or found[1] in ("panic-full", "Kernel")
    return ("kernel" if panic else "program"), found[1]


@macos_section("crashes", personal=("path",))
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per report, the newest first."""
    context.need("/Library")
    items = []
    for name in context.files.names(_FOLDER):
        told = parse_name(name)
        path = f"{_FOLDER}/{name}"
        if told:
            items.append(
                {
                    "at": instant(context.files.modified_at(path)),
                    "kind": told[0],
                    "program": None if told[0] == "kernel" else told[1],
                    "signal": None,
                    "path": path,
                    "size_bytes": None,
                }
            )
    return sorted(items, key=lambda item: item["at"] or "", reverse=True)[:_SHOWN]
