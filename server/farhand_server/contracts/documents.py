"""Documents of tables: one definition, written as HTML for people and as CSV for programs.

Cells are values (a duration, an amount, a day), so that HTML writes them as the reader's language
does and CSV as every program reads them.  The HTML holds no script, loads nothing, and escapes
every text; in CSV a text that a spreadsheet would take for a formula is made one no more.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple, TypeAlias

from farhand_protocol.cells import plain_cell
from farhand_server.contracts.formats import (
    format_day,
    format_duration,
    format_money,
    format_number,
    format_share,
    minor_digits,
)

__all__ = [
    "Amount",
    "Cell",
    "Day",
    "Document",
    "Duration",
    "Section",
    "Share",
    "as_csv",
    "as_html",
    "as_text",
]


class Duration(NamedTuple):
    """Seconds; in CSV they are minutes."""

    seconds: float


class Amount(NamedTuple):
    """Money in minor units."""

    minor: int
    currency: str


class Day(NamedTuple):
    """A day, or an instant that is shown as the day of a zone; CSV keeps it as it is."""

    at: str
    zone: str = "UTC"


class Share(NamedTuple):
    """A share of one."""

    value: float


Cell: TypeAlias = str | int | float | Duration | Amount | Day | Share | None


class Section(NamedTuple):
    """One table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Document(NamedTuple):
    """What is written; `language` is one of the five."""

    title: str
    subtitle: str
    language: str
    sections: Sequence[Section]


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24;background:#fff}h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.1rem;"
    "margin-top:2rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;"
    "vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #d6dbe1}th{font-weight:600}"
    "td.n,th.n{text-align:right;white-space:nowrap}"
)


def _words(cell: Cell, language: str) -> str:
    if cell is None:
        return "\u2013"
    if isinstance(cell, Duration):
        return format_duration(cell.seconds, language)
    if isinstance(cell, Amount):
        return format_money(cell.minor, cell.currency, language)
    if isinstance(cell, Day):
        return format_day(cell.at, language, cell.zone)
    if isinstance(cell, Share):
        return format_share(cell.value, language)
    if isinstance(cell, int):
        return format_number(cell, language)
    if isinstance(cell, float):
        return format_number(cell, language, digits=1)
    return cell


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, Duration | Amount | Share | int | float)


def as_html(document: Document) -> str:
    """Return a whole page."""
    parts = [
        f'<!doctype html>\n<html lang="{escape(document.language)}">\n<head>\n'
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(document.title)}</h1>\n<p>{escape(document.subtitle)}</p>\n"
    ]
    for section in document.sections:
        parts.append(f"<h2>{escape(section.title)}</h2>\n")
        parts.append(_table(section, document.language))
    parts.append("</body>\n</html>\n")
    return "".join(parts)


def _table(section: Section, language: str) -> str:
    numeric = [
        bool(section.rows) and all(_is_number(row[place]) or row[place] is None
                                   for row in section.rows)
        for place in range(len(section.columns))
    ]  # fmt: skip
    head = "".join(
        f'<th scope="col"{_n(is_number)}>{escape(name)}</th>'
        for name, is_number in zip(section.columns, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_n(_is_number(cell))}>{escape(_words(cell, language))}</td>" for cell in row
        )
        + "</tr>\n"
        for row in section.rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def _n(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def as_csv(document: Document) -> str:
    """Return the tables as CSV (RFC 4180), each after a line with its title where there are more.

    Durations are minutes, amounts decimal numbers, shares of one, days as RFC 3339 writes them.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    for number, section in enumerate(document.sections):
        if len(document.sections) > 1:
            if number:
                writer.writerow([])
            writer.writerow([_plain(section.title)])
        writer.writerow([_plain(name) for name in section.columns])
        writer.writerows([_plain(cell) for cell in row] for row in section.rows)
    return out.getvalue()


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Duration):
        return f"{cell.seconds / 60:.2f}".rstrip("0").rstrip(".")
    if isinstance(cell, Amount):
        digits = minor_digits(cell.currency)
        whole, rest = divmod(abs(cell.minor), 10**digits)
        sign = "-" if cell.minor < 0 else ""
        return f"{sign}{whole}.{rest:0{digits}}" if digits else f"{sign}{whole}"
    if isinstance(cell, Day):
        return cell.at
    if isinstance(cell, Share):
        return f"{cell.value:.4f}"
    if isinstance(cell, str):
        return plain_cell(cell)
    return str(cell)


def as_text(document: Document) -> str:
    """Return the document for a mail without HTML."""
    lines = [document.title, document.subtitle]
    for section in document.sections:
        lines += ["", section.title]
        for row in section.rows:
            words = [_words(cell, document.language) for cell in row]
            if len(section.columns) == 2:
                lines.append(f"  {words[0]}: {words[1]}")
            else:
                lines.append("  " + " | ".join(words))
    return "\n".join(lines) + "\n"
