"""How the console writes: data on stdout, words on stderr, foreign text always escaped.

With `--json` a command prints one JSON object on stdout and nothing else there.  Nothing else in
the console writes to a terminal: what comes from a device, a relay or a person passes through here
and loses its control and direction characters.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
import msgspec

__all__ = [
    "hint",
    "json_bytes",
    "line",
    "own_name",
    "page_through",
    "printable",
    "say",
    "say_whole",
    "show_fields",
    "show_file",
    "show_json",
    "show_table",
    "warn",
]

# Controls, formats (direction marks among them), surrogates, private use, line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BEYOND_ASCII = re.compile("[^\\x20-\\x7e]")
_WORDS = 2000
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z", re.ASCII)
# Before what goes on from the line above; a screen narrower than this is not believed.
_CONTINUED = "  ~ "
_NARROW = 40
# A table that nobody looks at is cut by nobody: wider than any row.
_PIPED_COLUMNS = 20_000


def printable(value: object, limit: int = 400) -> str:
    """Return text that is safe on a terminal: no controls, no direction tricks, bounded length."""
    if value is None:
        return "-"
    text = str(value)
    shown = text[:limit]
    if not shown.isascii() or not shown.isprintable():
        shown = "".join(map(_safe, shown))
    return shown + ("..." if len(text) > limit else "")


def _safe(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def own_name(claimed: object, otherwise: str) -> str:
    """Return what the relay calls something as the name of a file here: a plain word, or ours."""
    return str(claimed) if _PLAIN.match(str(claimed)) else otherwise


def say(words: str) -> None:
    """Write one line of words to stderr."""
    click.echo(printable(words, _WORDS), err=True)


def warn(words: str) -> None:
    """Write a warning to stderr."""
    say(f"farhand: warning: {words}")


def hint(words: str) -> None:
    """Write a hint to stderr."""
    say(f"farhand: hint: {words}")


def line(value: object, limit: int = 20_000) -> None:
    """Write one line of data to stdout."""
    click.echo(printable(value, limit))


def page_through(text: str) -> None:
    """Show a foreign text, all of it, in the person's pager: escaped, and wrapped to the screen."""
    width = max(shutil.get_terminal_size().columns, _NARROW)
    click.echo_via_pager(
        part + "\n" for one in _lines(text) for part in _wrapped(printable(one, len(one)), width)
    )


def show_file(data: bytes) -> None:
    """Write a whole file to stdout: as it is into a pipe, escaped line by line on a terminal."""
    if not sys.stdout.isatty():
        click.echo(data, nl=False)
        return
    for one in _lines(data.decode(errors="replace")):
        click.echo(printable(one, len(one)))


def say_whole(text: str) -> None:
    """Write a foreign text to stderr, all of it, line by line escaped."""
    for one in _lines(text):
        click.echo(printable(one, len(one)), err=True)


def _lines(text: str) -> list[str]:
    """Split where an interpreter does too; other separators are escaped like any control."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _wrapped(shown: str, width: int) -> Iterator[str]:
    yield shown[:width]
    step = width - len(_CONTINUED)
    for start in range(width, len(shown), step):
        yield _CONTINUED + shown[start : start + step]


def json_bytes(value: object) -> bytes:
    """Return JSON in UTF-8 with every character escaped that a terminal might act on."""
    text = msgspec.json.encode(value).decode()
    return _BEYOND_ASCII.sub(lambda found: _safe_in_json(found[0]), text).encode()


def _safe_in_json(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return json.dumps(character)[1:-1]  # \uXXXX, two of them beyond the basic plane


def show_json(value: object) -> None:
    """Write one JSON object to stdout."""
    click.echo(json_bytes(value))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table of foreign values to stdout; on a terminal, as wide as it is."""
    # Late: it takes as long to load as the rest of a short command, and --json needs none of it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    # Text, not markup: brackets of a foreign name mean nothing, nor those of a kept list's columns.
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    width = None if sys.stdout.isatty() else _PIPED_COLUMNS
    Console(highlight=False, width=width).print(table)


def show_fields(fields: Mapping[str, Any]) -> None:
    """Write name and value lines to stdout."""
    names = {name: printable(name.replace("_", " "), 80) for name in fields}
    width = max(map(len, names.values()), default=0)
    for name, value in fields.items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(one) for one in value) or "-"
        click.echo(f"{names[name]:<{width}}  {printable(value, _WORDS)}")
