"""Section `time`: whether this clock follows others.

w32tm prints labels in the language of Windows; what stands after the colon of its first two lines
are numbers.
"""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import binary, said
from farhand_agent.inventory.json_values import truth

__all__ = ["parse", "parse_w32tm"]

_NUMBER: Final = re.compile(r"[^:]*:\s*([0-9]{1,2}) ?\(")
# The only figure with seconds that may be negative is how far off the clock is.
_OFFSET: Final = re.compile(r"[^:]*:\s*([+-]?[0-9]{1,9}[.,][0-9]{1,9})s\s*")
_PHASE_LINE: Final = 9
_UNSYNCHRONISED: Final = 3


def parse_w32tm(output: str) -> dict[str, Any]:
    """Return what `w32tm /query /status /verbose` says by its lines' places; {} for others."""
    lines = [line for line in output.replace("\r", "").split("\n") if line.strip()]
    numbers = [_NUMBER.match(line) for line in lines[:2]]
    if len(numbers) < 2 or numbers[0] is None or numbers[1] is None:
        return {}
    leap, stratum = int(numbers[0][1]), int(numbers[1][1])
    found: dict[str, Any] = {
        "synchronised": leap != _UNSYNCHRONISED and stratum > 0, "stratum": stratum or None,
    }  # fmt: skip
    offset = _OFFSET.fullmatch(lines[_PHASE_LINE]) if len(lines) > _PHASE_LINE else None
    if offset:
        # Windows tells the correction that is due.
        found["offset_ms"] = round(-float(offset[1].replace(",", ".")) * 1000, 3)
    return found


@windows_section("time", parts=("time_settings", "w32tm"), volatile=True)
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item."""
    settings = told.row("time_settings")
    kind = said(settings.get("Type"))
    running = truth(settings.get("running"))
    servers = [name.partition(",")[0] for name in (said(settings.get("NtpServer")) or "").split()]
    follows = kind not in (None, "NoSync")
    source = "domain" if kind in ("NT5DS", "AllSync") else ", ".join(servers) or None
    item: dict[str, Any] = {
        "timezone": said(settings.get("timezone")),
        "ntp": bool(follows and running) if running is not None else None,
        "synchronised": None if running else False,
        "source": f"w32time: {source}" if follows and source else None,
        "stratum": None,
        "offset_ms": None,
        "rtc_local": not truth(settings.get("RealTimeIsUniversal")),
    }
    if running:
        printed = binary(told.also_row("w32tm").get("printed"))
        item |= parse_w32tm(printed.decode("utf-8", "replace"))
    return [item]
