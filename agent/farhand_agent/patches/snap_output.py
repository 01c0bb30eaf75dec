"""What snap prints, read.  No process is started here.

Source: snapd's documentation of `snap refresh --list` and `snap list`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from farhand_agent.patches.provider import ProviderError
from farhand_agent.patches.refusals import Row, refusal

__all__ = ["Snap", "classify", "parse_snaps"]

# Source: snapd's rule for names, with the suffix of a parallel instance.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}(?:_[a-z0-9]{1,10})?")
_SIZES: Final = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}


@dataclass(frozen=True, slots=True)
class Snap:
    """One row: `version` with its revision, which alone is exact."""

    name: str
    version: str
    notes: frozenset[str]
    size_bytes: int | None


def parse_snaps(text: str) -> list[Snap]:
    """Read the table of `snap refresh --list` or `snap list`; its heading names the columns.

    "All snaps up to date." has no heading and is no row.
    """
    lines = [line.split() for line in text.split("\n") if line.strip()]
    start = next(
        (n for n, words in enumerate(lines) if words[:3] == ["Name", "Version", "Rev"]), -1
    )
    if start < 0:
        return []
    headings = lines[start]
    found = []
    for words in lines[start + 1 :]:
        if len(words) != len(headings) or not _NAME.fullmatch(words[0]):
            continue
        row = dict(zip(headings, words, strict=True))
        found.append(
            Snap(
                name=row["Name"],
                version=f"{row['Version']} ({row['Rev']})",
                notes=frozenset(row.get("Notes", "-").split(",")) - {"-"},
                size_bytes=_size(row.get("Size", "")),
            )
        )
    return found


def _size(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([kMG]?B)", text)
    return int(float(found[1]) * _SIZES[found[2]]) if found else None


_ROWS: Final[tuple[Row, ...]] = (
    (r"access denied|permission denied|requires root", "patch-denied"),
    (r'has "[a-z-]+" change in progress|too early for operation|snap-?lock', "patch-locked"),
    (r"has running (?:apps|hooks)|cannot refresh .*running", "patch-in-use"),
    (r"no revision to revert to|no previous revision", "patch-no-rollback"),
    (r'snap "[^"]*" (?:is )?not (?:installed|found)|no snap named', "patch-unknown-update"),
    (r"assertion|signature|hash mismatch|sha3-384", "patch-untrusted"),
    (r"insufficient space|no space left", "patch-disk-full"),
    (
        r"cannot communicate with server|dial tcp|no such host|unable to contact|"
        r"connection refused|context deadline exceeded|persistent network error",
        "patch-network",
    ),
)


def classify(exit_code: int, text: str) -> ProviderError:
    """Return the error that snap's words stand for."""
    return refusal("snap", exit_code, text, _ROWS)
