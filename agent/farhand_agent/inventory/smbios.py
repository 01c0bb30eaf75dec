"""SMBIOS structures: what the firmware says about the board, read from its raw tables.

`parse_structures` cuts the tables into structures; each knows its strings and its numbers.  Reading
past the end of a short (older) structure answers None.  Lengths are the firmware's word and are
checked against the table; whatever does not fit ends the reading.

Source: DMTF DSP0134 (SMBIOS 3.7), section 6.1 for the layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farhand_agent.inventory.context import Context, Unsupported
from farhand_agent.inventory.fillers import real_value

__all__ = ["TABLES", "Structure", "name_of", "parse_structures", "read_structures"]

TABLES: Final = "/sys/firmware/dmi/tables/DMI"
_MAX_STRUCTURES: Final = 4096
_END: Final = 127


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure: `kind` is its type, `data` its formatted part with the header."""

    kind: int
    handle: int
    data: bytes
    strings: tuple[str, ...]

    def number(self, offset: int, size: int = 1) -> int | None:
        """Return the unsigned number at an offset; None past the end."""
        if offset + size > len(self.data):
            return None
        return int.from_bytes(self.data[offset : offset + size], "little")

    def text(self, offset: int) -> str | None:
        """Return the string that the number at an offset names; fillers read None."""
        index = self.number(offset)
        if not index or index > len(self.strings):
            return None
        return real_value(self.strings[index - 1])


def parse_structures(data: bytes) -> Iterator[Structure]:
    """Yield the structures in a table, at most 4096; a broken one ends it."""
    at = 0
    for _ in range(_MAX_STRUCTURES):
        if at + 4 > len(data):
            return
        kind, length = data[at], data[at + 1]
        end = data.find(b"\0\0", at + length)
        if length < 4 or end < 0:
            return
        strings = data[at + length : end].split(b"\0") if end > at + length else []
        yield Structure(
            kind,
            int.from_bytes(data[at + 2 : at + 4], "little"),
            data[at : at + length],
            tuple(one.decode("utf-8", "replace") for one in strings),
        )
        if kind == _END:
            return
        at = end + 2


def read_structures(context: Context, *kinds: int) -> list[Structure]:
    """Return this machine's structures of these kinds.

    Raises:
        Unsupported: the firmware publishes no SMBIOS.
        PermissionError: this user may not read it.
    """
    path = context.files.path(TABLES)
    try:
        data = path.read_bytes()[: 1024 * 1024]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unsupported("the firmware publishes no SMBIOS") from error
    return [one for one in parse_structures(data) if one.kind in kinds]


def name_of(number: int | None, names: dict[int, str]) -> str | None:
    """Return the word for an enumerated value; None for unknown ones."""
    return names.get(number) if number is not None else None
