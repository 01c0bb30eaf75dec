"""A text as a cell of a table for spreadsheets: never a formula.

A spreadsheet that opens a CSV file runs a cell that begins with one of a few characters, also with
blanks before it; with a mark in front the cell is a text.
"""

from __future__ import annotations

from typing import Final

__all__ = ["plain_cell"]

# The last four are the wide ones of other scripts.
_FORMULAS: Final = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
# These alone make some spreadsheets look further.
_BREAKS: Final = tuple("\t\r\n")


def plain_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula."""
    is_formula = text.startswith(_BREAKS) or text.lstrip().startswith(_FORMULAS)
    return f"'{text}" if is_formula else text
