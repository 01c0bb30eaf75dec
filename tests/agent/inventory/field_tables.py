"""docs/inventory.md as data: which sections it describes, and which fields of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["DOCUMENT", "Described", "described", "unwritten"]

DOCUMENT = Path(__file__).parents[3] / "docs/inventory.md"
_LINE = re.compile(r"Pace: (\w+)\. Volatile: (yes|no)\. Opt-in: (yes|no)\.")
_ROW = re.compile(r"\| `([a-z0-9_]+)` \| [^|]+ \| [^|]+ \| (yes|no) \|")


@dataclass(frozen=True)
class Described:
    """What the document says of one section; `fields` maps each key to whether it is personal."""

    pace: str
    volatile: bool
    opt_in: bool
    fields: dict[str, bool]

    @property
    def personal(self) -> set[str]:
        """The keys marked as personal."""
        return {key for key, personal in self.fields.items() if personal}


@cache
def described() -> dict[str, Described]:
    """Return every section's part of the document by name."""
    found = {}
    for part in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]:
        line = _LINE.search(part)
        if line:
            fields = {key: personal == "yes" for key, personal in _ROW.findall(part)}
            name = part.split("\n", 1)[0]
            found[name] = Described(line[1], line[2] == "yes", line[3] == "yes", fields)
    return found


def unwritten(name: str, personal: tuple[str, ...], items: list[dict[str, object]]) -> set[str]:
    """Return the keys of items that the document does not have, or whose personal flag differs."""
    written = described()[name]
    keys = {key for item in items for key in item}
    hidden = written.personal & keys - set(personal)
    return (keys - set(written.fields)) | hidden
