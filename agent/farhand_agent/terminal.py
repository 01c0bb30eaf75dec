"""Foreign text on a person's terminal: escaped, bounded, in plain tables.

Package names, mount points, service descriptions and the like come from wherever the device has
been; a control character in them must never reach the terminal.  This is not a table library:
no colours, no widths asked from the terminal, so output reads the same in a pipe and in a log.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["printable", "table"]

# Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates, Co private use,
# Cn unassigned, Zl and Zp line and paragraph separators, Zs blanks that only look like one: none
# of them is shown as it is.
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_COLUMN_CHARS = 60


def printable(text: object, limit: int = 200) -> str:
    r"""Return text that is safe to show on a terminal.

    Args:
        text: anything; `None` becomes "-", everything else its `str`.
        limit: characters of the result at most, one or more; longer text ends in "…".

    Returns:
        One line in which every control, format, surrogate, private or unassigned character stands
        as `\xNN`, `\uNNNN` or `\UNNNNNNNN`, and a backslash of the text as two.
    """
    if text is None:
        return "-"
    # Every character yields at least one, so nothing behind `limit` + 1 can be shown.
    shown = [_escape(character) for character in str(text)[: limit + 1]]
    if sum(map(len, shown)) <= limit:
        return "".join(shown)
    kept: list[str] = []
    room = limit - 1
    for piece in shown:
        if len(piece) > room:
            break
        kept.append(piece)
        room -= len(piece)
    return "".join(kept) + "…"


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character == " " or unicodedata.category(character) not in _ESCAPED:
        return character
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = _COLUMN_CHARS
) -> str:
    """Return a plain-text table with every cell made printable.

    Args:
        headings: one per column.
        rows: cells, as many as there are headings.
        limit: characters of the widest cell; the last column gets three times as many.

    Returns:
        Lines joined by newlines, without one at the end.
    """
    last = len(headings) - 1
    lines = [
        [printable(cell, limit * 3 if at == last else limit) for at, cell in enumerate(row)]
        for row in (headings, *rows)
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(widths[at]) for at, cell in enumerate(line)).rstrip() for line in lines
    )
