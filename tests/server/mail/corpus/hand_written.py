"""Mails that were written by hand: the files of `written/`, with what must come of each.

`expected.json` holds an `Expected` for each file, by its name.  They are about no ticket of the
world, so they are the same in every one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.server.mail.corpus.world import Case, Expected

__all__ = ["written"]

_FOLDER = Path(__file__).parent / "written"


def written() -> Iterator[Case]:
    """Yield them, by name."""
    expected = json.loads((_FOLDER / "expected.json").read_text("utf-8"))
    files = {path.stem: path for path in _FOLDER.glob("*.eml")}
    if files.keys() != expected.keys():
        raise ValueError(f"without a pair: {sorted(files.keys() ^ expected.keys())}")
    for name in sorted(files):
        told = expected[name]
        if "files" in told:
            told["files"] = tuple(told["files"])
        yield Case(f"written-{name}", files[name].read_bytes(), Expected(**told))
