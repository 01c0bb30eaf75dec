"""Section reports as text for a person: tables with units, foreign values escaped.

A section whose items are of several records has one table for each.  Columns in which nobody says
anything are left out, and so are those past the width; `--json` and `--section` have them.  What
could not be looked at stands together at the end, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from farhand_agent.terminal import printable, table
from farhand_protocol.inventory import SectionReport

__all__ = ["as_text", "cell", "heading"]

ROWS_SHOWN: Final = 25
_WIDTH: Final = 130
_CELL_CHARS: Final = 44
_UNITS: Final = {
    "_celsius": "°C", "_percent": "%", "_mhz": "MHz", "_mv": "mV", "_mw": "mW", "_mwh": "mWh",
    "_mm": "mm", "_px": "px", "_ms": "ms", "_dbm": "dBm", "_mbit_s": "Mbit/s", "_w": "W", "_h": "h",
}  # fmt: skip
_BYTES: Final = "_bytes"
_KNOWN_BY_NUMBER: Final = ("mtu_bytes",)
_EXACT: Final = 10 * 1024  # an MTU or a sector is known by its number
_STEPS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")


def as_text(reports: Mapping[str, SectionReport], *, everything: bool) -> str:
    """Return reports as they are shown to a person.

    Args:
        reports: by name.
        everything: all rows and columns instead of the first ones that fit.
    """
    told = [one for one in reports.values() if one.status == "ok"]
    rest = [one for one in reports.values() if one.status != "ok"]
    parts = [_section(one, everything) for one in told]
    if rest:
        rows = [(one.name, one.status, one.reason) for one in rest]
        parts.append(table(("not told", "status", "reason"), rows))
    return "\n\n".join(parts)


def heading(key: str) -> str:
    """Return a key as the head of a column: its unit stands in the cells."""
    for unit in (_BYTES, *_UNITS):
        if key.endswith(unit):
            key = key.removesuffix(unit)
            break
    return key.replace("_", " ")


def cell(key: str, value: Any) -> object:
    """Return a value as it stands in a table."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(cell("", one)) for one in value) or None
    if isinstance(value, dict):
        return "; ".join(f"{name}: {inner}" for name, inner in value.items()) or None
    if isinstance(value, (int, float)):
        if key.endswith(_BYTES):
            return f"{value} B" if key in _KNOWN_BY_NUMBER else _amount(value)
        unit = next((word for end, word in _UNITS.items() if key.endswith(end)), "")
        return f"{value} {unit}" if unit else value
    return value


def _section(report: SectionReport, everything: bool) -> str:
    note = f"  ({printable(report.reason)})" if report.reason else ""
    lines = [f"{report.name.upper()}{note}"]
    if not report.items:
        return "\n".join([*lines, "nothing found"])
    shown = report.items if everything else report.items[:ROWS_SHOWN]
    records = dict.fromkeys(str(one.get("record", "")) for one in shown)
    for record in records:
        items = [one for one in shown if str(one.get("record", "")) == record]
        lines.append(_items(items, everything))
    if len(shown) < len(report.items):
        more = f"... {len(report.items) - len(shown)} more: --section {report.name}"
        lines.append(more)
    return "\n".join(lines)


def _items(items: list[dict[str, Any]], everything: bool) -> str:
    keys = [key for key in dict.fromkeys(key for one in items for key in one) if key != "record"]
    if len(items) == 1:
        rows = [(heading(key), cell(key, items[0][key])) for key in keys]
        told = [row for row in rows if everything or row[1] is not None]
        if not told:
            return "nothing told"
        return table(("field", "value"), told)
    cells = {key: [cell(key, one.get(key)) for one in items] for key in keys}
    columns = [key for key in keys if everything or any(one is not None for one in cells[key])]
    if not everything:
        columns = _fitting(columns, cells)
    heads = [heading(key) for key in columns]
    rows_shown = zip(*(cells[key] for key in columns), strict=True)
    return table(heads, rows_shown, limit=200 if everything else _CELL_CHARS)


def _fitting(columns: list[str], cells: Mapping[str, Iterable[object]]) -> list[str]:
    """Return the first columns that fit beside each other, at least three."""
    kept: list[str] = []
    width = 0
    for key in columns:
        widest = max((len(printable(one, _CELL_CHARS)) for one in cells[key]), default=0)
        width += max(len(heading(key)), widest) + 2
        if width > _WIDTH and len(kept) >= 3:
            break
        kept.append(key)
    return kept


def _amount(count: float) -> str:
    if abs(count) < _EXACT:
        return f"{count} B"
    size = float(count)
    for unit in _STEPS:
        size /= 1024
        if abs(size) < 1024 or unit == _STEPS[-1]:
            break
    return f"{size:.1f} {unit}"
