"""What a configuration of sshd says; the same on every platform."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_sshd"]

_LINE: Final = re.compile(r"\s*([A-Za-z]+)[\s=]+\"?([^\"#]+)")


def parse_sshd(text: str) -> dict[str, list[str]]:
    """Return the settings of an sshd_config by lower-case name, up to its first Match.

    sshd takes the first value of each but Port, so all values are kept in order.

    Source: sshd_config(5).
    """
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        parts = _LINE.match(line) if not line.lstrip().startswith("#") else None
        if not parts:
            continue
        key = parts[1].lower()
        if key == "match":
            break
        found.setdefault(key, []).append(parts[2].strip())
    return found
