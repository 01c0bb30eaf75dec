"""What stands in a hosts file, as items of section `hosts_file`; the same on every platform."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["KEPT_LINES", "parse_hosts"]

KEPT_LINES: Final = 5_000
_MAX_NAMES: Final = 64


def parse_hosts(text: str) -> list[dict[str, Any]]:
    """Return one item per line of hosts(5), at most `KEPT_LINES`."""
    lines = (line.partition("#")[0].split() for line in text.split("\n"))
    return [
        {"address": words[0], "names": words[1 : _MAX_NAMES + 1]}
        for words in lines
        if len(words) > 1
    ][:KEPT_LINES]
