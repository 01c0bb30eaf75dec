"""How the console writes: data on stdout, words on stderr, foreign text always escaped.

With `--json` a command prints one JSON object on stdout and nothing else there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["hint", "printable", "say", "show_fields", "show_json", "show_table", "warn"]

_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(value: object, limit: int = 400) -> str:
    """Return text that is safe on a terminal: no controls, no direction tricks, bounded length."""
    if value is None:
        return "-"
    text = str(value)
    out = []
    for character in text[:limit]:
        if character in _BIDI or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co"):
            out.append(
                f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
            )
        else:
            out.append(character)
    return "".join(out) + ("..." if len(text) > limit else "")


def say(words: str) -> None:
    """Write one line of words to stderr."""
    click.echo(words, err=True)


def warn(words: str) -> None:
    """Write a warning to stderr."""
    click.echo(f"farhand: warning: {words}", err=True)


def hint(words: str) -> None:
    """Write a hint to stderr."""
    click.echo(f"farhand: hint: {words}", err=True)


def show_json(value: object) -> None:
    """Write one JSON object to stdout."""
    click.echo(msgspec.json.encode(value).decode())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table of foreign values to stdout, as wide as the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(value)) for value in row))
    Console(highlight=False).print(table)


def show_fields(fields: Mapping[str, Any]) -> None:
    """Write name and value lines to stdout."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(one) for one in value) or "-"
        click.echo(f"{name.replace('_', ' '):<{width}}  {printable(value, 2000)}")
