"""Section `crashes`: programs and kernels that died, never a dump."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said, unsigned, when

__all__ = ["parse"]

_SHOWN: Final = 100
# Source: ntstatus.h.
_SIGNALS: Final = {
    "c0000005": "access violation", "c0000409": "stack buffer overrun",
    "c00000fd": "stack overflow",
    "c000001d": "illegal instruction", "c0000374": "heap corruption", "80000003": "breakpoint",
    "e0434352": ".NET exception",
}  # fmt: skip


@windows_section("crashes", parts=("dumps", "events_crash"), personal=("path",))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per crash, the newest first."""
    items = []
    for one in told.rows("dumps"):
        items.append(
            {
                "at": when(one.get("LastWriteTimeUtc")),
                "kind": "kernel",
                "program": None,
                "signal": None,
                "path": said(one.get("FullName")),
                "size_bytes": unsigned(one.get("Length"), 64),
            }
        )
    for one in told.also("events_crash"):
        code = (said(one.get("Code")) or "").lower().removeprefix("0x")
        items.append(
            {
                "at": when(one.get("At")),
                "kind": "program",
                "program": said(one.get("Program")),
                "signal": _SIGNALS.get(code, code or None),
                "path": None,
                "size_bytes": None,
            }
        )
    return sorted(items, key=lambda item: item["at"] or "", reverse=True)[:_SHOWN]
